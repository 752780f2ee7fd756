// Drawing: one request's stream of sketches and pictures, and runs of several requests side by side.
// A run is {id, title, columns, cells}; a cell is {label, settings, pictures, state, error}.

import { eventError, events } from "/page/api.js";

const AT_ONCE = 4;
let lastId = 0;

export const NORMAL = {
  prompt: "",
  negative_prompt: "",
  num_inference_steps: 25,
  guidance_scale: 4,
  noise_scheduler: "",
  attention_weights: false,
  seed: 0,
  n: 1,
};

export const newRun = (title, cells, columns = null) => ({
  id: Date.now() * 1000 + (++lastId % 1000), // later runs have larger ids, also in another tab
  title,
  columns,
  cells: cells.map((cell) => ({ ...cell, pictures: [], state: "waiting", error: null })),
});

export const isBusy = (run) => run.cells.some((cell) => cell.state === "drawing" || cell.state === "waiting");

export const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

/** Draws all cells of a run, some at a time; `changed(place, cell)` hears of every change. */
export async function draw(run, changed, signal) {
  const waiting = run.cells.map((cell, place) => [place, cell]);
  const worker = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [place, cell] = next;
      await drawCell(cell, (now) => changed(place, now), signal);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

async function drawCell(cell, changed, signal) {
  const pictures = Array.from({ length: cell.settings.n }, () => null);
  let concepts = {};
  const tell = (state, error = null) => changed({ ...cell, pictures: [...pictures], concepts, state, error });
  tell("drawing");
  try {
    const json = { ...cell.settings, stream: true, partial_images: 3 };
    if (!json.noise_scheduler) delete json.noise_scheduler;
    const stream = events("/v1/images/generations", { method: "POST", json, signal });
    for await (const { event, data } of stream) {
      if (event === "error") throw eventError(data);
      const done = event.endsWith(".completed");
      const before = pictures[data.image_index];
      if (before) URL.revokeObjectURL(before.src);
      const file = new Blob([Uint8Array.from(atob(data.b64_json), (byte) => byte.charCodeAt(0))], { type: "image/png" });
      pictures[data.image_index] = {
        file,
        src: URL.createObjectURL(file),
        done,
        seed: data.seed ?? cell.settings.seed + data.image_index,
      };
      if (done) concepts = data.concepts ?? {};
      tell("drawing");
    }
    tell("done");
  } catch (error) {
    tell(error.name === "AbortError" ? "cancelled" : "failed", error.name === "AbortError" ? null : error);
  }
}
