// The film, and the polygons that are drawn on it. A place is x to the right and y down, px of the
// film; Leaflet's latitude points up, so it is -y.

/* global L */

import { GridLayer } from "./grid.js";

const PLAIN = { color: "#ffffff", weight: 2, fill: true, fillOpacity: 0.02, fillRule: "evenodd" };
const BLACK = { ...PLAIN, fillColor: "#000000", fillOpacity: 1 };
const CHOSEN = { color: "#ffd84d", weight: 4 };
const MARK = { color: "#ffd84d", weight: 2, dashArray: "6 4", fill: false, interactive: false };
const HUNDREDTHS = 100; // of a px: finer than any hand
const ZOOM_STEP = 0.5;

const place = ({ lat, lng }) => [lng, -lat].map((at) => Math.round(at * HUNDREDTHS) / HUNDREDTHS);
const latlng = ([x, y]) => L.latLng(-y, x);

function encloses(ring, [x, y]) {
  let inside = false;
  ring.forEach(([x1, y1], at) => {
    const [x2, y2] = ring[(at + 1) % ring.length];
    if (y1 > y !== y2 > y && x < x1 + ((y - y1) * (x2 - x1)) / (y2 - y1)) inside = !inside;
  });
  return inside;
}

export class FilmMap {
  // On a film that is outlined, polygons; on one that is reviewed, boxes to be made black, which are
  // polygons of one ring. said.changed(polygons) after each change by hand, said.mode(name) when the
  // mode changes, said.refused(message) when a hole lies in no outline.
  constructor(element, said) {
    this.said = said;
    this.mode = null; // draw, hole, edit, box or null
    this.offered = false; // edit, which nobody asked for: it follows a drawing
    this.clicks = 0; // since drawing began
    this.fitted = true; // the whole film is shown, and stays so when the tab changes its size
    this.style = PLAIN;
    this.layers = [];
    this.marks = L.layerGroup();
    this.selected = 0;
    this.overlay = null;
    this.map = L.map(element, {
      crs: L.CRS.Simple,
      zoomControl: false,
      attributionControl: false,
      zoomAnimation: false,
      fadeAnimation: false,
      doubleClickZoom: false,
      zoomSnap: 0,
      zoomDelta: ZOOM_STEP,
      minZoom: -8,
      maxZoom: 5,
      center: [0, 0],
      zoom: 0,
    });
    this.map.createPane("film").style.zIndex = 200;
    this.map.createPane("grid").style.zIndex = 300;
    this.grid = new GridLayer().addTo(this.map);
    this.marks.addTo(this.map);
    this.map.pm.setGlobalOptions({
      snappable: false,
      finishOnEnter: true,
      allowSelfIntersection: true,
      continueDrawing: false,
      pathOptions: PLAIN,
      templineStyle: { color: "#ffffff", weight: 2 },
      hintlineStyle: { color: "#ffffff", weight: 2, dashArray: "4 6" },
    });
    this.map.on("pm:create", ({ layer }) => this.#created(layer));
    this.map.on("mousemove", (event) => this.grid.point(...place(event.latlng)));
    this.map.on("contextmenu", () => {}); // a right click removes a point; no menu over it
    this.map.on("click", () => (this.clicks += 1));
    this.map.on("dragstart zoomstart", () => (this.fitted = false));
    new ResizeObserver(() => {
      this.map.invalidateSize({ pan: false });
      if (this.fitted) this.fit();
    }).observe(element);
  }

  // Show another film: its canvas, its size in px, and whether boxes are drawn on it. Pieces of it,
  // {left, top, right, bottom}, may be marked.
  show(canvas, width, height, boxing, marks) {
    this.stop();
    [this.width, this.height] = [width, height];
    this.style = boxing ? BLACK : PLAIN;
    this.marks.clearLayers();
    for (const { left, top, right, bottom } of marks) {
      const corners = [latlng([left, bottom]), latlng([right, top])];
      L.rectangle(corners, MARK).addTo(this.marks);
    }
    this.overlay?.remove();
    this.size = L.latLngBounds(latlng([0, height]), latlng([width, 0]));
    // Named for SVG, it takes any element that is to lie over an area.
    this.overlay = L.svgOverlay(canvas, this.size, { pane: "film" }).addTo(this.map);
    this.fit();
  }

  // No film.
  clear() {
    this.stop();
    this.overlay?.remove();
    this.overlay = null;
    this.marks.clearLayers();
    this.polygons = [];
    this.grid.show(null);
  }

  fit() {
    if (this.overlay) this.map.fitBounds(this.size, { padding: [8, 8], animate: false });
    this.fitted = true;
  }

  zoom(steps) {
    this.map.setZoom(this.map.getZoom() + steps * ZOOM_STEP, { animate: false });
  }

  // A border with fewer than three points left encloses nothing, and goes with its holes.
  get polygons() {
    return this.layers
      .map((layer) => layer.getLatLngs().map((ring) => ring.map(place)))
      .filter(([border]) => border?.length >= 3)
      .map(([border, ...holes]) => [border, ...holes.filter((ring) => ring.length >= 3)]);
  }

  set polygons(polygons) {
    for (const layer of this.layers) layer.remove();
    this.layers = polygons.map((rings) => L.polygon(rings.map((ring) => ring.map(latlng)), this.style));
    this.selected = Math.min(this.selected, Math.max(0, polygons.length - 1));
    this.layers.forEach((layer, at) => {
      layer.addTo(this.map);
      layer.on("click", () => this.#select(at));
      layer.on("pm:edit pm:remove", () => this.#edited());
    });
    this.#paint();
    if (this.mode === "edit") this.#editable();
  }

  // Something that is being drawn and not closed yet.
  get unfinished() {
    return ["draw", "hole", "box"].includes(this.mode) && this.clicks > 0;
  }

  // Take back the last point of what is being drawn.
  unpick() {
    if (this.mode === "box" || this.clicks < 2) {
      this.start(this.mode);
      return;
    }
    this.map.pm.Draw.Polygon._removeLastVertex();
    this.clicks -= 1;
  }

  // Begin to draw or edit, or end it where it is already so.
  start(mode) {
    const again = this.mode === mode && !this.offered && !this.unfinished;
    this.stop();
    if (again || !this.overlay) return;
    this.#be(mode);
    if (mode === "edit") this.#editable();
    else this.map.pm.enableDraw(mode === "box" ? "Rectangle" : "Polygon");
  }

  stop() {
    this.map.pm.disableDraw();
    for (const layer of this.layers) layer.pm.disable();
    this.#be(null);
  }

  selectNext() {
    if (this.layers.length) this.#select((this.selected + 1) % this.layers.length);
  }

  // All but the selected polygon.
  withoutSelected() {
    return this.polygons.filter((_, at) => at !== this.selected);
  }

  #be(mode, offered = false) {
    this.mode = mode;
    this.offered = offered;
    this.clicks = 0;
    this.said.mode(mode);
  }

  #editable() {
    for (const layer of this.layers) {
      layer.pm.enable({ snappable: false, allowSelfIntersection: true, draggable: false });
    }
  }

  #select(at) {
    this.selected = at;
    this.#paint();
  }

