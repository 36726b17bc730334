// The film and the polygons drawn on it. Points are [x, y], px of the film, y down; Leaflet's latitude
// points up, so it is -y.

/* global L */

import { GridLayer } from "./grid.js";

const PLAIN = { color: "#ffffff", weight: 2, fill: true, fillOpacity: 0.02, fillRule: "evenodd" };
const BLACK = { ...PLAIN, fillColor: "#000000", fillOpacity: 1 };
const SELECTED = { color: "#ffd84d", weight: 4 };
const MARK = { color: "#ffd84d", weight: 2, dashArray: "6 4", fill: false, interactive: false };
const PRECISION = 100; // per px: finer than any hand
const ZOOM_STEP = 0.5;

const point = ({ lat, lng }) => [lng, -lat].map((x) => Math.round(x * PRECISION) / PRECISION);
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
  // Outlining draws polygons; review draws boxes to black out, which are polygons of a single ring.
  // Handlers: changed(polygons) after each change by hand, mode(name) when the mode changes,
  // refused(message) when a hole or box cannot be added.
  constructor(element, handlers) {
    this.handlers = handlers;
    this.mode = null; // draw, hole, edit, box or null
    this.automatic = false; // edit mode that followed a drawing
    this.clicks = 0; // since drawing began
    this.fitted = true; // the whole film is shown, and stays so when the tab is resized
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
    this.map.on("mousemove", (event) => this.grid.point(...point(event.latlng)));
    this.map.on("contextmenu", () => {}); // a right click removes a point: no context menu
    this.map.on("click", () => (this.clicks += 1));
    this.map.on("dragstart zoomstart", () => (this.fitted = false));
    new ResizeObserver(() => {
      this.map.invalidateSize({ pan: false });
      if (this.fitted) this.fit();
    }).observe(element);
  }

  // Show another film: its canvas, its size in px, whether boxes are drawn on it, and areas to frame,
  // {left, top, right, bottom}.
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
    // svgOverlay accepts any element.
    this.overlay = L.svgOverlay(canvas, this.size, { pane: "film" }).addTo(this.map);
    this.fit();
  }

  // Show no film.
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

  // A border with fewer than three points encloses nothing and is dropped with its holes.
  get polygons() {
    return this.layers
      .map((layer) => layer.getLatLngs().map((ring) => ring.map(point)))
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
    if (this.mode === "edit") this.#enableEditing();
  }

  // Whether a drawing is started and not closed yet.
  get unfinished() {
    return ["draw", "hole", "box"].includes(this.mode) && this.clicks > 0;
  }

  // Remove the last point of an unfinished drawing.
  removeLastPoint() {
    if (this.mode === "box" || this.clicks < 2) {
      this.start(this.mode);
      return;
    }
    this.map.pm.Draw.Polygon._removeLastVertex();
    this.clicks -= 1;
  }

  // Start a mode, or end it if it is active already.
  start(mode) {
    const again = this.mode === mode && !this.automatic && !this.unfinished;
    this.stop();
    if (again || !this.overlay) return;
    this.#setMode(mode);
    if (mode === "edit") this.#enableEditing();
    else this.map.pm.enableDraw(mode === "box" ? "Rectangle" : "Polygon");
  }

  stop() {
    this.map.pm.disableDraw();
    for (const layer of this.layers) layer.pm.disable();
    this.#setMode(null);
  }

  selectNext() {
    if (this.layers.length) this.#select((this.selected + 1) % this.layers.length);
  }

  // All but the selected polygon.
  withoutSelected() {
    return this.polygons.filter((_, at) => at !== this.selected);
  }

  #setMode(mode, automatic = false) {
    this.mode = mode;
    this.automatic = automatic;
    this.clicks = 0;
    this.handlers.mode(mode);
  }

  #enableEditing() {
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
      layer.setStyle({ ...this.style, ...(several && at === this.selected ? SELECTED : {}) }),
    );
  }

  #edited() {
    const polygons = this.polygons;
    const all = this.layers.every((layer) => this.map.hasLayer(layer));
    if (!all || polygons.length < this.layers.length) this.polygons = polygons;
    this.handlers.changed(polygons);
  }

  #created(layer) {
    const ring = layer.getLatLngs()[0].map(point);
    const mode = this.mode;
    layer.remove();
    const polygons = this.polygons;
    const result = {
      draw: () => [...polygons, [ring]],
      hole: () => this.#withHole(polygons, ring),
      box: () => this.#withBox(polygons, ring),
    }[mode]();
    if (typeof result === "string") {
      this.stop();
      this.handlers.refused(result);
      return;
    }
    if (mode === "box") this.#setMode(null);
    else this.#setMode("edit", true);
    this.polygons = result;
    this.handlers.changed(this.polygons);
  }

  // The polygons with a hole in every outline around it, or why not. A hole across a border would
  // count as inside beyond it.
  #withHole(polygons, ring) {
    const shares = polygons.map(([border]) => ring.filter((vertex) => encloses(border, vertex)).length);
    if (shares.some((count) => count > 0 && count < ring.length)) {
      return "a hole must not cross an outline's border; draw it again";
    }
    if (!shares.some(Boolean)) return "a hole must lie inside an outline; draw it again";
    return polygons.map((rings, at) => (shares[at] ? [...rings, ring] : rings));
  }

  // The polygons with a box clipped to the film, or why not.
  #withBox(polygons, ring) {
    const clipped = ring.map(([x, y]) => [
      Math.min(Math.max(x, 0), this.width),
      Math.min(Math.max(y, 0), this.height),
    ]);
    const [xs, ys] = [0, 1].map((axis) => clipped.map((vertex) => vertex[axis]));
    const empty = [xs, ys].some((side) => Math.max(...side) === Math.min(...side));
    return empty ? "the box lies off the film; draw it again" : [...polygons, [clipped]];
  }
}
