// The first guess: what chosen pictures look like as a concept, drawn before anything is learned, and beside the job
// until what was learned can be drawn in its place. Pictures are only looked at for it, not stored. Nothing waits for it.

import { html, useEffect, useRef, useState } from "/page/vendor/htm-preact.js";
import { upload } from "/page/api.js";
import { draw, newRun, NORMAL, randomSeed } from "/page/drawing.js";

const PAUSE_MS = 400;
const MOST_PICTURES = 8;
const kept = new Map(); // guesses of this tab's jobs, by job and name; whoever comes back later sees previews only

const named = (guess, placeholder) => guess.settings.prompt.replaceAll(guess.placeholder, placeholder);

/** What is guessed from `pictures` as they are now: {settings, placeholder, src, busy, error}; null where nothing can be. */
export function useGuess(base, pictures, { kind, num_vectors }) {
  const [guess, setGuess] = useState(null);
  const seed = useRef(randomSeed());
  const vectors = num_vectors >= 1 && num_vectors <= 32 ? Math.trunc(num_vectors) : "";
  const asked = base?.guess && pictures.length ? [kind, vectors, ...pictures.map((one) => one.id)].join(" ") : "";
  useEffect(() => {
    if (!asked) return setGuess(null);
    const control = new AbortController();
    const tell = (changes) => control.signal.aborted || setGuess((old) => ({ ...old, ...changes }));
    tell({ busy: true, error: null, stop: () => control.abort() });
    const begin = async () => {
      try {
        const form = new FormData();
        form.set("kind", kind);
        if (vectors) form.set("num_vectors", vectors);
        pictures.slice(0, MOST_PICTURES).forEach((one) => form.append("image", one.file));
        const { prompt, placeholder } = await upload("/v1/concepts/guess", form, { signal: control.signal });
        const settings = settingsOf(base, prompt, seed.current);
        await drawOne(settings, control.signal, (src) => tell({ settings, placeholder, src }));
        tell({ busy: false });
      } catch (error) {
        tell({ busy: false, error });
      }
    };
    const timer = setTimeout(begin, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [asked]);
  return guess;
}

const settingsOf = ({ num_inference_steps, guidance_scale }, prompt, seed) => ({ ...NORMAL, num_inference_steps, guidance_scale, prompt, seed });

/** Draws one picture; `show` hears of its sketches, too. */
async function drawOne(settings, signal, show) {
  const seen = (_, cell) => {
    if (cell.error) throw cell.error;
    if (cell.pictures[0]) show(cell.pictures[0].src);
  };
  await draw(newRun("", [{ label: "", settings }]), seen, signal);
}

/** Beside the form; `name` is what has been typed of it so far. */
export function Guess({ guess, name }) {
  if (!guess) return null;
  return html`<section class="panel guess" aria-label="First guess" aria-busy=${guess.busy}>
    ${guess.src
      ? html`<${Figure} src=${guess.src} alt=${`First guess: ${named(guess, `<${name || "…"}>`)}`} title="First guess">
          Drawn from your pictures before anything is learned: <q>${named(guess, `<${name || "…"}>`)}</q>. For an hour, you may draw it in any prompt as <code>${guess.placeholder}</code>.
        <//>`
      : guess.busy && html`<p class="hint">Looking at the pictures for a first guess…</p>`}
    <p class="hint wrong" role="status">${guess.error && `There is no first guess: ${guess.error.message}. Learning does not need one.`}</p>
  </section>`;
}

const Figure = ({ src, alt, title, children }) => html`<figure>
  <img class="picture" src=${src} alt=${alt} />
  <figcaption><strong>${title}</strong><p class="hint">${children}</p></figcaption>
</figure>`;

/** Keeps a guess for the job that was begun, as far as it is drawn. */
export function keepGuess(job, name, guess) {
  if (!guess?.src) return;
  guess.stop(); // its next sketch would take the place of the one that is kept
  kept.set(`${job}/${name}`, guess);
}

/** Beside what is being learned: the guess that the form drew, and once it is learned the same picture of that. */
export function GuessThenLearned({ job, concept }) {
  const guess = kept.get(`${job}/${concept.name}`);
  const [learned, setLearned] = useState(null);
  const [error, setError] = useState(null);
  const version = concept.state === "done" ? concept.version : null;
  const prompt = guess && named(guess, concept.placeholder);
  useEffect(() => {
    if (!guess || !version) return undefined;
    const control = new AbortController();
    const settings = { ...guess.settings, prompt: named(guess, `<${concept.name}@${version}>`) };
    drawOne(settings, control.signal, setLearned).catch(setError);
    return () => control.abort();
  }, [guess, version]);
  if (!guess) return null;
  return html`<section class="guess">
    ${learned
      ? html`<${Figure} src=${learned} alt=${`Learned: ${prompt}`} title="Learned"><q>${prompt}</q>, with the seed of the first guess.<//>`
      : html`<${Figure} src=${guess.src} alt=${`First guess: ${prompt}`} title="First guess"><q>${prompt}</q>, before anything was learned.<//>`}
    <p class="hint wrong" role="status">${error && `What was learned could not be drawn: ${error.message}`}</p>
  </section>`;
}
