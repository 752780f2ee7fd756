// The prompt box: completes <names> while one types, and says which names resolve and how much room is left.

import { html, useEffect, useLayoutEffect, useRef, useState } from "/page/vendor/htm-preact.js";
import { get, post } from "/page/api.js";

const MOST = 1.5;
const PAUSE_MS = 250;
const SHOWN = 8;

/** The beginning of a name that ends at the caret: {start, text}, or null; behind an @ there is nothing to complete. */
function begun(text, caret) {
  const match = /<([a-z0-9._-]*)$/i.exec(text.slice(0, caret));
  return match && { start: caret - match[1].length - 1, text: match[1].toLowerCase() };
}

const mentions = (name) => new RegExp(`<${name.replaceAll(".", "\\.")}(@\\d+|@guess)?(?::([\\d.]+))?>`, "gi");

/** The strength at which a prompt names a concept by itself; null where it is only mixed with another. */
function strengthOf(text, name) {
  const match = mentions(name).exec(text);
  return match && Math.min(MOST, Number(match[2] ?? 1));
}

const withStrength = (text, name, strength) =>
  text.replace(mentions(name), (_, version = "") => `<${name}${version}${strength === 1 ? "" : `:${strength}`}>`);

function useNames(search) {
  const [names, setNames] = useState([]);
  useEffect(() => {
    if (search == null) return setNames([]);
    const control = new AbortController();
    const timer = setTimeout(() => {
      get(`/v1/concepts?limit=${SHOWN}&search=${encodeURIComponent(search)}`, { signal: control.signal })
        .then((page) => setNames(page.data.map((one) => one.name)))
        .catch(() => {});
    }, 80);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [search]);
  return names;
}

export function PromptBox({ id, label, value, change, submit, rows = 3, hint }) {
  const box = useRef(null);
  const [caret, setCaret] = useState(0);
  const [closed, setClosed] = useState(true);
  const [active, setActive] = useState(0);
  const found = closed ? null : begun(value, caret);
  const names = useNames(found ? found.text : null);
  const open = Boolean(found && names.length);
  const moved = useRef(null);
  useLayoutEffect(() => {
    if (moved.current === null) return;
    box.current.focus();
    box.current.setSelectionRange(moved.current, moved.current);
    moved.current = null;
  }, [value]);

  const choose = (name) => {
    const text = `${value.slice(0, found.start)}<${name}>${value.slice(caret)}`;
    const behind = found.start + name.length + 2;
    change(text);
    setClosed(true);
    moved.current = behind;
  };
  const typed = (event) => {
    change(event.target.value);
    setCaret(event.target.selectionStart);
    setClosed(false);
    setActive(0);
  };
  const pressed = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      return submit?.();
    }
    if (!open) return undefined;
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in moves) setActive((active + moves[event.key] + names.length) % names.length);
    else if (event.key === "Enter" || event.key === "Tab") choose(names[active]);
    else if (event.key === "Escape") setClosed(true);
    else return undefined;
    return event.preventDefault();
  };

  return html`<div class="field prompt">
    <label for=${id}>${label}</label>
    <textarea id=${id} ref=${box} rows=${rows} value=${value} spellcheck="false" maxlength="32000"
      role="combobox" aria-autocomplete="list" aria-expanded=${open} aria-controls=${`${id}-names`}
      aria-activedescendant=${open ? `${id}-name-${active}` : null} aria-describedby=${`${id}-meter`}
      onInput=${typed} onKeyDown=${pressed} onBlur=${() => setTimeout(() => setClosed(true), 150)}></textarea>
    <ul id=${`${id}-names`} class="names" role="listbox" aria-label="Concepts" hidden=${!open}>
      ${open && names.map((name, place) => html`<li id=${`${id}-name-${place}`} role="option" aria-selected=${place === active}
        onMouseDown=${(event) => { event.preventDefault(); choose(name); }}>${`<${name}>`}</li>`)}
    </ul>
    <div id=${`${id}-meter`}>${hint && !value ? html`<p class="hint">${hint}</p>` : html`<${Meter} id=${id} text=${value} change=${change} />`}</div>
  </div>`;
}

/** What the service makes of a prompt: resolved names, vectors, tokens of the window. */
function Meter({ id, text, change }) {
  const [told, setTold] = useState(null);
  useEffect(() => {
    if (!text.trim()) return setTold(null);
    const control = new AbortController();
    const timer = setTimeout(() => {
      post("/v1/prompts", { prompt: text }, { signal: control.signal })
        .then(setTold)
        .catch((error) => error.name !== "AbortError" && setTold({ problem: error.message }));
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [text]);
  if (!told || !text.trim()) return null;
  if (told.problem) return html`<p class="hint wrong">${told.problem}</p>`;
  return html`<ul class="meter" aria-label="What the prompt holds">
    <li>${told.tokens} of ${told.window * Math.max(1, told.chunks)} tokens${told.chunks > 1 ? `, in ${told.chunks} parts` : ""}</li>
    ${told.concepts.map((one) => html`<li class=${one.resolved ? "known" : "wrong"}>
      ${one.resolved
        ? html`${one.version === "guess" ? html`${`<${one.name}@guess>`} a first guess` : html`<a href=${`#/concepts/${encodeURIComponent(one.name)}`}>${`<${one.name}>`}</a> version ${one.version}`}, ${one.vectors === 1 ? "1 vector" : `${one.vectors} vectors`}`
        : html`${`<${one.name}>`} ${one.problem ?? "is not known here"}`}
      ${one.resolved && strengthOf(text, one.name) != null && html`<${Strength} id=${`${id}-strength-${one.name}`} name=${one.name} value=${strengthOf(text, one.name)} change=${(strength) => change(withStrength(text, one.name, strength))} />`}
    </li>`)}
    ${(told.hints ?? []).map((hint) => html`<li class="hint">${hint}</li>`)}
  </ul>`;
}

/** How much of a concept is drawn: 0 is its class word, 1 itself. */
function Strength({ id, name, value, change }) {
  return html`<span class="strength">
    <label for=${id}>Strength of ${name}</label>
    <input id=${id} type="range" min="0" max=${MOST} step="0.05" value=${value} onInput=${(event) => change(Number(event.target.value))} />
    <output for=${id}>${value.toFixed(2)}</output>
  </span>`;
}
