// A film's 16-bit pixels, displayed with a window of gray levels.

const FULL = 65535;

export class Picture {
  constructor({ width, height, values }) {
    this.values = values;
    this.canvas = document.createElement("canvas");
    [this.canvas.width, this.canvas.height] = [width, height];
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.image = this.context.createImageData(width, height);
    this.rgba = new Uint32Array(this.image.data.buffer);
    this.table = new Uint32Array(FULL + 1);
  }

  // level and width in [0, 1] of the full range; darker than the window is black.
  draw({ level, width, inverted }) {
    const low = (level - width / 2) * FULL;
    const scale = 255 / (width * FULL);
    for (let value = 0; value <= FULL; value++) {
      const gray = Math.min(255, Math.max(0, (value - low) * scale)) | 0;
      const tone = inverted ? 255 - gray : gray;
      this.table[value] = 0xff000000 | (tone << 16) | (tone << 8) | tone;
    }
    const { values, rgba, table } = this;
    for (let at = 0; at < values.length; at++) rgba[at] = table[values[at]];
    this.context.putImageData(this.image, 0, 0);
  }

  // The window from the 1st to the 99th percentile. Black is not counted: it is collimator border or
  // blacked-out text.
  automatic() {
    const counts = new Uint32Array(FULL + 1);
    for (const value of this.values) counts[value]++;
    const all = this.values.length - counts[0];
    const quantile = (share) => {
      let sum = 0;
      for (let value = 1; value <= FULL; value++) {
        sum += counts[value];
        if (sum >= share * all) return value / FULL;
      }
      return 1;
    };
    const [low, high] = all ? [quantile(0.01), quantile(0.99)] : [0, 1];
    return { level: (low + high) / 2, width: Math.max(0.01, high - low) };
  }
}
