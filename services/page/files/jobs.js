// Jobs: the list, and one job as it is being learned.

import { html, useEffect, useRef, useState } from "/page/vendor/htm-preact.js";
import { events, get, post } from "/page/api.js";
import { Curve } from "/page/curve.js";
import { GuessThenLearned } from "/page/first_guess.js";
import { Badge, count, duration, fixed, Loading, Picture, Problem, useLoad, when } from "/page/parts.js";

const ENDED = ["done", "failed", "cancelled"];
const AGAIN_MS = 2500;

export function Jobs() {
  const [pages, setPages] = useState([]);
  const [after, setAfter] = useState("");
  const { data, error, loading, again } = useLoad(`/v1/jobs?limit=20${after && `&after=${encodeURIComponent(after)}`}`);
  useEffect(() => data && setPages((old) => (after ? [...old, ...data.data] : data.data)), [data]);
  return html`<div class="page">
    <header class="row apart"><h1>Jobs</h1><a class="button main" href="#/teach">Teach</a></header>
    <${Problem} error=${error} again=${again} />
    ${loading && !pages.length && html`<${Loading} what="jobs" />`}
    ${data && !pages.length && html`<div class="empty"><p>Nothing has been taught yet.</p></div>`}
    <ul class="list">${pages.map((job) => html`<li key=${job.id}><a href=${`#/jobs/${encodeURIComponent(job.id)}`}>
      <strong>${job.name}</strong><${Badge} state=${job.state} />
      <span class="hint">${job.guess ? "trains a guess" : `${job.counts.done} of ${count(job.concepts_total, "concept")} learned`}, ${when(job.submitted)}</span>
    </a></li>`)}</ul>
    ${data?.next && html`<button type="button" onClick=${() => setAfter(data.next)}>Older jobs</button>`}
  </div>`;
}

/** A job as its events tell it; the stream is taken up again when it breaks. */
function useJob(id) {
  const [job, setJob] = useState(null);
  const [error, setError] = useState(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const control = new AbortController();
    const follow = async () => {
      let last = "";
      while (!control.signal.aborted) {
        try {
          const headers = last ? { "last-event-id": last } : {};
          for await (const event of events(`/v1/jobs/${encodeURIComponent(id)}/events`, { headers, signal: control.signal })) {
            last = event.id || last;
            setError(null);
            setJob((old) => told(old, event.event, event.data));
            if (event.event === "job.end") return;
          }
        } catch (problem) {
          if (problem.name === "AbortError") return;
          setError(problem);
          if (problem.status >= 400 && problem.status < 500) return;
        }
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    };
    follow();
    return () => control.abort();
  }, [id, turn]);
  const more = async () => {
    try {
      const page = await get(`/v1/jobs/${encodeURIComponent(id)}?offset=${job.concepts.length}`);
      setJob((old) => ({ ...old, concepts: [...old.concepts.slice(0, page.offset), ...page.concepts], has_more: page.has_more }));
    } catch (problem) {
      setError(problem);
    }
  };
  return { job, error, more, again: () => setTurn((old) => old + 1) };
}

function told(job, event, data) {
  if (event === "job.snapshot") return data.job;
  if (!job) return job;
  const one = (name, change) => ({ ...job, concepts: job.concepts.map((was) => (was.name === name ? change(was) : was)) });
  if (event === "job.state" || event === "job.end") return { ...job, ...data.job };
  if (event === "concept.state") return one(data.concept.name, () => data.concept);
  if (event === "concept.preview") {
    const preview = { step: data.step, url: data.url };
    return one(data.name, (was) => ({ ...was, previews: [...was.previews.filter((old) => old.step < data.step), preview] }));
  }
  if (event !== "concept.progress") return job;
  const { type, job_id, name, points, ...rest } = data;
  const from = points.length ? points[0].step : Infinity;
  return one(name, (was) => ({ ...was, ...rest, curve: [...was.curve.filter((point) => point.step < from), ...points] }));
}

export function Job({ id }) {
  const { job, error, more, again } = useJob(id);
  const [problem, setProblem] = useState(null);
  if (!job) return html`<div class="page"><h1>Job</h1><${Problem} error=${error} again=${again} />${!error && html`<${Loading} what="the job" />`}</div>`;
  const change = (what, body) => async () => {
    setProblem(null);
    try {
      await post(`/v1/jobs/${encodeURIComponent(id)}/${what}`, body);
      again();
    } catch (failed) {
      setProblem(failed);
    }
  };
  const ended = ENDED.includes(job.state);
  return html`<div class="page">
    <header class="row"><h1>${job.name}</h1><${Badge} state=${job.state} /></header>
    <${Overall} job=${job} ended=${ended} />
    <div class="row">
      ${!ended && html`<${Cancel} guess=${Boolean(job.guess)} cancel=${(keep) => change("cancel", { keep_best: keep })()} />`}
      ${ended && job.state !== "done" && html`<button type="button" onClick=${change("resume")}>Go on</button>`}
    </div>
    <${Problem} error=${problem ?? error} again=${problem ? null : again} />
    ${job.problem && html`<div class="problem" role="alert"><p><strong>${job.problem}</strong></p><p>${job.advice}</p></div>`}
    ${job.driver?.problem && html`<div class="problem" role="alert"><p><strong>${job.driver.problem}</strong></p></div>`}
    ${job.guess && html`<${Guess} guess=${job.guess} />`}
    ${job.concepts.map((concept) => html`<${Learning} job=${job.id} concept=${concept} key=${concept.name} />`)}
    ${job.has_more && html`<div class="row"><button type="button" onClick=${more}>More</button><p class="hint">${job.concepts.length} of ${count(job.concepts_total, "concept")} are shown.</p></div>`}
  </div>`;
}

