// Brightness, contrast and inversion: the controls, and the picture they apply to.

import { button, el } from "./elements.js";

const LEVEL_STEP = 0.02;
const WIDTH_FACTOR = 1.1;
const MIN_WIDTH = 0.01;

const clamp = (min, value) => Math.min(1, Math.max(min, value));

export class View {
  constructor() {
    this.picture = null;
    this.drawn = true;
    this.window = { level: 0.5, width: 1, inverted: false };
    for (const name of ["level", "width"]) {
      el(name).addEventListener("input", () => this.set({ [name]: Number(el(name).value) / 100 }));
    }
  }

  // Show a picture; keep the window if it is the same film, else set it automatically.
  show(picture, same) {
    this.picture = picture;
    if (!same) Object.assign(this.window, picture.automatic());
    this.#render();
    picture.draw(this.window);
  }

  set(change) {
    const next = { ...this.window, ...change };
    this.window = { ...next, level: clamp(0, next.level), width: clamp(MIN_WIDTH, next.width) };
    this.#render();
    if (!this.drawn || !this.picture) return;
    this.drawn = false; // at most once per frame
    requestAnimationFrame(() => {
      this.drawn = true;
      this.picture.draw(this.window);
    });
  }

  brighten(steps) {
    this.set({ level: this.window.level - steps * LEVEL_STEP });
  }

  harden(steps) {
    this.set({ width: this.window.width * WIDTH_FACTOR ** -steps });
  }

  automatic() {
    if (this.picture) this.set(this.picture.automatic());
  }

  invert() {
    this.set({ inverted: !this.window.inverted });
  }

  #render() {
    for (const name of ["level", "width"]) {
      const percent = this.window[name] * 100;
      el(name).value = percent;
      el(`${name}-value`).textContent = `${percent.toFixed(0)}%`;
    }
    button("invert").setAttribute("aria-pressed", String(this.window.inverted));
  }
}
