// Brightness, contrast and inversion: the controls, and the picture they apply to.

import { button, el } from "./elements.js";

const LEVEL_STEP = 0.02;
const WIDTH_FACTOR = 1.1;
const LEAST_WIDTH = 0.01;

const within = (least, value) => Math.min(1, Math.max(least, value));

export class View {
  constructor() {
    this.picture = null;
    this.drawn = true;
    this.window = { level: 0.5, width: 1, inverted: false };
    for (const name of ["level", "width"]) {
      el(name).addEventListener("input", () => this.set({ [name]: Number(el(name).value) / 100 }));
    }
  }

  // Another picture; as it was set before where it is the same film, else automatic.
  show(picture, same) {
    this.picture = picture;
    if (!same) Object.assign(this.window, picture.automatic());
    this.#tell();
    picture.draw(this.window);
  }

  set(part) {
    const wanted = { ...this.window, ...part };
    this.window = {
      ...wanted,
      level: within(0, wanted.level),
      width: within(LEAST_WIDTH, wanted.width),
    };
    this.#tell();
    if (!this.drawn || !this.picture) return;
    this.drawn = false; // however fast the slider moves, once a frame is enough
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

  #tell() {
    for (const name of ["level", "width"]) {
      const percent = this.window[name] * 100;
      el(name).value = percent;
      el(`${name}-told`).textContent = `${percent.toFixed(0)}%`;
    }
    button("invert").setAttribute("aria-pressed", String(this.window.inverted));
  }
}
