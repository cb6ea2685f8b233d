// Elements without HTML strings: whatever comes from a model or a person is only ever text.

/** An element. `properties`: `class`, `data-…`, `aria-…` and the like as attributes, `onclick` and the like as listeners. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const $ = (selector, within = document) => within.querySelector(selector);
export const all = (selector, within = document) => [...within.querySelectorAll(selector)];

/** Say a sentence: shown for a moment and told to a screen reader. */
export function say(text, { bad = false, hint = "" } = {}) {
  const place = document.getElementById(bad ? "refused" : "said");
  if (bad) hush();
  clearTimeout(place.timer);
  place.replaceChildren(text, ...(hint ? [" ", h("span", { class: "quiet" }, hint)] : []));
  place.classList.add("shown");
  place.timer = setTimeout(() => { place.classList.remove("shown"); place.replaceChildren(); }, bad ? 9000 : 4000);
}

function hush() { $("#said").classList.remove("shown"); }

/** Tell an error of the API next to what caused it, else at the foot of the page. */
export function refuse(error, place) {
  hush();
  if (!place) return say(error.message, { bad: true, hint: error.hint });
  place.replaceChildren(error.message, ...(error.hint ? [" ", h("span", { class: "quiet" }, error.hint)] : []));
  place.hidden = false;
}

/** Call `work` once for many asks: now if it rests, else once more when it is done. */
export function gently(work, restMs = 150) {
  let running = false, again = false;
  return async function ask() {
    if (running) { again = true; return; }
    running = true;
    try { await work(); } finally {
      setTimeout(() => { running = false; if (again) { again = false; ask(); } }, restMs);
    }
  };
}

/** Take the live parts of this page anew from the server, but for one that somebody is typing in. */
export async function refresh(address = location.href) {
  const answer = await fetch(address, { headers: { accept: "text/html" } });
  if (answer.redirected && new URL(answer.url).pathname === "/sign-in") { location.reload(); return; }
  if (!answer.ok) { if (answer.status === 404 || answer.status === 403) location.reload(); return; }
  // Of our own server, escaped there; scripts in it would not run in any case.
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of all("[data-live]")) {
    const fresh = page.getElementById(old.id);
    if (!fresh || old.isEqualNode(fresh) || old.said === fresh.outerHTML) continue;
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    if (focused && focused.matches("input:not([type=hidden]), textarea, select")) continue;
    const markup = fresh.outerHTML;
    const taken = document.importNode(fresh, true);
    taken.said = markup;
    old.replaceWith(taken);
    tellTimes(taken);
    if (focused) (document.getElementById(focused.id) || taken.querySelector("button, a"))?.focus({ preventScroll: true });
  }
  document.dispatchEvent(new CustomEvent("refreshed"));
}

/** What somebody types stays in this tab until it was taken: a session that ends and a page that is loaded anew lose none of it. */
export function keep(field, name) {
  const key = `draft ${name}`;
  field.value = field.value || sessionStorage.getItem(key) || "";
  const note = () => { if (field.value) sessionStorage.setItem(key, field.value); else sessionStorage.removeItem(key); };
  field.addEventListener("input", note);
  return note;
}

const UNITS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60]];
const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export function ago(date) {
  const seconds = (date - Date.now()) / 1000;
  for (const [unit, length] of UNITS) if (Math.abs(seconds) >= length) return words.format(Math.trunc(seconds / length), unit);
  return "just now";
}

/** Moments in words; the exact one, in local time, on hovering. */
export function tellTimes(within = document) {
  for (const element of all("time[datetime]", within)) {
    const date = new Date(element.dateTime);
    element.textContent = ago(date);
    element.title = date.toLocaleString();
  }
}

export function duration(ms) {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

export function bytes(count) {
  if (count < 1000) return `${count} B`;
  return count < 1e6 ? `${(count / 1000).toFixed(1)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

export const money = (dollars) => (dollars === 0 ? "" : dollars < 0.01 ? `$${dollars.toFixed(4)}` : `$${dollars.toFixed(2)}`);
export const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

tellTimes();
setInterval(tellTimes, 30000);
