// Maps keys and buttons to actions.

import { el } from "./elements.js";

const KEYS = {
  k: "previous", j: "next", n: "negative", p: "positive", x: "undiagnosed",
  d: "draw", h: "hole", e: "edit", b: "box", s: "select", u: "undo", r: "redo",
  "+": "closer", "=": "closer", "-": "farther", f: "fit",
  ",": "brighter", ".": "darker", "[": "harder", "]": "softer",
  a: "automatic", i: "invert", g: "grid", "?": "help",
};
const ALWAYS = { Escape: "stop", Delete: "delete", Backspace: "delete" };
const WITH_CONTROL = { z: "undo", y: "redo", Z: "redo" };

const inDialog = () => document.querySelector("dialog[open]") !== null;
const isWriting = ({ target }) => target.matches?.('input[type="text"]');

function actionOf(event) {
  if (event.key === "?" && el("help").open) return "help";
  if (inDialog() || event.altKey || isWriting(event)) return undefined;
  if (event.ctrlKey || event.metaKey) return WITH_CONTROL[event.key];
  // Single keys can be switched off: speech input may type them by accident.
  return ALWAYS[event.key] ?? (el("letters").checked ? KEYS[event.key] : undefined);
}

// Call actions[name]() for each key and button pressed.
export function listen(actions) {
  document.addEventListener("keydown", (event) => {
    const name = actionOf(event);
    const byLeaflet = ["closer", "farther"].includes(name) && document.activeElement === el("map");
    if (!name || byLeaflet) return;
    event.preventDefault();
    actions[name]();
  });
  for (const button of document.querySelectorAll("button[data-action]")) {
    button.addEventListener("click", () => actions[button.dataset.action]());
  }
}
