// Fleet: what learns, for operators. Scaling, draining, recent failures.

import { html, useEffect, useState } from "/page/vendor/htm-preact.js";
import { get, post } from "/page/api.js";
import { Badge, count, Field, fixed, Loading, NumberInput, Problem, when } from "/page/parts.js";

const EVERY_MS = 3000;

export function Fleet() {
  const [fleet, setFleet] = useState(null);
  const [error, setError] = useState(null);
  const [said, setSaid] = useState("");
  const look = () => get("/v1/fleet").then((data) => { setFleet(data); setError(null); }).catch(setError);
  useEffect(() => {
    look();
    const timer = setInterval(() => document.visibilityState === "visible" && look(), EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  const change = async (what, body, words) => {
    try {
      setFleet(await post(`/v1/fleet/${what}`, body));
      setSaid(words);
      setError(null);
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<div class="page">
    <h1>Fleet</h1>
    <${Problem} error=${error} again=${look} />
    ${!fleet && !error && html`<${Loading} what="the fleet" />`}
    ${fleet && html`<${State} fleet=${fleet} />
      <${Scale} fleet=${fleet} change=${change} said=${said} />
      <${Nodes} nodes=${fleet.nodes} />
      <${Workers} fleet=${fleet} />
      <${Failures} failures=${fleet.failures} />
      <${Links} links=${fleet.links} />`}
  </div>`;
}

function State({ fleet }) {
  const { driver, queue, workers, settings } = fleet;
  const facts = [
    [workers.length, workers.length === 1 ? "worker" : "workers", `of ${settings.max_workers} allowed`],
    [queue.leased ?? 0, "learning", "concepts in a pack now"],
    [queue.waiting ?? 0, "waiting", "concepts in the queue"],
    [fleet.concepts_per_hour == null ? "–" : fixed(fleet.concepts_per_hour, 0), "per hour", "concepts finished"],
    ...machines(fleet),
    [queue.expiries ?? 0, "expired leases", "concepts taken from silent workers"],
  ];
  return html`<section class="panel"><header class="row"><h2>Now</h2><${Badge} state=${driver.state === "stopped" && !driver.problem ? "idle" : driver.state} />${settings.draining && html`<${Badge} state="draining" />`}</header>
    ${settings.draining && html`<p>Drained: jobs wait until you scale the fleet.</p>`}
    ${driver.problem && !settings.draining && html`<div class="problem" role="alert"><p><strong>${driver.problem}</strong></p><p><code>textinv job logs --driver</code> shows the end of its log; submitting or resuming a job starts it again.</p></div>`}
    ${!driver.running && !driver.problem && html`<p class="hint">No driver is running: it starts with the next job, and ends when there is nothing to learn.</p>`}
    <ul class="scores">${facts.map(([value, label, text]) => html`<li><strong>${value}</strong><span>${label}</span><span class="hint">${text}</span></li>`)}</ul>
  </section>`;
}

// CPUs and GPUs of the Ray that learns: known to its driver only.
function machines({ resources, nodes }) {
  if (!resources) return [["–", "CPUs and GPUs", "known while a driver runs"]];
  const types = [...new Set(nodes.filter((one) => one.gpus).map(typeOf))].join(", ");
  const cpus = [resources.cpus, resources.cpus === 1 ? "CPU" : "CPUs", `on ${count(nodes.length, "node")}`];
  return [cpus, resources.gpus ? [resources.gpus, resources.gpus === 1 ? "GPU" : "GPUs", types] : ["no GPU", "on any node", "concepts are learned on CPUs"]];
}

const typeOf = (one) => one.gpu_type ?? "unknown type";
const gib = (bytes) => `${fixed(bytes / 2 ** 30, 1)} GiB`;

function memoryOf(one) {
  if (!one.gpus) return "–";
  return one.gpu_memory_bytes == null ? "not known" : `${gib(one.gpu_memory_used_bytes)} of ${gib(one.gpu_memory_bytes)} used`;
}

function Nodes({ nodes }) {
  if (!nodes.length) return null;
  return html`<section class="panel"><h2>${count(nodes.length, "node")}</h2>
    <div class="scroll facts" tabindex="0" role="region" aria-label="Nodes"><table><thead><tr><th scope="col">Node</th><th scope="col">Address</th><th scope="col">CPUs</th><th scope="col">GPUs</th><th scope="col">GPU memory</th></tr></thead>
      <tbody>${nodes.map((one) => html`<tr key=${one.node}><td title=${one.node}>${one.node.slice(0, 12)}</td><td>${one.address}</td><td>${one.cpus}</td><td>${one.gpus ? `${one.gpus} × ${typeOf(one)}` : "no GPU"}</td><td>${memoryOf(one)}</td></tr>`)}</tbody></table></div>
  </section>`;
}

function Scale({ fleet, change, said }) {
  const [min, setMin] = useState(fleet.settings.min_workers);
  const [max, setMax] = useState(fleet.settings.max_workers);
  const scale = (event) => {
    event.preventDefault();
    change("scale", { min, max }, `At most ${count(max, "worker")}, at least ${min}.`);
  };
  return html`<section class="panel"><h2>Scale</h2>
    <form class="row" onSubmit=${scale}>
      <${Field} id="min" label="At least"><${NumberInput} id="min" min="0" max="100000" value=${min} change=${setMin} /><//>
      <${Field} id="max" label="At most"><${NumberInput} id="max" min="1" max="100000" value=${max} change=${setMax} /><//>
      <button class="main">Scale</button>
      <button type="button" disabled=${fleet.settings.draining} onClick=${() => change("drain", undefined, "Workers save checkpoints, hand back their concepts and stop.")}>Drain</button>
    </form>
    <p role="status">${said}</p>
    <p class="hint">Scaling also ends a drain. More workers than the cluster has room for make its autoscaler add nodes.</p>
  </section>`;
}

function Workers({ fleet }) {
  if (!fleet.workers.length) return null;
  return html`<section class="panel"><h2>${count(fleet.workers.length, "worker")} in ${count(fleet.crews.length, "crew")}</h2>
    <div class="scroll facts" tabindex="0" role="region" aria-label="Workers"><table><thead><tr><th scope="col">Worker</th><th scope="col">Concepts</th><th scope="col">Learning</th><th scope="col">Node</th><th scope="col">Crew</th><th scope="col">Silent for</th></tr></thead>
      <tbody>${fleet.workers.map((one) => html`<tr key=${one.id}><td>${one.id}</td><td>${one.concepts.length}</td><td class="long">${one.concepts.join(", ")}</td><td title=${one.node}>${one.node.slice(0, 12)}</td><td>${one.crew}</td><td>${fixed(one.silent_s, 1)} s</td></tr>`)}</tbody></table></div>
  </section>`;
}

function Failures({ failures }) {
  return html`<section class="panel"><h2>Recent failures</h2>
    ${failures.length === 0 && html`<p class="hint">None.</p>`}
    ${failures.length > 0 && html`<ul class="list">${failures.map((one) => html`<li key=${one.fingerprint}><strong>${one.name}</strong> <span class="hint">${one.code}${one.when ? `, ${when(one.when)}` : ""}${one.workers_died ? `, ${count(one.workers_died, "worker")} died with it` : ""}</span>
      <p>${one.message}</p><p class="hint">${one.advice}</p></li>`)}</ul>`}
  </section>`;
}

function Links({ links }) {
  const known = [["ray_dashboard", "Ray's dashboard"], ["grafana", "Grafana"]].filter(([name]) => links?.[name]);
  if (!known.length) return null;
  return html`<p class="row">${known.map(([name, label]) => html`<a class="button" href=${links[name]} rel="noreferrer">${label}</a>`)}</p>`;
}
