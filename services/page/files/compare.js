// Comparisons: the same seed with another word, concept or version in a placeholder's place; concepts x prompts.

import { html, useEffect, useState } from "/page/vendor/htm-preact.js";
import { get } from "/page/api.js";
import { newRun } from "/page/drawing.js";
import { Field } from "/page/parts.js";

const PLACEHOLDER = /<([a-z0-9._-]+)(?:@(\d+|guess))?>/gi;
const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
const concept = (text) => (text.startsWith("<") ? text : `<${text}>`);
const placed = (text) => (/^[a-z0-9._-]+@\d+$/i.test(text) ? concept(text) : text); // a bare word is a word

export function Compare({ form, settings, begin }) {
  return html`<details class="settings">
    <summary>Compare</summary>
    <${SideBySide} form=${form} settings=${settings} begin=${begin} />
    <${Grid} settings=${settings} begin=${begin} />
  </details>`;
}

function SideBySide({ form, settings, begin }) {
  const found = [...form.prompt.matchAll(PLACEHOLDER)].map((match) => match[0]);
  const [which, setWhich] = useState("");
  const placeholder = found.includes(which) ? which : found[0];
  const [instead, setInstead] = useState("");
  const [offers, setOffers] = useState([]);
  const name = placeholder?.slice(1, -1).split("@")[0].toLowerCase();
  useEffect(() => {
    setOffers([]);
    setInstead("");
    if (!name) return;
    get(`/v1/concepts/${encodeURIComponent(name)}`)
      .then((concept) => {
        const word = concept.record?.spec?.class_word;
        const older = concept.versions.filter((one) => !one.current).slice(-3).map((one) => `${name}@${one.version}`);
        setOffers([...(word ? [word] : []), ...older]);
        setInstead((old) => old || word || "");
      })
      .catch(() => {});
  }, [name]);
  if (!placeholder) return html`<p class="hint">Name a concept in the prompt to see it beside its class word, another concept or another version, from the same seed.</p>`;
  const start = () => {
    const same = settings();
    const words = [placeholder, ...instead.split(",").map((word) => word.trim()).filter(Boolean)];
    const cells = words.map((word) => ({ label: placed(word), settings: { ...same, prompt: same.prompt.replaceAll(placeholder, placed(word)) } }));
    begin(newRun(`${form.prompt}, side by side`, cells));
  };
  return html`<fieldset>
    <legend>Same seed, side by side</legend>
    ${found.length > 1 && html`<${Field} id="which" label="Replace"><select id="which" value=${placeholder} onChange=${(event) => setWhich(event.target.value)}>${[...new Set(found)].map((one) => html`<option value=${one} selected=${one === placeholder}>${one}</option>`)}</select><//>`}
    <${Field} id="instead" label=${`Instead of ${placeholder}`} hint=${offers.length ? `For example: ${offers.join(", ")}. Or <another-concept>; several are separated by commas.` : "A word, <another-concept> or a version such as name@1; several are separated by commas."}>
      <input id="instead" value=${instead} onInput=${(event) => setInstead(event.target.value)} autocomplete="off" />
    <//>
    <button type="button" onClick=${start} disabled=${!instead.trim()}>Draw side by side</button>
  </fieldset>`;
}

function Grid({ settings, begin }) {
  const [concepts, setConcepts] = useState("");
  const [prompts, setPrompts] = useState("a photo of {}\n{} on a red background");
  const start = () => {
    const same = { ...settings(), n: 1 };
    const columns = lines(concepts).map(concept);
    const cells = lines(prompts).flatMap((prompt) =>
      columns.map((concept) => ({ row: prompt, label: `${concept}: ${prompt}`, settings: { ...same, prompt: prompt.replaceAll("{}", concept) } })),
    );
    begin(newRun(`Grid of ${columns.length} x ${lines(prompts).length}`, cells, columns));
  };
  const wrong = lines(prompts).find((prompt) => !prompt.includes("{}"));
  return html`<fieldset>
    <legend>A grid of concepts and prompts</legend>
    <${Field} id="grid-concepts" label="Concepts, one per line"><textarea id="grid-concepts" rows="3" value=${concepts} onInput=${(event) => setConcepts(event.target.value)}></textarea><//>
    <${Field} id="grid-prompts" label="Prompts, one per line" error=${wrong && `Write {} where the concept goes: ${wrong}`} hint="{} is where each concept goes.">
      <textarea id="grid-prompts" rows="3" value=${prompts} onInput=${(event) => setPrompts(event.target.value)}></textarea>
    <//>
    <button type="button" onClick=${start} disabled=${!lines(concepts).length || !lines(prompts).length || Boolean(wrong)}>Draw the grid</button>
  </fieldset>`;
}
