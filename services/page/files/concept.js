// One concept: its evidence, its versions, its training record, and files for other programs.

import { html, useRef, useState } from "/page/vendor/htm-preact.js";
import { blob, post } from "/page/api.js";
import { Curve } from "/page/curve.js";
import { count, duration, fixed, Loading, Picture, Problem, save, useLoad, when } from "/page/parts.js";

const FORMATS = [
  ["auto", "One file for nearly all programs", "", "A1111 and Forge: embeddings/. ComfyUI: models/embeddings/. InvokeAI: import it. kohya and diffusers read it too."],
  ["diffusers", "diffusers", "-diffusers", "pipeline.load_textual_inversion(FILE), which then knows its placeholder; for a model with two text encoders, a zip with a file for each."],
  ["a1111-pt", "A1111, older", "", "A .pt file for embeddings/ of versions that do not read safetensors."],
  ["onetrainer", "OneTrainer", "-onetrainer", "Choose it as base embedding in the embedding tab to continue training; no other program reads its keys."],
];

export function Concept({ name, version }) {
  const { data, error, again } = useLoad(`/v1/concepts/${encodeURIComponent(name)}${version ? `?version=${encodeURIComponent(version)}` : ""}`);
  if (!data) return html`<div class="page"><h1>${name}</h1><${Problem} error=${error} again=${again} />${!error && html`<${Loading} what="the concept" />`}</div>`;
  const record = data.record ?? {};
  const current = data.versions.find((one) => one.current);
  const isCurrent = current?.version === data.version;
  const placeholder = isCurrent ? data.placeholder : `<${name}@${data.version}>`;
  return html`<div class="page">
    <header class="row concept">
      <${Picture} src=${`/v1/concepts/${encodeURIComponent(name)}/thumbnail?version=${data.version}`} alt=${`Picture of ${name}`} lazy=${false} letter=${name[0]} />
      <div><h1>${placeholder}</h1>
        <p class="hint">${[record.spec?.kind === "style" ? "A style" : "A thing", record.spec?.class_word && `a kind of ${record.spec.class_word}`, `version ${data.version}`, `on ${data.base_model}`].filter(Boolean).join(", ")}</p>
        ${!isCurrent && html`<p class="hint">Not the current version: prompts with ${data.placeholder} are drawn with ${current ? `version ${current.version}` : "another one"}.</p>`}
        <div class="row"><a class="button main" href=${`#/try?prompt=${encodeURIComponent(`a photo of ${placeholder}`)}`}>Try it</a>
          ${!isCurrent && html`<a class="button" href=${`#/concepts/${encodeURIComponent(name)}`}>Show the current one</a>`}</div>
      </div>
    </header>
    <${Evidence} data=${data} record=${record} />
    <${Versions} data=${data} again=${again} />
    <${Downloads} data=${data} />
    <details class="settings"><summary>Training record</summary><pre tabindex="0">${JSON.stringify(record, null, 2)}</pre></details>
  </div>`;
}

function Evidence({ data, record }) {
  const scores = data.evaluation?.encoders?.[0] ?? {};
  const norms = Object.values(data.evaluation?.norm_ratio ?? {});
  const problem = data.evaluation?.error?.message;
  const facts = [
    ["Fidelity", scores.fidelity, "How alike drawn and real pictures are; 1 is the same."],
    ["Real to real", scores.real_to_real, "What real pictures reach among themselves."],
    ["Initializer", scores.initializer_fidelity, "What the plain words that it started from reach without any learning."],
    ["Editability", scores.editability, "How well other prompts still work with it."],
    ["Norm", norms.length ? norms.reduce((sum, one) => sum + one, 0) / norms.length : null, "Length of its rows over that of an average word; near 1 mixes well."],
  ].filter(([, value]) => value != null);
  return html`<section class="panel"><h2>Evidence</h2>
    ${facts.length > 0 && html`<ul class="scores">${facts.map(([label, value, text]) => html`<li><strong>${fixed(value)}</strong><span>${label}</span><span class="hint">${text}</span></li>`)}</ul>`}
    ${Object.keys(scores).length === 0 && html`<p class="hint">${problem ? `It has no scores: ${problem}.` : "It has not been scored."} <code>textinv evaluate ${data.name}@${data.version}${record.spec ? "" : " --pictures FOLDER"}</code> scores it; the result appears here.</p>`}
    ${data.evaluation?.pictures && html`<p class="hint">Judged after it was published, on ${count(data.evaluation.num_pictures ?? 0, "picture")} that it was ${data.evaluation.pictures === "training" ? "" : "not "}learned from.</p>`}
    <div class="beside">
      <section><h3>Why it stopped</h3><p>${data.why_stopped ? `Stopped because ${data.why_stopped}.` : "Its record does not say."}</p>
        <dl class="facts">
          ${record.steps != null && html`<dt>Steps</dt><dd>${record.steps}; the rows of step ${record.kept_step} are kept</dd>`}
          ${record.sample_passes != null && html`<dt>Sample passes</dt><dd>${record.sample_passes.toLocaleString()}</dd>`}
          ${record.seconds != null && html`<dt>Time</dt><dd>${duration(record.seconds)}</dd>`}
          <dt>Vectors</dt><dd>${data.num_vectors}</dd>
          <dt>Made</dt><dd>${when(data.created)}</dd>
        </dl>
      </section>
      ${record.trace?.length > 1 && html`<section><h3>Loss on the fixed batch</h3><${Curve} points=${record.trace} maxSteps=${record.spec?.max_steps} stopped=${true} name=${data.name} /></section>`}
    </div>
  </section>`;
}

function Versions({ data, again }) {
  const [problem, setProblem] = useState(null);
  const [said, setSaid] = useState("");
  const dialog = useRef(null);
  const [target, setTarget] = useState(null);
  const move = async () => {
    dialog.current.close();
    setProblem(null);
    try {
      await post(`/v1/concepts/${encodeURIComponent(data.name)}/rollback`, { version: target });
      setSaid(`Version ${target} is the current one now.`);
      again();
    } catch (error) {
      setProblem(error);
    }
  };
  const ask = (version) => () => {
    setTarget(version);
    dialog.current.showModal();
  };
  return html`<section class="panel"><h2>${count(data.versions.length, "version")}</h2>
    <p class="hint" role="status">${said}</p>
    <${Problem} error=${problem} />
    <ul class="list">${[...data.versions].reverse().map((one) => html`<li class="row" key=${one.version}>
      <span class="of-version"><${Picture} src=${`/v1/concepts/${encodeURIComponent(data.name)}/thumbnail?version=${one.version}`} alt=${`Picture of version ${one.version}`} letter=${String(one.version)} /></span>
      <div class="grow"><strong>${`<${data.name}@${one.version}>`}</strong> <span class="hint">${when(one.created)}, on ${one.base_model}</span>
        ${one.held && !one.current && html`<br /><span class="hint">Held back: ${one.held}.</span>`}
        ${one.pinned.length > 0 && html`<${Pinned} name=${data.name} version=${one} />`}</div>
      <span class="acts">${one.version === data.version ? html`<span class="hint">shown here</span>` : html`<a class="button quiet" href=${`#/concepts/${encodeURIComponent(data.name)}?version=${one.version}`} aria-label=${`Show version ${one.version}`}>Show</a>`}
      ${one.current ? html`<span class="badge done">current</span>` : html`<button type="button" class="quiet" onClick=${ask(one.version)} aria-label=${`Make current: version ${one.version}`}>Make current</button>`}</span>
    </li>`)}</ul>
    <dialog ref=${dialog} aria-labelledby="move-title"><h2 id="move-title">Make version ${target} current?</h2>
      <p>Every prompt with ${data.placeholder} is drawn with it within seconds. No version is lost.</p>
      <div class="row end"><button type="button" class="quiet" onClick=${() => dialog.current.close()}>Leave it</button><button type="button" class="main" onClick=${move}>Make it current</button></div>
    </dialog>
  </section>`;
}

/** The same prompts and seed for every version, so that they can be compared by eye. */
function Pinned({ name, version }) {
  const prompts = version.pinned.map((prompt) => prompt.replaceAll("{}", name));
  return html`<figure class="pinned">
    <${Picture} src=${`/v1/concepts/${encodeURIComponent(name)}/pinned?version=${version.version}`} alt=${`Version ${version.version} drawn from one seed: ${prompts.join("; ")}`} />
    <figcaption class="hint">${prompts.map((prompt) => html`<span>${prompt}</span>`)}</figcaption>
  </figure>`;
}

function Downloads({ data }) {
  const current = data.versions.some((one) => one.current && one.version === data.version);
  const [problem, setProblem] = useState(null);
  const fetchFile = (format, mark) => async () => {
    setProblem(null);
    try {
      const file = await blob(`/v1/concepts/${encodeURIComponent(data.name)}/embedding?version=${data.version}&format=${format}`);
      const suffix = format === "a1111-pt" ? "pt" : file.type === "application/zip" ? "zip" : "safetensors";
      save(`${data.name}${current ? "" : `@${data.version}`}${mark}.${suffix}`, file);
    } catch (error) {
      setProblem(error);
    }
  };
  return html`<section class="panel"><h2>For other programs</h2>${!current && html`<p class="hint">Version ${data.version}.</p>`}<${Problem} error=${problem} />
    <ul class="list">${FORMATS.map(([format, label, mark, where]) => html`<li class="row" key=${format}>
      <span class="grow"><strong>${label}</strong><br /><span class="hint">${where}</span></span>
      <button type="button" onClick=${fetchFile(format, mark)} aria-label=${`Download: ${label}`}>Download</button>
    </li>`)}</ul>
  </section>`;
}
