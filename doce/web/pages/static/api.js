// The JSON API, and streams that are read only while somebody looks.

export class Refused extends Error {
  constructor({ code, message, hint }) {
    super(message);
    this.code = code;
    this.hint = hint || "";
  }
}

/** Call the API. Throws Refused with doce's own sentence. */
export async function call(method, path, body, options = {}) {
  let answer;
  try {
    const sent = body === undefined ? {} : body instanceof Blob ? { body } : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
    answer = await fetch(path, { method, ...sent, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused({ code: "UNAVAILABLE", message: "doce does not answer.", hint: "Nothing was lost; try again in a moment." });
  }
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  if (answer.status === 401 && path !== "/api/session") signIn();
  throw new Refused(told.error || { code: String(answer.status), message: `doce answered ${answer.status}.` });
}

export const get = (path) => call("GET", path);

const keys = new Map(), REST_MS = 20000;

/** Post something that must not be done twice: asked again after an answer that was lost, it is what was done then. */
export async function once(path, body) {
  const asked = path + JSON.stringify(body);
  const key = keys.get(asked) || crypto.randomUUID?.() || `${Date.now()}-${Math.random()}`;
  keys.delete(asked);
  try {
    return await call("POST", path, body, { headers: { "content-type": "application/json", "idempotency-key": key } });
  } catch (error) {
    if (error.code === "UNAVAILABLE") keys.set(asked, key);
    throw error;
  }
}

/** All pages of a list. */
export async function items(path) {
  const found = [];
  let after = "";
  do {
    const page = await get(`${path}${path.includes("?") ? "&" : "?"}limit=200${after && `&after=${encodeURIComponent(after)}`}`);
    found.push(...page.items);
    after = page.next;
  } while (after && found.length < 5000);
  return found;
}

export function signIn() {
  location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
}

/** Read a stream of server-sent events until it ends or `signal` aborts: `tell({ event, data, id })` for each. */
export async function read(path, tell, signal) {
  const answer = await fetch(path, { signal, headers: { accept: "text/event-stream" } });
  if (!answer.ok) throw new Refused((await answer.json().catch(() => ({}))).error || { message: `doce answered ${answer.status}.` });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const frames = (rest + value).split("\n\n");
    rest = frames.pop();
    for (const frame of frames) {
      const fields = Object.fromEntries(frame.split("\n").filter((line) => !line.startsWith(":")).map((line) => {
        const at = line.indexOf(":");
        return [line.slice(0, at), line.slice(at + 2)];
      }));
      if (fields.data) tell({ event: fields.event, id: fields.id, data: JSON.parse(fields.data) });
    }
  }
}

/**
 * An EventSource that comes back also after an answer it would give up on.
 * `address(last)` is asked at each opening; `last` is the id of the last event, if any.
 */
export function listen(address, kinds, tell, line = () => {}) {
  let source, last = null, wait = 1000, timer;
  const open = () => {
    clearTimeout(timer);
    source?.close();
    source = new EventSource(address(last));
    source.onopen = () => { wait = 1000; line(true); };
    for (const kind of kinds) source.addEventListener(kind, (event) => {
      if (event.lastEventId) last = event.lastEventId;
      tell(event);
    });
    source.onerror = async () => {
      line(false);
      // While it tries by itself it sends Last-Event-ID; when it gave up, it is opened anew after the last event.
      if (source.readyState !== EventSource.CLOSED) return;
      const answer = await fetch("/api/me").catch(() => null);
      if (answer && answer.status === 401) return signIn();
      timer = setTimeout(open, wait);
      wait = Math.min(wait * 2, 15000);
    };
  };
  open();
  const close = () => { clearTimeout(timer); source.close(); };
  // A browser has six connections to a host: a page that nobody sees gives its own back, and reads on when somebody does.
  // A device that slept may also hold one that is dead and does not know it.
  let rest, hidden = 0;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(rest);
    if (document.hidden) { hidden = Date.now(); rest = setTimeout(close, REST_MS); }
    else if (hidden && Date.now() - hidden >= REST_MS) open();
  });
  addEventListener("offline", () => line(false));
  addEventListener("online", open);
  // A page that goes to the back of the browser's history and returns must listen again.
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  return close;
}
