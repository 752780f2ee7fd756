// What was drawn: runs with their pictures, each of which carries its settings.

import { html } from "/page/vendor/htm-preact.js";
import { isBusy } from "/page/drawing.js";
import { Problem, save } from "/page/parts.js";

export function Run({ run, use, stop }) {
  const busy = isBusy(run);
  return html`<article class="run" aria-label=${run.title} aria-busy=${busy}>
    <header class="row apart">
      <h3>${run.title}</h3>
      ${busy && html`<button type="button" class="quiet" onClick=${() => stop(run.id)}>Stop</button>`}
    </header>
    ${run.columns ? html`<${Table} run=${run} use=${use} />` : html`<div class="cells">${run.cells.map((cell) => html`<${Cell} cell=${cell} use=${use} several=${run.cells.length > 1} />`)}</div>`}
  </article>`;
}

function Table({ run, use }) {
  const rows = [];
  for (let start = 0; start < run.cells.length; start += run.columns.length) {
    rows.push(run.cells.slice(start, start + run.columns.length));
  }
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Grid of pictures"><table class="grid">
    <thead><tr><td></td>${run.columns.map((column) => html`<th scope="col">${column}</th>`)}</tr></thead>
    <tbody>${rows.map((cells) => html`<tr><th scope="row">${cells[0].row}</th>${cells.map((cell) => html`<td><${Cell} cell=${cell} use=${use} /></td>`)}</tr>`)}</tbody>
  </table></div>`;
}

function Cell({ cell, use, several }) {
  return html`<section class="cell">
    ${several && html`<h4>${cell.label}</h4>`}
    <${Problem} error=${cell.error} />
    ${cell.state === "cancelled" && html`<p class="hint">Stopped.</p>`}
    ${!cell.error && html`<div class="pictures">${slots(cell).map((picture, place) => html`<${Drawn} key=${place} picture=${picture} cell=${cell} use=${use} />`)}</div>`}
  </section>`;
}

const slots = (cell) => (cell.pictures.length ? cell.pictures : Array.from({ length: cell.settings.n }, () => null));

function Drawn({ picture, cell, use }) {
  if (!picture) return html`<span class="picture blank busy" role="img" aria-label="Waiting to be drawn"></span>`;
  const settings = { ...cell.settings, seed: picture.seed, n: 1 };
  const name = `${cell.settings.prompt.replace(/[^a-z0-9]+/gi, "-").slice(0, 40)}-${picture.seed}.png`;
  return html`<figure class="drawn">
    <img class=${`picture ${picture.done ? "" : "sketch"}`} src=${picture.src} alt=${`${cell.settings.prompt}, seed ${picture.seed}`} />
    <figcaption>
      <details>
        <summary>Seed ${picture.seed}</summary>
        <dl>
          <dt>Prompt</dt><dd>${settings.prompt}</dd>
          ${settings.negative_prompt && html`<dt>Not</dt><dd>${settings.negative_prompt}</dd>`}
          <dt>Steps</dt><dd>${settings.num_inference_steps}</dd>
          <dt>Guidance</dt><dd>${settings.guidance_scale}</dd>
          <dt>Noise scheduler</dt><dd>${settings.noise_scheduler || "the service's"}</dd>
          ${settings.attention_weights && html`<dt>Brackets</dt><dd>weigh words</dd>`}
          ${Object.entries(cell.concepts ?? {}).map(([concept, digest]) => html`<dt>Concept</dt><dd>${`<${concept}>`}, ${String(digest).slice(0, 12)}</dd>`)}
        </dl>
        <div class="row">
          <button type="button" class="quiet" onClick=${() => use(settings)}>Use these settings</button>
          <button type="button" class="quiet" onClick=${() => save(name, picture.file)} disabled=${!picture.done}>Download</button>
        </div>
      </details>
    </figcaption>
  </figure>`;
}
