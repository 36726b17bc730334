// The page: the current film, the actions on it, and what is shown about it.

import { button, el, radios } from "./elements.js";
import { FilmList } from "./film_list.js";
import { FilmMap } from "./film_map.js";
import { listen } from "./keys.js";
import { Picture } from "./picture.js";
import { Review } from "./review.js";
import * as server from "./server.js";
import { View } from "./view.js";

const HINTS = {
  draw: "Click along the organ's border; click the first point or press Enter to close it. Esc cancels.",
  hole: "Click around the hole, inside an outline; Enter closes it. Esc cancels.",
  box: "Click two opposite corners of the box to black out. Esc cancels.",
  edit: "Drag a point; drag a faint point to add one; right-click a point to remove it. Esc ends.",
  null: "",
};
const UNFINISHED = "Finish the drawing first: Enter closes it, Esc cancels it.";
const CLASSES = ["i", "n", "p", "discarded"];
const TOTALS_DELAY_MS = 300;

let list = null;
let review = null;
let requested = null; // name of the film requested last
let current = null; // {name, isHeld, drawing, undo, redo} of the film on the screen, or null
const reviews = new Map(); // held film -> its current, with the boxes drawn on it, until reviewed
let loading = 0; // films being loaded; meanwhile no key changes the film on the screen

const view = new View();
const map = new FilmMap(el("map"), {
  changed: (polygons) => change({ polygons }),
  mode: renderMode,
  refused: warn,
});
const saver = new server.Saver({
  saved(outline) {
    warn("");
    renderSaved(outline);
    renderGrid(outline.grid);
    list.update(current.name, current.drawing);
    scheduleTotals();
  },
  stale() {
    attempt(async () => {
      await open(current.name);
      warn("Another tab or person changed this film. It was reloaded; repeat your last change.");
    });
  },
  gone(message) {
    attempt(async () => {
      await openStore();
      warn(`NOT SAVED: ${message}`);
    });
  },
  refused(message) {
    attempt(async () => {
      await open(current.name);
      warn(`NOT SAVED, reverted: ${message}`);
    });
  },
  failed: (message) => warn(`NOT SAVED: ${message} Retrying; keep this tab open.`),
});

function warn(message) {
  el("alert").textContent = message;
}

function renderSaved({ version, saved_at: at }) {
  const when = at ? `saved at ${new Date(at).toLocaleTimeString()} (version ${version})` : "";
  el("status").textContent = when || "nothing drawn yet";
}

// ---- films ----

async function openStore() {
  const { protocol, reviewer, films } = await server.films();
  const { outside, inside } = protocol;
  el("rule").textContent = `I: less than ${outside} of organ; N or P: more than ${inside}.`;
  review ??= new Review(reviewer, {
    obstacle: () => (map.unfinished ? UNFINISHED : ready() ? null : "The film is still loading."),
    warn,
    confirmed: (name, decision) => attempt(() => submitReview(name, decision)),
  });
  list = new FilmList(films, choose);
  scheduleTotals();
  const name = location.hash.slice(1);
  const film = list.find(name) ?? list.first;
  if (!film) return empty();
  await open(film.film);
  if (name && name !== film.film) warn(`${name} is not in the list; this is another film.`);
}

// Go to another film, unless a drawing is unfinished.
function choose(name) {
  if (map.unfinished) warn(UNFINISHED);
  else attempt(() => open(name));
}

function empty() {
  map.clear();
  review.hide();
  current = requested = null;
  delete document.body.dataset.state;
  el("name").textContent = "No film";
  el("status").textContent = "no film left in the store";
  warn("The store contains no films; add some with gdshare import.");
}

async function open(name) {
  loading += 1;
  requested = name;
  try {
    if (!(await saver.idle())) return; // an unsaved film stays on the screen
    const [film, pixels] = await Promise.all([server.film(name), server.pixels(name)]);
    if (requested === name) show(name, film, pixels);
  } finally {
    loading -= 1;
    if (!loading) requested = current?.name ?? null; // after a failure
  }
}

function show(name, film, pixels) {
  const same = current?.name === name;
  if (!same) location.replace(`#${name}`);
  const picture = new Picture(pixels);
  const isHeld = film.state === "held";
  view.show(picture, same);
  map.show(picture.canvas, film.width, film.height, isHeld, (isHeld && film.text) || []);
  review.hide();
  current = { name, isHeld, drawing: film.drawing ?? { polygons: [] }, undo: [], redo: [] };
  if (isHeld) {
    current = reviews.get(name) ?? current;
    reviews.set(name, current);
  }
  document.body.dataset.state = film.state;
  el("name").textContent = name;
  list.choose(name);
  warn("");
  if (isHeld) {
    map.grid.show(null);
    review.show(name, film, Math.ceil(film.width / pixels.width));
    el("status").textContent = "held for review";
  } else {
    saver.open(name, film.version);
    list.update(name, film.drawing);
    renderSaved(film);
    renderGrid(film.grid);
    el("size").textContent = sizes(film.grid, film.spacing_mm);
  }
  map.polygons = current.drawing.polygons;
  renderDrawing();
}

// ---- a held film ----

