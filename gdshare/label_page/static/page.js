// The page: which film is shown, what a person does with it, and what is told about it.

import { button, el, radios } from "./elements.js";
import { FilmList } from "./film_list.js";
import { FilmMap } from "./film_map.js";
import { listen } from "./keys.js";
import { Picture } from "./picture.js";
import * as server from "./server.js";
import { View } from "./view.js";

const HINTS = {
  draw: "Click along the organ's border; click the first point, or press Enter, to close it. Esc gives up.",
  hole: "Click around what is not organ, inside an outline; Enter closes it. Esc gives up.",
  edit: "Drag a point; drag a faint one to add a point; right-click a point to remove it. Esc ends.",
  null: "",
};
const CLASSES = ["i", "n", "p", "discarded"];
const TOTALS_AFTER_MS = 300;

let list = null;
let last = null; // name of the film that was asked for last, or is shown
let shown = null; // {name, drawing, undo, redo}; null until the first is there
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
  list = new FilmList(told.films, (name) => attempt(() => open(name)));
  tellTotals();
  const wanted = list.find(location.hash.slice(1)) ?? list.films[0];
  if (wanted) await open(wanted.film);
  else warn("The store holds no released film; see gdshare import and gdshare review.");
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
  view.show(picture, same);
  map.show(picture.canvas, told.width, told.height);
  shown = { name, drawing: told.drawing, undo: [], redo: [] };
  saver.open(name, told.version);
  el("name").textContent = name;
  list.choose(name);
  list.update(name, told.drawing);
  warn("");
  say(told);
  map.polygons = told.drawing.polygons;
  tellDrawing();
  tellGrid(told.grid);
}

function step(by) {
  const film = list?.beside(last, by);
  if (film) attempt(() => open(film.film));
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
  el("status").textContent = "saving";
  saver.offer(drawing);
}

function travel(from, to) {
  if (!ready() || !shown[from].length) return;
  shown[to].push(shown.drawing);
  become(shown[from].pop());
  map.polygons = shown.drawing.polygons;
}

function remove() {
  if (!ready() || !map.layers.length) return;
  const polygons = map.withoutSelected();
  map.polygons = polygons;
  change({ polygons });
}

function diagnose(diagnosis) {
  if (ready() && shown.drawing.diagnosis !== diagnosis) change({ diagnosis });
}

function tellDrawing() {
  for (const radio of radios()) radio.checked = radio.value === (shown.drawing.diagnosis ?? "");
  button("undo").disabled = !shown.undo.length;
  button("redo").disabled = !shown.redo.length;
}

function tellMode(mode) {
  for (const name of ["draw", "hole", "edit"]) {
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

const acts = {
  previous: () => step(-1),
  next: () => step(1),
  negative: () => diagnose("negative"),
  positive: () => diagnose("positive"),
  undiagnosed: () => diagnose(null),
  draw: () => map.start("draw"),
  hole: () => map.start("hole"),
  edit: () => map.start("edit"),
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
  help: () => el("help").showModal(),
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
window.addEventListener("beforeunload", (event) => saver.busy && event.preventDefault());
window.addEventListener("hashchange", () => {
  const name = location.hash.slice(1);
  if (name !== last && list?.find(name)) attempt(() => open(name));
});
attempt(openStore);
