// The list of films with what was done on each.

import { el } from "./elements.js";

export class FilmList {
  // films as the server lists them; open(name) is called for the one that is clicked.
  constructor(films, open) {
    this.films = films;
    const held = films.filter((film) => film.state === "held").length;
    el("held").textContent = held ? `${held} held for a review` : "";
    el("films").replaceChildren(...this.films.map((film) => this.#item(film, open)));
    for (const film of this.films) this.#tell(film);
  }

  find(name) {
    return this.films.find((film) => film.film === name);
  }

  // Whatever comes first, an outline to draw or a film to look at.
  get first() {
    return this.films.find((film) => film.state === "released") ?? this.films[0];
  }

  // The film so many places further down from one, if there is one.
  beside(name, by) {
    return this.films[this.films.findIndex((film) => film.film === name) + by];
  }

  choose(name) {
    for (const film of this.films) {
      el(`open-${film.film}`).setAttribute("aria-current", String(film.film === name));
    }
    this.#contradicts(this.find(name));
    el(`open-${name}`).scrollIntoView({ block: "nearest" });
  }

  // Tell what a film's drawing is now; films of one patient must not contradict each other.
  update(name, drawing) {
    const film = this.find(name);
    film.outlined = drawing.polygons.length > 0;
    film.diagnosis = drawing.diagnosis;
    const siblings = this.films.filter((one) => one.patient === film.patient);
    const told = new Set(siblings.map((one) => one.diagnosis).filter(Boolean));
    for (const one of siblings) {
      one.contradicted = told.size > 1;
      this.#tell(one);
    }
    this.#contradicts(film);
  }

  #contradicts(film) {
    el("contradiction").textContent = film.contradicted
      ? "Another film of this patient has the other diagnosis; gdshare label refuses that."
      : "";
  }

  #item(film, open) {
    const button = document.createElement("button");
    button.type = "button";
    button.id = `open-${film.film}`;
    button.append(film.film, document.createElement("span"));
    button.addEventListener("click", () => open(film.film));
    const line = document.createElement("li");
    line.append(button);
    return line;
  }

  #tell(film) {
    const drawn = [film.outlined ? "outlined" : "no outline", film.diagnosis ?? "no diagnosis"];
    const state = film.state === "held" ? ["held for a review", ...(film.outlined ? ["outlined"] : [])] : drawn;
    if (film.contradicted) state.push("contradicts another film of this patient");
    el(`open-${film.film}`).lastChild.textContent = state.join(", ");
    const released = this.films.filter((one) => one.state === "released");
    const ready = released.filter((one) => one.outlined && one.diagnosis).length;
    el("progress").textContent = `${ready} of ${released.length} ready`;
  }
}
