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
    new ResizeObserver(() => this.map.invalidateSize({ pan: false })).observe(element);
  }

  // Show another film: its canvas, its size in px, and whether boxes are drawn on it. Pieces of it,
  // {left, top, right, bottom}, may be marked.
  show(canvas, width, height, boxing, marks) {
    this.stop();
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
  }

  zoom(steps) {
    this.map.setZoom(this.map.getZoom() + steps * ZOOM_STEP, { animate: false });
  }

  get polygons() {
    return this.layers.map((layer) =>
      layer
        .getLatLngs()
        .map((ring) => ring.map(place))
        .filter((ring) => ring.length >= 3),
    );
  }

  set polygons(polygons) {
    for (const layer of this.layers) layer.remove();
    this.layers = polygons.map((rings) => L.polygon(rings.map((ring) => ring.map(latlng)), this.style));
    this.selected = Math.min(this.selected, Math.max(0, polygons.length - 1));
    this.layers.forEach((layer, at) => {
      layer.addTo(this.map);
      layer.on("click", () => this.#select(at));
      layer.on("pm:edit", () => this.said.changed(this.polygons));
      layer.on("pm:remove", () => {
        this.layers = this.layers.filter((one) => one !== layer);
        this.said.changed(this.polygons);
      });
    });
    this.#paint();
    if (this.mode === "edit") this.#editable();
  }

  start(mode) {
    const again = this.mode === mode;
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

  #be(mode) {
    this.mode = mode;
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

  #created(layer) {
    const ring = layer.getLatLngs()[0].map(place);
    const hole = this.mode === "hole";
    const box = this.mode === "box";
    layer.remove();
    const polygons = this.polygons;
    const around = polygons.findIndex(([border]) => encloses(border, ring[0]));
    if (hole && around < 0) {
      this.stop();
      this.said.refused("a hole must begin inside an outline; draw it again");
      return;
    }
    this.#be(box ? null : "edit");
    this.polygons = hole
      ? polygons.map((rings, at) => (at === around ? [...rings, ring] : rings))
      : [...polygons, [ring]];
    this.said.changed(this.polygons);
  }
}
