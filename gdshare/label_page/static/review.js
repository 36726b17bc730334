// A held film: why it is held, what of it is to be made black, and what a person decides.

import { el } from "./elements.js";

const NOT_LOOKED =
  "The text detector has not looked at this film; gdshare review STORE lets it look first.";
const NOTHING_FOUND = "The text detector sees nothing like writing. It misses some: look yourself.";
const FOUND = "What the text detector takes for writing is framed. It misses some: look yourself.";
const WORDS = {
  release: [
    "Release this film?",
    "It may then be outlined and used. What you marked is made black, for good.",
  ],
  reject: ["Reject this film?", "Its pixels are deleted. That cannot be undone."],
};

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
  // decide(decided) is called once a person has confirmed a decision.
  constructor(reviewer, decide) {
    el("reviewer").value = reviewer;
    this.decide = decide;
    this.wanted = null;
    for (const decision of ["release", "reject"]) {
      el(decision).addEventListener("click", () => this.#ask(decision));
    }
    el("decide-no").addEventListener("click", () => el("decide").close());
    el("decide-yes").addEventListener("click", () => {
      el("decide").close();
      this.decide(this.wanted);
    });
  }

  // told: of a held film, as the server tells it.
  show(told) {
    this.seen = told.seen;
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
    const by = el("reviewer").value.trim();
    if (!by) {
      el("reviewer").focus();
      return;
    }
    const boxes = decision === "release" ? this.marked : [];
    this.wanted = { decision, by, boxes, seen: this.seen };
    [el("decide-title").textContent, el("decide-what").textContent] = WORDS[decision];
    el("decide").showModal();
  }
}
