// A held film: why it is held, which boxes to black out, and the decision.

import { el } from "./elements.js";

const NOT_RUN = "The text detector has not run on this film; gdshare review STORE runs it.";
const NO_TEXT = "The text detector finds no text. It misses some, so look yourself.";
const TEXT = "Possible text is framed. The text detector misses some, so look yourself.";
const boxes = (count) => (count === 1 ? "1 box" : `${count} boxes`);
const QUESTIONS = {
  release: (film, count) => [
    `Release ${film}?`,
    `${count ? `This permanently blacks out ${boxes(count)}.` : "Nothing is blacked out."} ` +
      "The film can then be outlined and used.",
  ],
  reject: (film) => [`Reject ${film}?`, "This deletes its pixels and cannot be undone."],
};
const reducedWarning = (factor) =>
  `The film is too large for this page and shown at 1/${factor} of its size: small text may be lost. ` +
  "Look at it in another viewer before you release it.";

// The smallest box of whole px around a ring.
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
  // Handlers: obstacle() returns why no decision is possible now, or null; warn(message) shows it;
  // confirmed(film, review) is called when a person has confirmed the decision.
  constructor(reviewer, handlers) {
    el("reviewer").value = reviewer;
    this.handlers = handlers;
    this.review = null;
    for (const decision of ["release", "reject"]) {
      el(decision).addEventListener("click", () => this.#ask(decision));
    }
    el("decide-no").addEventListener("click", () => el("decide").close());
    el("decide-yes").addEventListener("click", () => {
      el("decide").close();
      this.handlers.confirmed(this.film, this.review);
    });
  }

  // Also closes the question: its film has left the screen.
  hide() {
    el("decide").close();
    this.film = null;
  }

  // A held film as described by the server, and how many of its px one px of the picture covers.
  show(name, film, factor) {
    this.film = name;
    this.seen = film.seen;
    el("reduced").textContent = factor > 1 ? reducedWarning(factor) : "";
    const items = film.reasons.map((reason) => {
      const item = document.createElement("li");
      item.textContent = reason;
      return item;
    });
    el("reasons").replaceChildren(...items);
    const text = film.text?.length ? TEXT : NO_TEXT;
    el("detector").textContent = film.text === null ? NOT_RUN : text;
  }

  // Set the boxes to black out, given as polygons of a single ring.
  setBoxes(polygons) {
    this.boxes = polygons.map(box);
    el("marked").textContent = `${boxes(polygons.length)} to black out`;
  }

  #ask(decision) {
    const by = el("reviewer").value.trim();
    const obstacle = this.handlers.obstacle() ?? (by ? null : "Enter your name under Reviewed by.");
    if (obstacle) {
      this.handlers.warn(obstacle);
      if (!by) el("reviewer").focus();
      return;
    }
    const chosen = decision === "release" ? this.boxes : [];
    this.review = { decision, by, boxes: chosen, seen: this.seen };
    [el("decide-title").textContent, el("decide-text").textContent] = QUESTIONS[decision](
      this.film,
      chosen.length,
    );
    el("decide").showModal();
  }
}
