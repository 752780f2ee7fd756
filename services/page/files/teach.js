// Teach: from a few pictures and a name to a job that learns the word.

import { html, useEffect, useRef, useState } from "/page/vendor/htm-preact.js";
import { post, upload } from "/page/api.js";
import { Guess, keepGuess, useGuess } from "/page/first_guess.js";
import { count, duration, Field, Problem, useLoad } from "/page/parts.js";
import { look, sameAs } from "/page/pictures.js";

const NAME = /^(?=[0-9._-]*[a-z])[a-z0-9][a-z0-9._-]{0,62}$/;
const NAME_RULE = "Small letters, digits, '.', '_' or '-'; at least one letter; it starts with a letter or a digit.";
const RECIPES = [
  ["fast", "Fast", "A first look: 3 vectors, at most 60 steps."],
  ["balanced", "Balanced", "Right for most things and styles: 4 vectors, at most 400 steps."],
  ["faithful", "Faithful", "For one particular thing; follows other words a little less and takes longest: 4 vectors, at most 400 steps."],
];
const EMPTY = { name: "", kind: "object", class_word: "", recipe: "balanced", init: "", num_vectors: "" };

export function Teach() {
  const { data: models, error: unanswered, again } = useLoad("/v1/models");
  const base = models?.data[0];
  const [pictures, setPictures] = useState([]);
  const [form, setForm] = useState(EMPTY);
  const [estimate, setEstimate] = useState(null);
  const [busy, setBusy] = useState("");
  const [error, setError] = useState(null);
  const set = (changes) => {
    setForm((old) => ({ ...old, ...changes }));
    setEstimate(null);
  };

  const add = async (files) => {
    if (!base) return; // what it trains at and takes decides what is wrong with a picture
    const looked = await Promise.all([...files].map((file) => look(file, base)));
    setPictures((old) => [...old, ...looked]);
    setEstimate(null);
  };
  const remove = (id) => {
    setPictures((old) => old.filter((one) => one.id !== id));
    setEstimate(null);
  };
  const good = pictures.filter((one) => one.usable);
  const guess = useGuess(base, good, form);
  const different = good.filter((one) => !sameAs(pictures, pictures.indexOf(one)));
  const missing = [
    !base && "the service's answer",
    !good.length && "a picture",
    !NAME.test(form.name) && "a name",
    !form.class_word.trim() && "what kind of thing it is",
  ].filter(Boolean);

  const ask = async (start) => {
    setError(null);
    try {
      setBusy("Uploading the pictures");
      const sent = await uploadAll(good, setPictures);
      setBusy(start ? "Starting" : "Estimating");
      const job = await post(`/v1/jobs?dry_run=${!start}`, manifest(form, sent, base.id));
      if (start) {
        keepGuess(job.id, form.name, guess);
        location.hash = `#/jobs/${encodeURIComponent(job.id)}`;
      } else setEstimate({ ...job, warnings: job.warnings.map((one) => ({ ...one, message: named(one.message, good, sent) })) });
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy("");
    }
  };

  return html`<div class="page narrow">
    <h1>Teach</h1>
    <p class="lead">Show 3 to 5 pictures of one thing, or of one style, and give it a name. Then any prompt can draw it.</p>
    <form onSubmit=${(event) => { event.preventDefault(); ask(true); }}>
      <${Chooser} add=${add} base=${base} />
      <${Problem} error=${unanswered} again=${again} />
      ${pictures.length > 0 && html`<${Chosen} pictures=${pictures} remove=${remove} side=${base.native_px} />`}
      <p class="hint" role="status">${advice(different.length)}</p>
      <${About} form=${form} set=${set} />
      <${Guess} guess=${guess} name=${form.name} />
      <${Recipe} form=${form} set=${set} />
      <${Problem} error=${error} />
      ${estimate && html`<${Estimate} job=${estimate} />`}
      <div class="row">
        <button class="main" disabled=${missing.length > 0 || busy}>${busy ? `${busy}…` : "Start learning"}</button>
        <button type="button" onClick=${() => ask(false)} disabled=${missing.length > 0 || busy}>Estimate</button>
        ${missing.length > 0 && html`<p class="hint">Still missing: ${missing.join(", ")}.</p>`}
      </div>
    </form>
  </div>`;
}

function Chooser({ add, base }) {
  const input = useRef(null);
  const [over, setOver] = useState(false);
  useEffect(() => {
    const pasted = (event) => event.clipboardData?.files.length && add(event.clipboardData.files);
    window.addEventListener("paste", pasted);
    return () => window.removeEventListener("paste", pasted);
  }, [base]);
  const dropped = (event) => {
    event.preventDefault();
    setOver(false);
    add(event.dataTransfer.files);
  };
  const chosen = (event) => {
    add(event.target.files);
    event.target.value = "";
  };
  return html`<div class=${`drop ${over ? "over" : ""}`} onDragOver=${(event) => { event.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${dropped}>
    <label for="pictures">Pictures</label>
    <p id="pictures-hint">${base ? "Drop them here, paste them, or choose files." : "You can choose them once the service has answered."}</p>
    <input id="pictures" ref=${input} type="file" accept=${(base?.uploads.media_types ?? ["image/*"]).join(",")} multiple disabled=${!base} aria-describedby="pictures-hint" onChange=${chosen} />
  </div>`;
}

