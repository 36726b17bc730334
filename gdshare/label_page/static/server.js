// What the page asks of its server, and the one place that saves.

// A refusal by the server, or (status 0) no answer at all.
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function answered(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Refusal(0, "the server does not answer; is gdshare label --serve still running?");
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let reason = text;
  try {
    reason = JSON.parse(text).error;
  } catch {
    // The door answers in plain text.
  }
  throw new Refusal(answer.status, reason.trim());
}

export const films = async () => (await answered("/api/films")).json();
export const totals = async () => (await answered("/api/totals")).json();
export const film = async (name) => (await answered(`/api/films/${name}`)).json();

export async function pixels(name) {
  const answer = await answered(`/api/films/${name}/pixels`);
  const [width, height] = ["x-width", "x-height"].map((key) => Number(answer.headers.get(key)));
  return { width, height, values: new Uint16Array(await answer.arrayBuffer()) };
}

const asJson = (method, value) => ({
  method,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(value),
});

// Decide about a held film: {decision, by, boxes, seen}; answers its new state.
export const review = async (name, decided) =>
  (await answered(`/api/films/${name}/review`, asJson("POST", decided))).json();

const AGAIN_MS = 2000;

// Saves drawings one after another, each based on the version that the last answer named. What is
// not saved yet is kept and tried again; of several waiting drawings only the newest is sent.
export class Saver {
  #waiting = null;
  #running = false;
  #listeners = [];

  // said.saved(answer); said.stale(message): somebody else saved; said.gone(message): the film can
  // not be outlined any more; said.refused(message): it is no drawing; said.failed(message): it is
  // tried again
  constructor(said) {
    this.said = said;
    this.film = null;
    this.version = 0;
  }

  // From now on save to this film; only when nothing is waiting for another.
  open(film, version) {
    [this.film, this.version, this.#waiting] = [film, version, null];
  }

  get busy() {
    return this.#running || this.#waiting !== null;
  }

  offer(drawing) {
    this.#waiting = drawing;
    this.#run();
  }

  // Resolves when all is saved, or when a save fails: true if all is saved.
  idle() {
    if (!this.busy) return Promise.resolve(true);
    this.#run();
    return new Promise((resolve) => this.#listeners.push(resolve));
  }

  async #run() {
    if (this.#running) return;
    this.#running = true;
    let drawing = null;
    try {
      while (this.#waiting !== null) {
        [drawing, this.#waiting] = [this.#waiting, null];
        const wanted = { drawing, based_on: this.version };
        const answer = await answered(`/api/films/${this.film}/outline`, asJson("PUT", wanted));
        const saved = await answer.json();
        this.version = saved.version;
        this.said.saved(saved);
      }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const final = { 403: "gone", 404: "gone", 409: "stale", 413: "refused", 422: "refused" }[
        error.status
      ];
      if (final) {
        this.#waiting = null;
        this.said[final](error.message);
      } else {
        this.#waiting ??= drawing;
        this.said.failed(error.message);
        setTimeout(() => this.#waiting !== null && this.#run(), AGAIN_MS);
      }
    } finally {
      this.#running = false;
      const listeners = this.#listeners.splice(0);
      for (const tell of listeners) tell(!this.busy);
    }
  }
}
