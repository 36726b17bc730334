// The page: which film is shown, what a person does with it, and what is told about it.

import { button, el, radios } from "./elements.js";
import { FilmList } from "./film_list.js";
import { FilmMap } from "./film_map.js";
import { listen } from "./keys.js";
import { Picture } from "./picture.js";
import { Review } from "./review.js";
import * as server from "./server.js";
import { View } from "./view.js";

const HINTS = {
  draw: "Click along the organ's border; click the first point, or press Enter, to close it. Esc gives up.",
  hole: "Click around what is not organ, inside an outline; Enter closes it. Esc gives up.",
  box: "Click at one corner of what is to be made black, then at the other. Esc gives up.",
  edit: "Drag a point; drag a faint one to add a point; right-click a point to remove it. Esc ends.",
  null: "",
};
const UNFINISHED = "End what you are drawing first: Enter closes it, Esc gives it up.";
const CLASSES = ["i", "n", "p", "discarded"];
const TOTALS_AFTER_MS = 300;

let list = null;
let review = null;
let last = null; // name of the film that was asked for last, or is shown
let shown = null; // {name, held, drawing, undo, redo}; null until the first is there
const marked = new Map(); // held film -> what is marked on it, until it is decided about
let opening = 0; // films on their way; while there are any, no key changes the one on the screen

const view = new View();
const map = new FilmMap(el("map"), {
  changed: (polygons) => change({ polygons }),
  mode: tellMode,
  refused: warn,
});
const saver = new server.Saver({
  saved(answer) {
    warn("");
    say(answer);
    tellGrid(answer.grid);
    list.update(shown.name, shown.drawing);
    tellTotals();
  },
  stale() {
    attempt(async () => {
      await open(shown.name);
      warn("Another tab or person changed this film: it was loaded again. Do your last change anew.");
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
      await open(shown.name);
      warn(`NOT SAVED, and as it was before: ${message}`);
    });
  },
  failed: (message) => warn(`NOT SAVED: ${message} Trying again; leave this tab open.`),
});

function warn(message) {
  el("alert").textContent = message;
}

function say({ version, saved_at: at }) {
  const when = at ? `saved at ${new Date(at).toLocaleTimeString()} (version ${version})` : "";
  el("status").textContent = when || "nothing drawn yet";
}

// ---- films ----

async function openStore() {
  const told = await server.films();
  const { patch, stride, outside, inside, resample_mm: mm } = told.protocol;
  const size = mm === null ? "px" : `pixels of ${mm} mm`;
  el("rule").textContent =
    `Windows of ${patch} ${size}, a step of ${stride}. Less than ${outside} of organ: I; ` +
    `more than ${inside}: N or P.`;
  review ??= new Review(told.reviewer, {
    hindrance: () => (map.unfinished ? UNFINISHED : ready() ? null : "The film is on its way."),
    hindered: warn,
    decided: (name, decided) => attempt(() => decide(name, decided)),
  });
  list = new FilmList(told.films, choose);
  tellTotals();
  const asked = location.hash.slice(1);
  const wanted = list.find(asked) ?? list.first;
  if (!wanted) return empty();
  await open(wanted.film);
  if (asked && asked !== wanted.film) warn(`${asked} is not in the list; here is another film.`);
}

// Go to another film, unless something on this one is not ended.
function choose(name) {
  if (map.unfinished) warn(UNFINISHED);
  else attempt(() => open(name));
}

function empty() {
  map.clear();
  review.hide();
  shown = last = null;
  delete document.body.dataset.state;
  el("name").textContent = "No film";
  el("status").textContent = "no film left in the store";
  warn("The store holds no film that can be shown; see gdshare import.");
}

async function open(name) {
  opening += 1;
  last = name;
  try {
    if (!(await saver.idle())) return; // what is not saved stays on the screen
    const [told, pixels] = await Promise.all([server.film(name), server.pixels(name)]);
    if (last === name) show(name, told, pixels);
  } finally {
    opening -= 1;
    if (!opening) last = shown?.name ?? null; // where it could not be opened
  }
}

