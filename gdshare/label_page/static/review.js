// A held film: why it is held, what of it is to be made black, and what a person decides.

import { el } from "./elements.js";

const NOT_LOOKED =
  "The text detector has not looked at this film; gdshare review STORE lets it look first.";
const NOTHING_FOUND = "The text detector sees nothing like writing. It misses some: look yourself.";
const FOUND = "What the text detector takes for writing is framed. It misses some: look yourself.";
const WORDS = {
  release: (film) => [
    `Release ${film}?`,
    "It may then be outlined and used. What you marked is made black, for good.",
  ],
  reject: (film) => [`Reject ${film}?`, "Its pixels are deleted. That cannot be undone."],
};
const reduced = (factor) =>
  `It is too large for this page and shown at 1/${factor} of its size: small letters may be lost. ` +
  "Look at it with another viewer before you release it.";

// The smallest box of whole px that holds a ring.
function box([ring]) {
  const [across, down] = [0, 1].map((axis) => ring.map((point) => point[axis]));
  return {
    left: Math.floor(Math.min(...across)),
    top: Math.floor(Math.min(...down)),
    right: Math.ceil(Math.max(...across)),
    bottom: Math.ceil(Math.max(...down)),
  };
}

export class Review {
  // ready() tells whether the film on the screen is the one that was asked for; decide(film, decided)
  // is called once a person has confirmed a decision about it.
  constructor(reviewer, ready, decide) {
    el("reviewer").value = reviewer;
    this.ready = ready;
    this.decide = decide;
    this.wanted = null;
    for (const decision of ["release", "reject"]) {
      el(decision).addEventListener("click", () => this.#ask(decision));
    }
    el("decide-no").addEventListener("click", () => el("decide").close());
    el("decide-yes").addEventListener("click", () => {
      el("decide").close();
      this.decide(this.film, this.wanted);
    });
  }

  // A question about a film that has left the screen is not asked any more.
  hide() {
    el("decide").close();
    this.film = null;
  }

  // told: of a held film, as the server tells it, and how many of its px one on the screen stands for.
  show(film, told, factor) {
    this.film = film;
    this.seen = told.seen;
    el("reduced").textContent = factor > 1 ? reduced(factor) : "";
    const lines = told.reasons.map((reason) => {
      const line = document.createElement("li");
      line.textContent = reason;
      return line;
    });
    el("reasons").replaceChildren(...lines);
    const found = told.text?.length ? FOUND : NOTHING_FOUND;
    el("detector").textContent = told.text === null ? NOT_LOOKED : found;
    this.boxes([]);
  }

  // What is to be made black, as polygons of one ring.
  boxes(polygons) {
    this.marked = polygons.map(box);
    const count = polygons.length;
    el("marked").textContent = count === 1 ? "1 box to be made black" : `${count} boxes to be made black`;
  }

  #ask(decision) {
    if (!this.film || !this.ready()) return;
    const by = el("reviewer").value.trim();
    if (!by) {
      el("reviewer").focus();
      return;
    }
    const boxes = decision === "release" ? this.marked : [];
    this.wanted = { decision, by, boxes, seen: this.seen };
    [el("decide-title").textContent, el("decide-what").textContent] = WORDS[decision](this.film);
    el("decide").showModal();
  }
}
