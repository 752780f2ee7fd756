// Concepts: thousands of them, a page at a time, with search and filters.

import { html, useEffect, useRef, useState } from "/page/vendor/htm-preact.js";
import { get } from "/page/api.js";
import { count, Loading, Picture, Problem, useLoad } from "/page/parts.js";

const PAGE = 60;
const PAUSE_MS = 200;

/** Loads the list page by page; `more()` fetches the next one. */
function usePages(query) {
  const [state, setState] = useState({ concepts: [], next: "", loading: true });
  const control = useRef(null);
  const fetchPage = async (after) => {
    control.current?.abort();
    control.current = new AbortController();
    setState((old) => ({ ...old, loading: true, error: null }));
    try {
      const page = await get(`/v1/concepts?limit=${PAGE}&${query}${after ? `&after=${encodeURIComponent(after)}` : ""}`, { signal: control.current.signal });
      setState((old) => ({ concepts: after ? [...old.concepts, ...page.data] : page.data, next: page.next, total: page.total, bases: page.base_models }));
    } catch (error) {
      if (error.name !== "AbortError") setState((old) => ({ ...old, loading: false, error }));
    }
  };
  useEffect(() => {
    const timer = setTimeout(() => fetchPage(""), query ? PAUSE_MS : 0);
    return () => clearTimeout(timer);
  }, [query]);
  return { ...state, more: () => !state.loading && state.next && fetchPage(state.next), again: () => fetchPage("") };
}

export function Concepts() {
  const [search, setSearch] = useState("");
  const [kind, setKind] = useState("");
  const [base, setBase] = useState("");
  const [order, setOrder] = useState("");
  const drawsHere = useLoad("/v1/models").data?.data[0].base_model;
  const query = new URLSearchParams(Object.entries({ search: search.trim().toLowerCase(), kind, base_model: base, order }).filter(([, value]) => value)).toString();
  const { concepts, total, bases = [], next, loading, error, more, again } = usePages(query);
  const end = useRef(null);
  const newest = useRef(more);
  newest.current = more;
  useEffect(() => {
    const watcher = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && newest.current(), { rootMargin: "600px" });
    watcher.observe(end.current);
    return () => watcher.disconnect();
  }, []);
  return html`<div class="page wide">
    <header class="row apart"><h1>Concepts</h1><a class="button main" href="#/teach">Teach</a></header>
    <form class="row filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label class="grow">Search <input type="search" value=${search} onInput=${(event) => setSearch(event.target.value)} placeholder="part of a name" autocomplete="off" /></label>
      <label>Kind <select value=${kind} onChange=${(event) => setKind(event.target.value)}><option value="">all</option><option value="object">things</option><option value="style">styles</option></select></label>
      <label>Base model <select value=${base} onChange=${(event) => setBase(event.target.value)}><option value="">all</option>${[...new Set([drawsHere, ...bases])].filter(Boolean).map((name) => html`<option key=${name} value=${name}>${name}${name === drawsHere ? ", which draws here" : ""}</option>`)}</select></label>
      <label>Order <select value=${order} onChange=${(event) => setOrder(event.target.value)}><option value="">by name</option><option value="newest">newest first</option></select></label>
    </form>
    <p class="hint" role="status">${total == null ? "" : count(total, "concept")}</p>
    <${Problem} error=${error} again=${again} />
    ${total === 0 && html`<div class="empty"><p>${search || kind || base ? "No concept matches." : "Nothing has been taught yet."}</p><p><a href="#/teach">Teach a concept</a> from 3 to 5 pictures.</p></div>`}
    <ul class="shelf" aria-label="Concepts">${concepts.map((one) => html`<li key=${one.name}><a href=${`#/concepts/${encodeURIComponent(one.name)}`}>
      <${Picture} src=${one.thumbnail} alt="" letter=${one.name[0]} /><span class="name">${one.name}</span>
      <span class="hint">${[one.kind === "style" ? "style" : one.kind === "object" ? "thing" : null, `version ${one.version}`, one.base_model !== drawsHere && drawsHere && `on ${one.base_model}`].filter(Boolean).join(", ")}</span>
    </a></li>`)}</ul>
    ${loading && html`<${Loading} what="concepts" />`}
    <div ref=${end}>${next && !loading && html`<button type="button" onClick=${more}>More</button>`}</div>
  </div>`;
}
