// The windows of a film as coloured squares, each at the centre of its window.

/* global L */

const COLOURS = { I: "#56b4e9", N: "#f0e442", P: "#e8743b", "?": "#ffffff", "-": null };
const LETTER_PX = 16; // least side of a square on the screen that shows its letter
const FILL = 0.32;

export const GridLayer = L.Layer.extend({
  initialize() {
    this.grid = null;
    this.pointed = null;
    this.visible = true;
  },

  onAdd(map) {
    this.canvas = L.DomUtil.create("canvas", "grid-layer", map.getPane("grid"));
    this.canvas.setAttribute("aria-hidden", "true");
    map.on("move zoom viewreset resize", this.redraw, this);
    this.redraw();
  },

  onRemove(map) {
    this.canvas.remove();
    map.off("move zoom viewreset resize", this.redraw, this);
  },

  show(grid) {
    this.grid = grid;
    this.redraw();
  },

  toggle() {
    this.visible = !this.visible;
    this.redraw();
    return this.visible;
  },

  // Outline the whole window of the square under a point of the film (px), if any.
  point(x, y) {
    if (!this.grid?.letters.length) return;
    const { rows, columns } = this.grid;
    const { side, first } = this.squares();
    const [column, row] = [x, y].map((at) => Math.floor((at - first) / this.grid.stride));
    const over = column >= 0 && row >= 0 && column < columns && row < rows;
    const inside = [x, y].every((at) => (at - first) % this.grid.stride < side);
    const pointed = over && inside ? [row, column] : null;
    if (String(pointed) === String(this.pointed)) return;
    this.pointed = pointed;
    this.redraw();
  },

  // Side of a square and offset of the first, px of the film.
  squares() {
    const side = Math.min(this.grid.stride, this.grid.patch);
    return { side, first: (this.grid.patch - side) / 2 };
  },

  redraw() {
    const size = this._map.getSize();
    const ratio = window.devicePixelRatio || 1;
    L.DomUtil.setPosition(this.canvas, this._map.containerPointToLayerPoint([0, 0]));
    [this.canvas.width, this.canvas.height] = [size.x * ratio, size.y * ratio];
    [this.canvas.style.width, this.canvas.style.height] = [`${size.x}px`, `${size.y}px`];
    if (!this.visible || !this.grid?.letters.length) return;
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    const corner = this._map.latLngToContainerPoint([0, 0]);
    const scale = this._map.options.crs.scale(this._map.getZoom());
    this.paint(context, corner, scale, size);
  },

  paint(context, corner, scale, size) {
    const { letters, patch, stride } = this.grid;
    const { side, first } = this.squares();
    const onScreen = side * scale;
    const gap = onScreen > 4 ? 1 : 0;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.font = `bold ${Math.min(20, onScreen * 0.6)}px system-ui, sans-serif`;
    letters.forEach((rowLetters, row) => {
      const y = corner.y + (first + row * stride) * scale;
      if (y + onScreen < 0 || y > size.y) return;
      for (let column = 0; column < rowLetters.length; column++) {
        const x = corner.x + (first + column * stride) * scale;
        const colour = COLOURS[rowLetters[column]];
        if (x + onScreen < 0 || x > size.x || colour === null) continue;
        context.globalAlpha = FILL;
        context.fillStyle = colour;
        context.fillRect(x, y, onScreen - gap, onScreen - gap);
        if (onScreen < LETTER_PX) continue;
        context.globalAlpha = 1;
        context.strokeStyle = "#000";
        context.lineWidth = 3;
        context.strokeText(rowLetters[column], x + onScreen / 2, y + onScreen / 2);
        context.fillText(rowLetters[column], x + onScreen / 2, y + onScreen / 2);
      }
    });
    if (this.pointed === null) return;
    const [row, column] = this.pointed;
    const [left, top] = [corner.x + column * stride * scale, corner.y + row * stride * scale];
    context.globalAlpha = 1;
    for (const [colour, width] of [["#000", 4], ["#fff", 2]]) {
      [context.strokeStyle, context.lineWidth] = [colour, width];
      context.strokeRect(left, top, patch * scale, patch * scale);
    }
  },
});
