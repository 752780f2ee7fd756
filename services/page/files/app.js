// The page's frame: which view an address shows, the navigation, and the API key.

import { html, render, useEffect, useRef, useState } from "/page/vendor/htm-preact.js";
import { key } from "/page/api.js";
import { Concept } from "/page/concept.js";
import { Concepts } from "/page/concepts.js";
import { Fleet } from "/page/fleet.js";
import { Job, Jobs } from "/page/jobs.js";
import { Teach } from "/page/teach.js";
import { Try } from "/page/try.js";

const NAVIGATION = [["try", "Try"], ["teach", "Teach"], ["jobs", "Jobs"], ["concepts", "Concepts"], ["fleet", "Fleet"]];

/** `#/concepts/a-name?x=y` -> {view, name, query} */
function address() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view = "", ...rest] = path.split("/");
  return { view: view || "try", name: decoded(rest.join("/")), query: new URLSearchParams(query) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // somebody typed a lone %
  }
}

function View({ at }) {
  if (at.view === "teach") return html`<${Teach} />`;
  if (at.view === "jobs") return at.name ? html`<${Job} id=${at.name} key=${at.name} />` : html`<${Jobs} />`;
  if (at.view === "concepts") return at.name ? html`<${Concept} name=${at.name} version=${at.query.get("version")} key=${`${at.name}@${at.query.get("version")}`} />` : html`<${Concepts} />`;
  if (at.view === "fleet") return html`<${Fleet} />`;
  return html`<${Try} key=${at.query.get("prompt")} prompt=${at.query.get("prompt") ?? ""} />`;
}

function App() {
  const [at, setAt] = useState(address());
  const [turn, setTurn] = useState(0);
  const main = useRef(null);
  useEffect(() => {
    const moved = () => {
      setAt(address());
      window.scrollTo(0, 0);
      main.current?.focus({ preventScroll: true });
    };
    window.addEventListener("hashchange", moved);
    return () => window.removeEventListener("hashchange", moved);
  }, []);
  useEffect(() => {
    const named = NAVIGATION.find(([view]) => view === at.view)?.[1] ?? "Try";
    document.title = `${at.name ? `${at.name} · ` : ""}${named} · textinv`;
  }, [at]);
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>Skip to the content</a>
    <header class="bar">
      <a class="mark" href="#/try"><img src="/page/icon.svg" alt="" width="24" height="24" />textinv</a>
      <nav aria-label="Views">
        ${NAVIGATION.map(([view, label]) => html`<a href=${`#/${view}`} aria-current=${at.view === view ? "page" : null}>${label}</a>`)}
      </nav>
      <${KeyEntry} changed=${() => setTurn(turn + 1)} />
    </header>
    <main id="main" ref=${main} tabindex="-1" key=${turn}><${View} at=${at} /></main>`;
}

function KeyEntry({ changed }) {
  const dialog = useRef(null);
  const [has, setHas] = useState(Boolean(key.get()));
  const [needed, setNeeded] = useState(false);
  useEffect(() => {
    const ask = () => {
      setNeeded(true);
      if (!dialog.current.open) dialog.current.showModal();
    };
    window.addEventListener("key-needed", ask);
    return () => window.removeEventListener("key-needed", ask);
  }, []);
  const keep = (event) => {
    event.preventDefault();
    key.set(event.target.elements.key.value.trim());
    event.target.reset();
    setHas(Boolean(key.get()));
    setNeeded(false);
    dialog.current.close();
    changed();
  };
  return html`
    <button type="button" class="quiet" onClick=${() => dialog.current.showModal()}>${has ? "Key set" : "API key"}</button>
    <dialog ref=${dialog} aria-labelledby="key-title">
      <form onSubmit=${keep}>
        <h2 id="key-title">API key</h2>
        <p>${needed ? "This service asks for a key. " : ""}An operator makes one with <code>textinv keys create</code>. It stays in this tab and is forgotten when the tab closes.</p>
        <label for="key">Key</label>
        <input id="key" name="key" type="password" autocomplete="off" spellcheck="false" />
        <div class="row end">
          <button type="button" class="quiet" onClick=${() => dialog.current.close()}>Cancel</button>
          <button class="main">${has ? "Change" : "Use it"}</button>
        </div>
      </form>
    </dialog>`;
}

/** A file that misses a drop box would be opened in this tab, in place of the page and of what was typed there. */
function guard(event) {
  if (event.defaultPrevented || !event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "none";
}
window.addEventListener("dragover", guard);
window.addEventListener("drop", guard);

const root = document.getElementById("app");
root.textContent = "";
render(html`<${App} />`, root);
