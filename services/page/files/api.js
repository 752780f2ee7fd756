// The service's HTTP API as the page calls it: the key, errors with advice, streams of events.
// The key lives in this tab only (sessionStorage), is sent as a header and is never part of an address.

const KEY = "textinv-key";

const ADVICE = {
  access_denied: "Enter an API key that may do this (the key button at the top).",
  unknown_job: "Look under Jobs: it may belong to another store, or to another key.",
  unknown_concept: "Look under Concepts: it may be misspelt, removed, or not learned yet.",
  other_base_model: "It was learned on another base model. Teach it again on the one that draws here.",
  invalid_embedding: "The stored embedding does not fit. Teach the concept again, or move to another version.",
  corrupt_object: "The store returned bytes other than those written. Move to another version, or teach it again.",
  store_failed: "The store has trouble. Try again in a moment; `textinv store status` says more.",
  store_unreachable: "The store is down. Start it with `textinv store up`, or check its address with `textinv config`.",
  store_old_format: "An older version wrote this store. Ask the operator to run `textinv store migrate`.",
  store_unsafe: "This store cannot keep two writers apart. Use another one, or the embedded one.",
  store_conflict: "Somebody else changed the same thing just now. Look at it again, then try once more.",
  object_not_found: "It may have been removed meanwhile: reload the page.",
  store_credentials: "The store refuses the service's credentials: check them with `textinv config`.",
  overloaded: "The queue is full. Wait a little, or ask the operator for more replicas.",
  deadline: "The queue is too long for this request. Wait a little and try again.",
  not_ready: "The base model is still being loaded. Try again in a few seconds.",
  service_failed: "Try again in a few seconds; `textinv serve status` says more.",
  content_policy_violation: "The base model's safety checker held the pictures back. Change the prompt or the seed.",
  needs_newer_worker: "A worker is older than the job. Ask the operator to update the workers; the job waits.",
  cluster_failed: "Nothing can learn now. Is Ray running? `textinv fleet status` says more.",
  base_model_unavailable: "The base model cannot be read. `textinv config` shows where it is looked for.",
  invalid_image: "Choose another picture: PNG, JPEG or WebP, large enough and undamaged.",
  body_too_large: "Choose smaller pictures.",
  no_answer: "Is the service running? `textinv up` starts it.",
};

export class ApiError extends Error {
  constructor(message, { code = "", status = 0, param = null, problems = [], retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { code, status, param, problems, retryAfter });
  }

  get advice() {
    if (this.status === 403) return "Your key's role does not allow this. Ask an operator for one that does.";
    const wait = this.retryAfter ? ` (the service says: in ${this.retryAfter} s)` : "";
    return (ADVICE[this.code] ?? "") + (ADVICE[this.code] ? wait : "");
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

async function send(path, { method = "GET", json, body, headers = {}, signal } = {}) {
  const sent = new Headers(headers);
  if (key.get()) sent.set("authorization", `Bearer ${key.get()}`);
  if (json !== undefined) sent.set("content-type", "application/json");
  let answer;
  try {
    answer = await fetch(path, { method, headers: sent, body: json === undefined ? body : JSON.stringify(json), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The service does not answer.", { code: "no_answer" });
  }
  if (!answer.ok) throw await failure(answer);
  return answer;
}

async function failure(answer) {
  let told = {};
  try {
    told = await answer.json();
  } catch {
    // not ours: a proxy's page, perhaps
  }
  const error = told.error ?? {};
  if (answer.status === 401) window.dispatchEvent(new CustomEvent("key-needed"));
  const ofJob = error.code === "unknown_concept" && new URL(answer.url).pathname.startsWith("/v1/jobs/");
  return new ApiError(error.message ?? `The service answered ${answer.status}.`, {
    code: ofJob ? "unknown_job" : (error.code ?? ""),
    status: answer.status,
    param: error.param ?? null,
    problems: told.problems ?? [],
    retryAfter: answer.headers.get("retry-after"),
  });
}

export const get = async (path, options) => (await send(path, options)).json();
export const post = async (path, json, options) => (await send(path, { method: "POST", json, ...options })).json();
export const upload = async (path, body, options) => (await send(path, { method: "POST", body, ...options })).json();
export const blob = async (path, options) => (await send(path, options)).blob();

/** Server-sent events of a request, one object {id, event, data} each, until the stream ends. */
export async function* events(path, options = {}) {
  const answer = await send(path, options);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      buffer += value;
      let end;
      while ((end = buffer.indexOf("\n\n")) >= 0) {
        const event = parseEvent(buffer.slice(0, end));
        buffer = buffer.slice(end + 2);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parseEvent(block) {
  const event = { id: "", event: "message", data: "" };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const field = line.slice(0, colon);
    if (field in event) event[field] += line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") event.event = line.slice(colon + 1).trim();
  }
  return event.data ? { ...event, data: JSON.parse(event.data) } : null;
}

export const eventError = (data) =>
  new ApiError(data.error?.message ?? "The stream failed.", { code: data.error?.code, status: 500, param: data.error?.param });
