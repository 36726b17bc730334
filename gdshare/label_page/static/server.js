// Requests to the server, and the only place that saves.

// A refusal by the server, or (status 0) no response at all.
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refusal(0, "the server does not answer; is gdshare label --serve still running?");
  }
  if (response.ok) return response;
  const text = await response.text();
  let reason = text;
  try {
    reason = JSON.parse(text).error;
  } catch {
    // AuthMiddleware refuses in plain text.
  }
  throw new Refusal(response.status, reason.trim());
}

export const films = async () => (await request("/api/films")).json();
export const totals = async () => (await request("/api/totals")).json();
export const film = async (name) => (await request(`/api/films/${name}`)).json();

export async function pixels(name) {
  const response = await request(`/api/films/${name}/pixels`);
  const [width, height] = ["x-width", "x-height"].map((key) => Number(response.headers.get(key)));
  return { width, height, values: new Uint16Array(await response.arrayBuffer()) };
}

const asJson = (method, value) => ({
  method,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(value),
});

// Review a held film: {decision, by, boxes, seen}; returns its new state.
export const review = async (name, body) =>
  (await request(`/api/films/${name}/review`, asJson("POST", body))).json();

const RETRY_MS = 2000;

// Saves drawings one at a time, each based on the version in the last response. An unsaved drawing is
// kept and retried; of several waiting drawings only the newest is sent.
export class Saver {
  #waiting = null;
  #running = false;
  #listeners = [];

  // Handlers: saved(outline); stale(message), when somebody else saved; gone(message), when the film
  // can no longer be outlined; refused(message), when the drawing is invalid; failed(message), before
  // a retry.
  constructor(handlers) {
    this.handlers = handlers;
    this.film = null;
    this.version = 0;
  }

  // Save to this film from now on; call it only when idle.
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

  // Resolves to true when all is saved, or to false when a save fails.
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
        const body = { drawing, based_on: this.version };
        const response = await request(`/api/films/${this.film}/outline`, asJson("PUT", body));
        const outline = await response.json();
        this.version = outline.version;
        this.handlers.saved(outline);
      }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const handler = { 403: "gone", 404: "gone", 409: "stale", 413: "refused", 422: "refused" }[
        error.status
      ];
      if (handler) {
        this.#waiting = null;
        this.handlers[handler](error.message);
      } else {
        this.#waiting ??= drawing;
        this.handlers.failed(error.message);
        setTimeout(() => this.#waiting !== null && this.#run(), RETRY_MS);
      }
    } finally {
      this.#running = false;
      const listeners = this.#listeners.splice(0);
      for (const resolve of listeners) resolve(!this.busy);
    }
  }
}