function show(name, told, pixels) {
  const same = shown?.name === name;
  if (!same) location.replace(`#${name}`);
  const picture = new Picture(pixels);
  const held = told.state === "held";
  view.show(picture, same);
  map.show(picture.canvas, told.width, told.height, held, (held && told.text) || []);
  review.hide();
  shown = { name, held, drawing: told.drawing ?? { polygons: [] }, undo: [], redo: [] };
  if (held) {
    shown = marked.get(name) ?? shown;
    marked.set(name, shown);
  }
  document.body.dataset.state = told.state;
  el("name").textContent = name;
  list.choose(name);
  warn("");
  if (held) {
    map.grid.show(null);
    review.show(name, told, Math.ceil(told.width / pixels.width));
    el("status").textContent = "held for a review";
  } else {
    saver.open(name, told.version);
    list.update(name, told.drawing);
    say(told);
    tellGrid(told.grid);
  }
  map.polygons = shown.drawing.polygons;
  tellDrawing();
}

// ---- a held film ----

async function decide(name, decided) {
  const beside = list.beside(name, 1) ?? list.beside(name, -1);
  try {
    await server.review(name, decided);
  } catch (error) {
    if (error.status === 409) {
      marked.delete(name); // it is decided about
      await openStore();
    }
    throw error;
  }
  marked.delete(name);
  if (decided.decision === "reject") location.replace(`#${beside?.film ?? ""}`);
  await openStore();
}

function step(by) {
  const film = list?.beside(last, by);
  if (film) choose(film.film);
}

// ---- the drawing ----

const ready = () => shown !== null && !opening;

function change(part) {
  if (!ready()) return;
  shown.undo.push(shown.drawing);
  shown.redo = [];
  become({ ...shown.drawing, ...part });
}

function become(drawing) {
  shown.drawing = drawing;
  tellDrawing();
  if (shown.held) return;
  el("status").textContent = "saving";
  saver.offer(drawing);
}

function travel(from, to) {
  if (map.unfinished) return from === "undo" && map.unpick();
  if (!ready() || !shown[from].length) return;
  shown[to].push(shown.drawing);
  become(shown[from].pop());
  map.polygons = shown.drawing.polygons;
}

function remove() {
  if (map.unfinished) return map.unpick();
  if (!ready() || !map.layers.length) return;
  const polygons = map.withoutSelected();
  map.polygons = polygons;
  change({ polygons });
}

function diagnose(diagnosis) {
  if (ready() && !shown.held && shown.drawing.diagnosis !== diagnosis) change({ diagnosis });
}

function tellDrawing() {
  if (shown.held) review.boxes(shown.drawing.polygons);
  for (const radio of radios()) radio.checked = radio.value === (shown.drawing.diagnosis ?? "");
  button("undo").disabled = !shown.undo.length;
  button("redo").disabled = !shown.redo.length;
}

function tellMode(mode) {
  for (const name of ["draw", "hole", "edit", "box"]) {
    button(name).setAttribute("aria-pressed", String(name === mode));
  }
  el("hint").textContent = HINTS[mode];
}

// ---- the windows ----

function tellGrid(grid) {
  map.grid.show(grid);
  for (const name of [...CLASSES, "undecided"]) el(`film-${name}`).textContent = grid.counts[name];
  el("problem").textContent = grid.problem;
}

let soon = null;

function tellTotals() {
  clearTimeout(soon);
  soon = setTimeout(() => attempt(askTotals), TOTALS_AFTER_MS);
}

async function askTotals() {
  const told = await server.totals();
  for (const name of CLASSES) el(`all-${name}`).textContent = told[name];
  el("all").textContent = told.films === 1 ? "1 ready film" : `${told.films} ready films`;
}

// ---- what a person does ----

async function attempt(what) {
  try {
    await what();
  } catch (error) {
    if (!(error instanceof server.Refusal)) throw error;
    warn(error.message);
  }
}

// Boxes are drawn on a held film, outlines on a released one.
function start(mode) {
  if (ready() && shown.held === (mode === "box")) map.start(mode);
}

const acts = {
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

listen(acts);
for (const radio of radios()) {
  radio.addEventListener("change", () => {
    diagnose(radio.value || null);
    if (shown) tellDrawing(); // where it was not taken, the mark goes back
  });
}
el("help-open").addEventListener("click", acts.help);
el("help-close").addEventListener("click", () => el("help").close());
window.addEventListener("beforeunload", (event) => {
  const boxes = [...marked.values()].some((one) => one.drawing.polygons.length);
  if (saver.busy || boxes) event.preventDefault();
});
window.addEventListener("hashchange", () => {
  const name = location.hash.slice(1);
  if (name !== last && list?.find(name)) choose(name);
});
attempt(openStore);