async function submitReview(name, decision) {
  const neighbour = list.neighbour(name, 1) ?? list.neighbour(name, -1);
  try {
    await server.review(name, decision);
  } catch (error) {
    if (error.status === 409) {
      reviews.delete(name); // it was reviewed elsewhere
      await openStore();
    }
    throw error;
  }
  reviews.delete(name);
  if (decision.decision === "reject") location.replace(`#${neighbour?.film ?? ""}`);
  await openStore();
}

function step(offset) {
  const film = list?.neighbour(requested, offset);
  if (film) choose(film.film);
}

// ---- the drawing ----

const ready = () => current !== null && !loading;

function change(part) {
  if (!ready()) return;
  current.undo.push(current.drawing);
  current.redo = [];
  setDrawing({ ...current.drawing, ...part });
}

function setDrawing(drawing) {
  current.drawing = drawing;
  renderDrawing();
  if (current.isHeld) return;
  el("status").textContent = "saving";
  saver.offer(drawing);
}

// Undo, which moves drawings from current.undo to current.redo, or redo.
function travel(from, to) {
  if (map.unfinished) return from === "undo" && map.removeLastPoint();
  if (!ready() || !current[from].length) return;
  current[to].push(current.drawing);
  setDrawing(current[from].pop());
  map.polygons = current.drawing.polygons;
}

function remove() {
  if (map.unfinished) return map.removeLastPoint();
  if (!ready() || !map.layers.length) return;
  const polygons = map.withoutSelected();
  map.polygons = polygons;
  change({ polygons });
}

function diagnose(diagnosis) {
  if (ready() && !current.isHeld && current.drawing.diagnosis !== diagnosis) change({ diagnosis });
}

function renderDrawing() {
  if (current.isHeld) review.setBoxes(current.drawing.polygons);
  for (const radio of radios()) radio.checked = radio.value === (current.drawing.diagnosis ?? "");
  button("undo").disabled = !current.undo.length;
  button("redo").disabled = !current.redo.length;
}

function renderMode(mode) {
  for (const name of ["draw", "hole", "edit", "box"]) {
    button(name).setAttribute("aria-pressed", String(name === mode));
  }
  el("hint").textContent = HINTS[mode];
}

// ---- the windows ----

// The sides of a window and of a square of the grid on this film, in px and on the patient.
function sizes({ patch, stride }, spacing) {
  const side = (px) => {
    if (!spacing) return `${px} px`;
    const [down, across] = spacing.map((mm) => (px * mm).toFixed(1));
    return `${px} px (${down === across ? down : `${across} x ${down}`} mm)`;
  };
  const unknown = spacing ? "" : " Pixel size unknown.";
  return patch ? `Window ${side(patch)}, square ${side(stride)} wide.${unknown}` : "";
}

function renderGrid(grid) {
  map.grid.show(grid);
  for (const name of [...CLASSES, "undecided"]) el(`film-${name}`).textContent = grid.counts[name];
  el("problem").textContent = grid.problem;
}

let totalsTimer = null;

function scheduleTotals() {
  clearTimeout(totalsTimer);
  totalsTimer = setTimeout(() => attempt(renderTotals), TOTALS_DELAY_MS);
}

async function renderTotals() {
  const totals = await server.totals();
  for (const name of CLASSES) el(`all-${name}`).textContent = totals[name];
  el("all").textContent = totals.films === 1 ? "1 ready film" : `${totals.films} ready films`;
}

// ---- actions ----

async function attempt(task) {
  try {
    await task();
  } catch (error) {
    if (!(error instanceof server.Refusal)) throw error;
    warn(error.message);
  }
}

// Boxes are drawn on a held film, outlines on a released one.
function start(mode) {
  if (ready() && current.isHeld === (mode === "box")) map.start(mode);
}

const actions = {
  previous: () => step(-1),
  next: () => step(1),
  negative: () => diagnose("negative"),
  positive: () => diagnose("positive"),
  undiagnosed: () => diagnose(null),
  draw: () => start("draw"),
  hole: () => start("hole"),
  edit: () => start("edit"),
  box: () => start("box"),
  stop: () => map.stop(),
  select: () => map.selectNext(),
  delete: remove,
  undo: () => travel("undo", "redo"),
  redo: () => travel("redo", "undo"),
  closer: () => map.zoom(1),
  farther: () => map.zoom(-1),
  fit: () => map.fit(),
  brighter: () => view.brighten(1),
  darker: () => view.brighten(-1),
  harder: () => view.harden(1),
  softer: () => view.harden(-1),
  automatic: () => view.automatic(),
  invert: () => view.invert(),
  grid: () => button("grid").setAttribute("aria-pressed", String(map.grid.toggle())),
  help: () => (el("help").open ? el("help").close() : el("help").showModal()),
};

listen(actions);
for (const radio of radios()) {
  radio.addEventListener("change", () => {
    diagnose(radio.value || null);
    if (current) renderDrawing(); // if refused, the radio button goes back
  });
}
el("help-open").addEventListener("click", actions.help);
el("help-close").addEventListener("click", () => el("help").close());
window.addEventListener("beforeunload", (event) => {
  const boxes = [...reviews.values()].some(({ drawing }) => drawing.polygons.length);
  if (saver.busy || boxes) event.preventDefault();
});
window.addEventListener("hashchange", () => {
  const name = location.hash.slice(1);
  if (name !== requested && list?.find(name)) choose(name);
});
attempt(openStore);
