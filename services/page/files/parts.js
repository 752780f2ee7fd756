// Parts that every view uses: loading, errors with advice, pictures that may need a key, small formatting.

import { html, useEffect, useState } from "/page/vendor/htm-preact.js";
import { blob, get, key } from "/page/api.js";

/** Loads `path` now and whenever it changes; `again()` reloads. */
export function useLoad(path) {
  const [state, setState] = useState({ loading: true });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (!path) return undefined;
    const control = new AbortController();
    setState((old) => ({ ...old, loading: true }));
    get(path, { signal: control.signal })
      .then((data) => setState({ data }))
      .catch((error) => error.name !== "AbortError" && setState({ error }));
    return () => control.abort();
  }, [path, turn]);
  return { ...state, again: () => setTurn((old) => old + 1) };
}

export function Problem({ error, again }) {
  if (!error) return null;
  return html`<div class="problem" role="alert">
    <p><strong>${error.message}</strong></p>
    ${error.problems?.length > 1 && html`<ul>${error.problems.map((one) => html`<li>${one.field}: ${one.message}</li>`)}</ul>`}
    ${error.advice && html`<p>${error.advice}</p>`}
    ${again && html`<button type="button" onClick=${again}>Try again</button>`}
  </div>`;
}

export const Loading = ({ what }) => html`<p class="loading" role="status">Loading ${what}…</p>`;

/** A picture of the service; with a key it is fetched, since an address cannot carry one. */
export function Picture({ src, alt, lazy = true, letter = "", ...rest }) {
  const [shown, setShown] = useState(key.get() ? null : src);
  const [gone, setGone] = useState(false);
  useEffect(() => {
    setGone(false);
    if (!key.get() || !src || src.startsWith("blob:") || src.startsWith("data:")) {
      setShown(src);
      return undefined;
    }
    const control = new AbortController();
    let url = null;
    blob(src, { signal: control.signal })
      .then((data) => setShown((url = URL.createObjectURL(data))))
      .catch(() => setGone(true));
    return () => {
      control.abort();
      if (url) URL.revokeObjectURL(url);
    };
  }, [src]);
  if (gone || !src) {
    return alt ? html`<span class="picture blank" role="img" aria-label=${`${alt}: no picture`}>${letter}</span>` : html`<span class="picture blank" aria-hidden="true">${letter}</span>`;
  }
  if (!shown) return html`<span class="picture blank" aria-hidden="true"></span>`;
  return html`<img class="picture" src=${shown} alt=${alt} loading=${lazy ? "lazy" : "eager"} onError=${() => setGone(true)} ...${rest} />`;
}

export function Field({ label, hint, error, children, id }) {
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${children}
    ${error ? html`<p class="hint wrong" id=${`${id}-hint`}>${error}</p>` : hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
  </div>`;
}

/** A number as people type it: "2." on the way to 2.5, or nothing (`change` hears NaN), stays as it stands. */
export function NumberInput({ value, change, ...rest }) {
  const [text, setText] = useState(String(value));
  const shown = Number.isNaN(value) || (text && Number(text) === value) ? text : String(value);
  const typed = (event) => {
    setText(event.target.value);
    change(event.target.valueAsNumber);
  };
  return html`<input type="number" required value=${shown} onInput=${typed} ...${rest} />`;
}

export const Badge = ({ state }) => html`<span class=${`badge ${state}`}>${state}</span>`;

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString()} ${number === 1 ? one : many}`;

export function duration(seconds) {
  if (seconds == null) return "not known yet";
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export const when = (iso) => (iso ? new Date(iso).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "");

export const fixed = (number, digits = 3) => (number == null ? "–" : Number(number).toFixed(digits));

export function save(name, data) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(data);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