  #paint() {
    const several = this.layers.length > 1;
    this.layers.forEach((layer, at) =>
      layer.setStyle({ ...this.style, ...(several && at === this.selected ? CHOSEN : {}) }),
    );
  }

  #edited() {
    const polygons = this.polygons;
    const all = this.layers.every((layer) => this.map.hasLayer(layer));
    if (!all || polygons.length < this.layers.length) this.polygons = polygons;
    this.said.changed(polygons);
  }

  #created(layer) {
    const ring = layer.getLatLngs()[0].map(place);
    const mode = this.mode;
    layer.remove();
    const polygons = this.polygons;
    const added = {
      draw: () => [...polygons, [ring]],
      hole: () => this.#withHole(polygons, ring),
      box: () => this.#withBox(polygons, ring),
    }[mode]();
    if (typeof added === "string") {
      this.stop();
      this.said.refused(added);
      return;
    }
    if (mode === "box") this.#be(null);
    else this.#be("edit", true);
    this.polygons = added;
    this.said.changed(this.polygons);
  }

  // With a hole in every outline that it lies in, or why not. One that crosses a border would count
  // as inside beyond it.
  #withHole(polygons, ring) {
    const shares = polygons.map(([border]) => ring.filter((at) => encloses(border, at)).length);
    if (shares.some((count) => count > 0 && count < ring.length)) {
      return "a hole must not cross an outline's border; draw it again";
    }
    if (!shares.some(Boolean)) return "a hole must lie inside an outline; draw it again";
    return polygons.map((rings, at) => (shares[at] ? [...rings, ring] : rings));
  }

  // With a box, cut at the film's edges, or why not.
  #withBox(polygons, ring) {
    const cut = ring.map(([x, y]) => [
      Math.min(Math.max(x, 0), this.width),
      Math.min(Math.max(y, 0), this.height),
    ]);
    const [xs, ys] = [0, 1].map((axis) => cut.map((at) => at[axis]));
    const empty = [xs, ys].some((side) => Math.max(...side) === Math.min(...side));
    return empty ? "the box lies off the film; draw it again" : [...polygons, [cut]];
  }
}
