// The list of films with the state of each.

import { el } from "./elements.js";

export class FilmList {
  // films as listed by the server; open(name) is called when a film is clicked.
  constructor(films, open) {
    this.films = films;
    const count = films.filter((film) => film.state === "held").length;
    el("held").textContent = count ? `${count} held for review` : "";
    el("films").replaceChildren(...this.films.map((film) => this.#item(film, open)));
    for (const film of this.films) this.#render(film);
  }

  find(name) {
    return this.films.find((film) => film.film === name);
  }

  // The first film to outline, or else the first to review.
  get first() {
    return this.films.find((film) => film.state === "released") ?? this.films[0];
  }

  // The film so many places after another, if any.
  neighbour(name, offset) {
    return this.films[this.films.findIndex((film) => film.film === name) + offset];
  }

  choose(name) {
    for (const film of this.films) {
      el(`open-${film.film}`).setAttribute("aria-current", String(film.film === name));
    }
    this.#warn(this.find(name));
    el(`open-${name}`).scrollIntoView({ block: "nearest" });
  }

  // Update a film's state; films of the same patient must not contradict each other.
  update(name, drawing) {
    const film = this.find(name);
    film.outlined = drawing.polygons.length > 0;
    film.diagnosis = drawing.diagnosis;
    const siblings = this.films.filter((other) => other.patient === film.patient);
    const diagnoses = new Set(siblings.map((sibling) => sibling.diagnosis).filter(Boolean));
    for (const sibling of siblings) {
      sibling.contradicted = diagnoses.size > 1;
      this.#render(sibling);
    }
    this.#warn(film);
  }

  #warn(film) {
    el("contradiction").textContent = film.contradicted
      ? "Another film of this patient has another diagnosis; gdshare label will refuse that."
      : "";
  }

  #item(film, open) {
    const button = document.createElement("button");
    button.type = "button";
    button.id = `open-${film.film}`;
    const name = document.createElement("b");
    name.textContent = film.film;
    button.append(this.#thumbnail(film), name, document.createElement("span"));
    button.addEventListener("click", () => open(film.film));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }

  // The browser asks for it when it scrolls into view.
  #thumbnail(film) {
    const image = document.createElement("img");
    [image.loading, image.fetchPriority, image.decoding] = ["lazy", "low", "async"];
    [image.width, image.height, image.alt] = [44, 44, ""]; // the button has the film's name
    image.src = `/api/films/${film.film}/thumbnail`;
    return image;
  }

  #render(film) {
    const state =
      film.state === "held"
        ? ["held for review", ...(film.outlined ? ["outlined"] : [])]
        : [film.outlined ? "outlined" : "no outline", film.diagnosis ?? "no diagnosis"];
    if (film.contradicted) state.push("contradicts another film of this patient");
    el(`open-${film.film}`).lastChild.textContent = state.join(", ");
    const released = this.films.filter(({ state }) => state === "released");
    const ready = released.filter(({ outlined, diagnosis }) => outlined && diagnosis).length;
    el("progress").textContent = `${ready} of ${released.length} ready`;
  }
}