function Overall({ job, ended }) {
  const { counts } = job;
  const part = [...job.concepts, ...(job.guess ? [job.guess] : [])].reduce((sum, one) => sum + (one.state === "running" ? one.step / Math.max(1, one.max_steps) : 0), 0);
  const done = ended ? job.concepts_total : counts.done + counts.failed + counts.cancelled + part;
  const words = Object.entries(counts).filter(([, number]) => number).map(([state, number]) => `${number} ${state}`).join(", ");
  return html`<div class="overall">
    <progress max=${job.concepts_total} value=${done} aria-label="How far the job is"></progress>
    <p class="hint" role="status">${words}${!ended && job.eta_s != null ? `; about ${duration(job.eta_s)} left` : ""}${!ended && job.workers === 0 ? "; waiting for a worker" : ""}</p>
    ${!ended && job.workers === 0 && !job.driver?.problem && html`<p class="hint">No worker is learning it now. One starts by itself, usually within a minute, unless it is busy with other jobs. If none comes, <a href="#/fleet">Fleet</a> shows whether there are workers, and <code>textinv job logs --driver</code> tells why not.</p>`}
    ${!ended && html`<p class="hint">You can close this tab: learning continues, and this page shows it again.</p>`}
  </div>`;
}

/** A network that predicts first rows, trained from concepts that are shared. */
function Guess({ guess }) {
  return html`<article class="panel learning">
    <h2>From what is shared</h2>
    <p role="status">${guess.state === "done" ? "Published: it predicts first rows from now on." : sentence(guess)}</p>
    ${guess.failure && html`<div class="problem"><p><strong>${guess.failure.message}</strong></p><p>${guess.failure.advice}</p></div>`}
    ${guess.curve.length > 0 && html`<section><h3>Loss of its steps</h3><${Curve} points=${guess.curve} maxSteps=${guess.max_steps} stopped=${false} name="the guess" /></section>`}
  </article>`;
}

function Cancel({ guess, cancel }) {
  const dialog = useRef(null);
  const answer = (keep) => () => {
    dialog.current.close();
    cancel(keep);
  };
  return html`<button type="button" onClick=${() => dialog.current.showModal()}>Cancel job</button>
    <dialog ref=${dialog} aria-labelledby="cancel-title">
      <h2 id="cancel-title">Cancel this job?</h2>
      <p>${guess ? "The guess is not published; going on later takes up what is trained so far." : "Concepts that are learned stay. Those half learned can be kept as they are now, or dropped."}</p>
      <div class="row end">
        <button type="button" class="quiet" onClick=${() => dialog.current.close()}>Go on learning</button>
        ${!guess && html`<button type="button" onClick=${answer(true)}>Cancel, keep the best so far</button>`}
        <button type="button" class="main" onClick=${answer(false)}>${guess ? "Cancel" : "Cancel and drop"}</button>
      </div>
    </dialog>`;
}

function Learning({ job, concept }) {
  const shown = concept.previews.at(-1);
  const young = concept.state === "waiting" && !shown && !concept.curve.length;
  return html`<article class="panel learning">
    <header class="row">
      <h2>${concept.placeholder}</h2><${Badge} state=${concept.state} />
      ${concept.state === "done" && html`<a class="button" href=${`#/try?prompt=${encodeURIComponent(`a photo of ${concept.placeholder}`)}`}>Try it</a>
        <a class="button quiet" href=${`#/concepts/${encodeURIComponent(concept.name)}`}>Show it</a>`}
    </header>
    <p role="status">${sentence(concept)}</p>
    ${concept.failure && html`<div class="problem"><p><strong>${concept.failure.message}</strong></p><p>${concept.failure.advice}</p></div>`}
    <${GuessThenLearned} job=${job} concept=${concept} />
    <div class=${young ? "" : "beside"}>
      <section><h3>Training pictures</h3><div class="pictures small">${concept.pictures.map((picture, place) => html`<${Picture} src=${picture.thumbnail} alt=${`Training picture ${place + 1}`} key=${picture.digest} />`)}</div></section>
      ${!young && html`<section><h3>Drawn while it learns</h3>
        ${shown ? html`<div class="pictures">${concept.previews.slice(-4).map((one) => html`<figure key=${one.step}><${Picture} src=${one.url} alt=${`Preview at step ${one.step}`} lazy=${false} /><figcaption class="hint">step ${one.step}</figcaption></figure>`)}</div>`
        : html`<p class="hint">${concept.state === "running" ? "The first preview comes soon." : "No previews."}</p>`}
      </section>
      <section><h3>Loss on the fixed batch</h3><${Curve} points=${concept.curve} maxSteps=${concept.max_steps} stopped=${Boolean(concept.stopped)} name=${concept.name} /></section>`}
    </div>
  </article>`;
}

function sentence(concept) {
  if (concept.state === "running" && concept.why_stopped) return `Stopped at step ${concept.step}: ${concept.why_stopped}. Now it is drawn and scored.`;
  if (concept.state === "running") return `Step ${concept.step} of at most ${concept.max_steps}; loss ${fixed(concept.loss, 4)}${concept.eta_s != null ? `; at most ${duration(concept.eta_s)} left` : ""}.`;
  if (concept.state === "waiting") return "Waiting for a free slot on a worker.";
  if (concept.why_stopped) return `Stopped at step ${concept.step}: ${concept.why_stopped}.`;
  return concept.state === "cancelled" ? "Cancelled." : "";
}
