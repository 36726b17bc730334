// The list of films with what was done on each.

import { el } from "./elements.js";

export class FilmList {
  // films as the server lists them; open(name) is called for the one that is clicked.
  constructor(films, open) {
    this.films = films.filter((film) => film.state === "released");
    const held = films.length - this.films.length;
    el("held").textContent = held ? `${held} held; look at them with gdshare review` : "";
    el("films").replaceChildren(...this.films.map((film) => this.#item(film, open)));
    for (const film of this.films) this.#tell(film);
  }

  find(name) {
    return this.films.find((film) => film.film === name);
  }

  // The film so many places further down from one, if there is one.
  beside(name, by) {
    return this.films[this.films.findIndex((film) => film.film === name) + by];
  }

  choose(name) {
    for (const film of this.films) {
      el(`open-${film.film}`).setAttribute("aria-current", String(film.film === name));
    }
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
    const state = [film.outlined ? "outlined" : "no outline", film.diagnosis ?? "no diagnosis"];
    if (film.contradicted) state.push("contradicts another film of this patient");
    el(`open-${film.film}`).lastChild.textContent = state.join(", ");
    const ready = this.films.filter((one) => one.outlined && one.diagnosis).length;
    el("progress").textContent = `${ready} of ${this.films.length} ready`;
  }
}
