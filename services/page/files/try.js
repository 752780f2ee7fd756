// Try: draw any sentence with any concepts; compare, make grids, and get settings back from a picture.

import { html, useEffect, useState } from "/page/vendor/htm-preact.js";
import { get, upload } from "/page/api.js";
import { Compare } from "/page/compare.js";
import { newRun, NORMAL, randomSeed } from "/page/drawing.js";
import { begin as draw, forget, stop, useRuns } from "/page/history.js";
import { Field, NumberInput, Problem } from "/page/parts.js";
import { PromptBox } from "/page/prompt_box.js";
import { Run } from "/page/results.js";

let kept = { form: { ...NORMAL, seed: randomSeed() }, random: true }; // survives a look at another view

export function Try({ prompt }) {
  const [form, setForm] = useState(prompt ? { ...kept.form, prompt } : kept.form);
  const [random, setRandom] = useState(kept.random);
  const runs = useRuns();
  const set = (changes) => setForm((old) => ({ ...old, ...changes }));
  useEffect(() => {
    kept = { form, random };
  }, [form, random]);

  useEffect(() => {
    get("/v1/models").then(({ data: [{ num_inference_steps, guidance_scale }] }) => {
      const own = { num_inference_steps, guidance_scale }; // the base model's, unless they were changed here already
      const untouched = (old) => Object.keys(own).filter((name) => old[name] === NORMAL[name]);
      setForm((old) => ({ ...old, ...Object.fromEntries(untouched(old).map((name) => [name, own[name]])) }));
      Object.assign(NORMAL, own);
    }, () => null); // a service that does not answer says so elsewhere
  }, []);

  const begin = (run) => {
    document.getElementById("drawn").scrollIntoView({ block: "nearest", behavior: "smooth" });
    draw(run);
  };
  const settings = () => {
    const seed = random ? randomSeed() : form.seed;
    if (random) set({ seed });
    return { ...form, seed };
  };
  const once = () => form.prompt.trim() && begin(newRun(form.prompt, [{ label: form.prompt, settings: settings() }]));
  const use = (found) => {
    setForm({ ...NORMAL, ...found });
    setRandom(false);
    document.getElementById("prompt")?.focus();
  };
  const [latest, ...older] = runs;
  return html`<div class="columns">
    <section class="controls" aria-label="What to draw">
      <h1>Try</h1>
      <form onSubmit=${(event) => { event.preventDefault(); once(); }}>
        <${PromptBox} id="prompt" label="Prompt" value=${form.prompt} change=${(text) => set({ prompt: text })} submit=${once}
          hint="Write a sentence; type < to choose a concept." />
        <div class="row">
          <button class="main" disabled=${!form.prompt.trim()}>Draw</button>
          <span class="hint">Ctrl + Enter</span>
        </div>
        <${Settings} form=${form} set=${set} random=${random} setRandom=${setRandom} />
      </form>
      <${Compare} form=${form} settings=${settings} begin=${begin} />
      <${ReadBack} use=${use} />
    </section>
    <section id="drawn" class="results" aria-label="What was drawn" aria-live="polite">
      ${!latest && html`<div class="empty"><p>Pictures appear here while they are drawn.</p>
        <p>No concept yet? <a href="#/teach">Teach one</a> from 3 to 5 pictures.</p></div>`}
      ${latest && html`<${Run} run=${latest} use=${use} stop=${stop} key=${latest.id} />`}
      ${older.length > 0 && html`<h2>History</h2>`}
      ${older.map((run) => html`<${Run} run=${run} use=${use} stop=${stop} key=${run.id} />`)}
      ${latest && html`<footer class="row apart">
        <p class="hint">Kept by this browser, on this machine only.</p>
        <button type="button" class="quiet" onClick=${forget}>Forget all pictures</button>
      </footer>`}
    </section>
  </div>`;
}

function Settings({ form, set, random, setRandom }) {
  const [schedulers, setSchedulers] = useState([]);
  useEffect(() => {
    get("/sdapi/v1/samplers").then((found) => setSchedulers(found.map((one) => [one.aliases[0], one.name]))).catch(() => {});
  }, []);
  const number = (name) => ({ value: form[name], change: (value) => set({ [name]: value }) });
  return html`<details class="settings" open=${Boolean(form.negative_prompt || form.attention_weights)}>
    <summary>Settings</summary>
    <${PromptBox} id="negative" label="Negative prompt" rows=${2} value=${form.negative_prompt} change=${(text) => set({ negative_prompt: text })}
      hint="What should not be in the picture." />
    <div class="fields">
      <${Field} id="steps" label="Steps"><${NumberInput} id="steps" min="1" max="150" ...${number("num_inference_steps")} /><//>
      <${Field} id="guidance" label="Guidance"><${NumberInput} id="guidance" min="0" max="100" step="any" ...${number("guidance_scale")} /><//>
      <${Field} id="count" label="Pictures"><${NumberInput} id="count" min="1" max="10" ...${number("n")} /><//>
      <${Field} id="scheduler" label="Noise scheduler"><select id="scheduler" value=${form.noise_scheduler} onChange=${(event) => set({ noise_scheduler: event.target.value })}>
        <option value="">the service's</option>${schedulers.map(([name, label]) => html`<option value=${name}>${label}</option>`)}
      </select><//>
      <${Field} id="seed" label="Seed"><${NumberInput} id="seed" min="0" max="4294967295" disabled=${random} ...${number("seed")} /><//>
      <label class="check"><input type="checkbox" checked=${random} onChange=${(event) => setRandom(event.target.checked)} /> new seed each time</label>
      <label class="check"><input type="checkbox" checked=${form.attention_weights} onChange=${(event) => set({ attention_weights: event.target.checked })} /> brackets weigh words, as in (red:1.3)</label>
    </div>
  </details>`;
}

/** The size of all pictures of this page, as WIDTHxHEIGHT; nothing while the service does not say. */
const drawnSize = () => get("/v1/models").then(({ data: [{ native_px: side }] }) => `${side}x${side}`).catch(() => null);

/** Settings of a picture that this service or A1111 made. */
function ReadBack({ use }) {
  const [error, setError] = useState(null);
  const [said, setSaid] = useState("");
  const [over, setOver] = useState(false);
  const read = async (file) => {
    if (!file) return;
    setError(null);
    try {
      const body = new FormData();
      body.append("image", file);
      const { concepts, size, ...found } = await upload("/v1/images/settings", body);
      const here = await drawnSize();
      use(Object.fromEntries(Object.entries(found).filter(([name, value]) => name in NORMAL && value != null)));
      const other = here && size !== "auto" && size !== here ? ` It was drawn at ${size}; the page draws at ${here}, so this one will look different.` : "";
      setSaid(`Settings of ${file.name} are in the form now.${other}`);
    } catch (problem) {
      setError(problem);
    }
  };
  const dropped = (event) => {
    event.preventDefault();
    setOver(false);
    read(event.dataTransfer.files[0]);
  };
  return html`<div class=${`drop small ${over ? "over" : ""}`} onDragOver=${(event) => { event.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${dropped}>
    <label for="read-back">Settings from a picture</label>
    <p class="hint">Drop or choose a PNG that was drawn here or in A1111.</p>
    <input id="read-back" type="file" accept="image/png" onChange=${(event) => read(event.target.files[0])} />
    <p class="hint" role="status">${said}</p>
    <${Problem} error=${error} />
  </div>`;
}
