// A held film: why it is held, what of it is to be made black, and what a person decides.

import { el } from "./elements.js";

const NOT_LOOKED =
  "The text detector has not looked at this film; gdshare review STORE lets it look first.";
const NOTHING_FOUND = "The text detector sees nothing like writing. It misses some: look yourself.";
const FOUND = "What the text detector takes for writing is framed. It misses some: look yourself.";
const black = (count) =>
  ({ 0: "Nothing of it is made black.", 1: "1 box is made black, for good." })[count] ??
  `${count} boxes are made black, for good.`;
const WORDS = {
  release: (film, count) => [
    `Release ${film}?`,
    `${black(count)} It may then be outlined and used.`,
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
  // said.hindrance() is why nothing can be decided now, or null; said.hindered(why) tells it;
  // said.decided(film, decision) is called once a person has confirmed it.
  constructor(reviewer, said) {
    el("reviewer").value = reviewer;
    this.said = said;
    this.wanted = null;
    for (const decision of ["release", "reject"]) {
      el(decision).addEventListener("click", () => this.#ask(decision));
    }
    el("decide-no").addEventListener("click", () => el("decide").close());
    el("decide-yes").addEventListener("click", () => {
      el("decide").close();
      this.said.decided(this.film, this.wanted);
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
  }

  // What is to be made black, as polygons of one ring.
  boxes(polygons) {
    this.marked = polygons.map(box);
    const count = polygons.length;
    el("marked").textContent = count === 1 ? "1 box to be made black" : `${count} boxes to be made black`;
  }

  #ask(decision) {
    const by = el("reviewer").value.trim();
    const why = this.said.hindrance() ?? (by ? null : "Say who has looked, under Reviewed by.");
    if (why) {
      this.said.hindered(why);
      if (!by) el("reviewer").focus();
      return;
    }
    const boxes = decision === "release" ? this.marked : [];
    this.wanted = { decision, by, boxes, seen: this.seen };
    [el("decide-title").textContent, el("decide-what").textContent] = WORDS[decision](
      this.film,
      boxes.length,
    );
    el("decide").showModal();
  }
}
