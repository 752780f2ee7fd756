// The history of Try: runs with their pictures. They go on while another view is looked at, and this browser keeps the
// finished ones (IndexedDB, this origin only), so that a closed tab loses none.

import { useEffect, useState } from "/page/vendor/htm-preact.js";
import { clear, createStore, delMany, keys, set, values } from "/page/vendor/idb-keyval.js";
import { draw, isBusy } from "/page/drawing.js";

const KEPT_RUNS = 40;
const shelf = createStore("textinv", "runs");
const controls = new Map();
const listeners = new Set();
let runs = []; // the newest first

function tell(changed) {
  runs = changed;
  listeners.forEach((listener) => listener(runs));
}

/** All runs, the newest first, now and whenever one changes. */
export function useRuns() {
  const [now, setNow] = useState(runs);
  useEffect(() => {
    listeners.add(setNow);
    setNow(runs);
    return () => listeners.delete(setNow);
  }, []);
  return now;
}

export async function begin(run) {
  const control = new AbortController();
  controls.set(run.id, control);
  tell([run, ...runs].slice(0, KEPT_RUNS));
  const changed = (place, cell) =>
    tell(runs.map((one) => (one.id === run.id ? { ...one, cells: one.cells.map((was, at) => (at === place ? cell : was)) } : one)));
  await draw(run, changed, control.signal);
  controls.delete(run.id);
  await keep(runs.find((one) => one.id === run.id));
}

export const stop = (id) => controls.get(id)?.abort();

/** Drop every run that is over, here and in this browser's memory. */
export async function forget() {
  tell(runs.filter(isBusy));
  await clear(shelf).catch(() => {});
}

async function keep(run) {
  if (!run) return;
  try {
    await set(run.id, stored(run), shelf);
    const old = (await keys(shelf)).sort((one, other) => other - one).slice(KEPT_RUNS);
    if (old.length) await delMany(old, shelf);
  } catch {
    // a private window or a full disk: these runs last as long as the tab
  }
}

async function restore() {
  const kept = (await values(shelf).catch(() => [])).map(shown);
  const known = new Set(runs.map((run) => run.id));
  tell([...runs, ...kept.filter((run) => !known.has(run.id))].sort((one, other) => other.id - one.id).slice(0, KEPT_RUNS));
}

// An address of a picture ends with the tab, and an error loses its getters when it is kept.
const stored = (run) => withCells(run, ({ error, ...cell }) => ({
  ...cell,
  error: error && { message: error.message, advice: error.advice },
  pictures: cell.pictures.map((picture) => picture && { ...picture, src: null }),
}));
const shown = (run) => withCells(run, (cell) => ({
  ...cell,
  pictures: cell.pictures.map((picture) => picture && { ...picture, src: URL.createObjectURL(picture.file) }),
}));
const withCells = (run, change) => ({ ...run, cells: run.cells.map(change) });

restore();