function Chosen({ pictures, remove, side }) {
  return html`<ul class="chosen" aria-label="Chosen pictures">${pictures.map((one, place) => {
    const problems = [...one.problems, sameAs(pictures, place)].filter(Boolean);
    return html`<li key=${one.id} class=${one.usable ? "" : "unusable"}>
      ${one.thumbnail ? html`<img class="picture" src=${one.thumbnail} alt=${`${one.name}, as it will be trained`} />` : html`<span class="picture blank"></span>`}
      <div>
        <strong>${one.name}</strong>
        ${one.width && html`<p class="hint">${one.width} x ${one.height}${one.cropped ? ", cropped to its middle" : ""}${one.usable ? `, trained at ${side} px` : ""}</p>`}
        ${problems.map((problem) => html`<p class="hint wrong">${problem}</p>`)}
        <button type="button" class="quiet" onClick=${() => remove(one.id)} aria-label=${`Remove ${one.name}`}>Remove</button>
      </div>
    </li>`;
  })}</ul>`;
}

function About({ form, set }) {
  const wrong = form.name && !NAME.test(form.name);
  return html`<div class="fields">
    <${Field} id="name" label="Name" error=${wrong && NAME_RULE} hint=${form.name ? `Prompts call it <${form.name}>.` : NAME_RULE}>
      <input id="name" value=${form.name} onInput=${(event) => set({ name: event.target.value.trim().toLowerCase() })} autocomplete="off" spellcheck="false" maxlength="63" aria-invalid=${Boolean(wrong)} aria-describedby="name-hint" />
    <//>
    <fieldset class="choice"><legend>It is</legend>
      ${[["object", "a thing"], ["style", "a style"]].map(([kind, label]) => html`<label class="check"><input type="radio" name="kind" value=${kind} checked=${form.kind === kind} onChange=${() => set({ kind })} /> ${label}</label>`)}
    </fieldset>
    <${Field} id="class-word" label="What kind" hint=${form.kind === "object" ? "One word for what it is: fox, teapot, chair." : "One word for the style: painting, sketch, photo."}>
      <input id="class-word" value=${form.class_word} onInput=${(event) => set({ class_word: event.target.value })} autocomplete="off" aria-describedby="class-word-hint" />
    <//>
  </div>`;
}

function Recipe({ form, set }) {
  return html`<fieldset class="recipes"><legend>Recipe</legend>
    ${RECIPES.map(([recipe, label, text]) => html`<label class="card"><input type="radio" name="recipe" value=${recipe} checked=${form.recipe === recipe} onChange=${() => set({ recipe })} />
      <span><strong>${label}</strong><span class="hint">${text}</span></span></label>`)}
  </fieldset>
  <details class="settings"><summary>More</summary><div class="fields">
    <${Field} id="init" label="Start from" hint="Words to start from; empty: its kind. 'auto' finds the nearest words.">
      <input id="init" value=${form.init} onInput=${(event) => set({ init: event.target.value })} autocomplete="off" aria-describedby="init-hint" />
    <//>
    <${Field} id="vectors" label="Vectors" hint="More vectors hold more detail and take more room in a prompt; empty: the recipe's.">
      <input id="vectors" type="number" min="1" max="32" value=${form.num_vectors} onInput=${(event) => set({ num_vectors: event.target.value })} aria-describedby="vectors-hint" />
    <//>
  </div></details>`;
}

function Estimate({ job }) {
  const { estimate, concepts, warnings } = job;
  return html`<section class="panel" aria-label="Estimate" role="status">
    <h2>Estimate</h2>
    <dl class="facts">
      <dt>Time on one worker</dt><dd>${duration(estimate.worker_s)}</dd>
      <dt>Sample passes</dt><dd>${estimate.sample_passes.toLocaleString()}, at most ${estimate.max_sample_passes.toLocaleString()}</dd>
      ${estimate.cost != null && html`<dt>Cost</dt><dd>${estimate.cost}</dd>`}
    </dl>
    ${concepts.filter((one) => one.state !== "new").map((one) => html`<p>${one.state === "done" ? "Learned already" : "Learned again"}: ${one.reason}</p>`)}
    ${warnings.map((one) => html`<p class="hint wrong">${one.message}</p>`)}
  </section>`;
}

function advice(number) {
  if (!number) return "";
  if (number < 3) return `${count(number, "picture")}: 3 to 5 teach more.`;
  return number <= 5 ? `${count(number, "picture")}: a good number.` : `${count(number, "picture")}: more than 5 rarely help.`;
}

/** Uploads what is not there yet; each picture remembers its id, so a second try sends only what is missing. */
async function uploadAll(pictures, setPictures) {
  return Promise.all(
    pictures.map(async (one) => {
      if (one.digest) return one.digest;
      try {
        const { id, problems, usable } = await upload("/v1/images", one.file);
        const told = problems.filter((problem) => problem.severity === "error").map((problem) => problem.message);
        setPictures((old) => old.map((was) => (was.id === one.id ? { ...was, digest: id, usable, problems: [...was.problems, ...told] } : was)));
        return id;
      } catch (error) {
        error.message = `${one.name}: ${error.message}`;
        throw error;
      }
    }),
  );
}

/** A message of the service with the files' names for what it calls sha256:1234... */
function named(message, pictures, digests) {
  const short = /sha256:[0-9a-f]{8,}/g;
  const told = new Set(); // two files may be the very same picture: the second mention is of the second file
  return message.replace(short, (found) => {
    const fitting = pictures.filter((_, place) => digests[place].startsWith(found));
    const one = fitting.find((picture) => !told.has(picture)) ?? fitting[0];
    told.add(one);
    return one?.name ?? found;
  });
}

function manifest(form, images, base) {
  const concept = { name: form.name, kind: form.kind, class_word: form.class_word.trim(), images };
  if (form.init.trim()) concept.init = form.init.trim();
  if (form.num_vectors) concept.num_vectors = Number(form.num_vectors);
  return { base_model: base, name: form.name, defaults: { recipe: form.recipe }, concepts: [concept] };
}
