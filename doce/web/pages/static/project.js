// One project: one stream of events, from which everything on the page lives.

import { $, all, gently, h, keep, money, refresh, refuse, say } from "./dom.js";
import { call, listen, once } from "./api.js";
import { Assets } from "./assets.js";
import { Attachments, wire } from "./attach.js";
import { Deploys } from "./deploys.js";
import { Files } from "./files.js";
import { Logs } from "./logs.js";
import { fillModels } from "./models.js";
import { Tabs } from "./tabs.js";
import { Timeline } from "./timeline.js";
import { Waiting } from "./waiting.js";
import "./forms.js";

const root = $("#project"), project = JSON.parse(root.dataset.project), path = `/api/projects/${project.id}`;
const scroll = $("#scroll"), latest = $("#latest"), form = $("#ask"), text = $("#text"), wrong = $(".wrong", form), stop = $("#stop");

// The conversation stays at its end, unless somebody reads above.
let following = true;
const atEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
scroll.addEventListener("scroll", () => { following = atEnd(); latest.hidden = following; }, { passive: true });
latest.addEventListener("click", () => { following = true; scroll.scrollTo({ top: scroll.scrollHeight }); });
const follow = () => { if (following) scroll.scrollTop = scroll.scrollHeight; };
new MutationObserver(() => { follow(); latest.hidden = following; }).observe(scroll, { childList: true, subtree: true, characterData: true });
new ResizeObserver(follow).observe(scroll);

const MARKS = { completed: "☑", in_progress: "▸", cancelled: "–" };
function todos(list) {
  const place = $("#todos"), left = list.filter((one) => one.status !== "completed" && one.status !== "cancelled").length;
  place.hidden = !list.length;
  $("summary", place).textContent = `Tasks: ${list.length - left} of ${list.length} done`;
  $("ul", place).replaceChildren(...list.map((one) => h("li", { class: one.status }, h("span", { "aria-label": one.status }, MARKS[one.status] || "☐"), " ", one.content)));
}

const waiting = new Waiting($("#waiting"), project.id);
const timeline = new Timeline($("#timeline"), project.id, { waiting, todos, people: JSON.parse(root.dataset.people), busy: (on) => { stop.hidden = !on; } });
stop.addEventListener("click", async () => { stop.disabled = true; try { await call("POST", `${path}/stop`); } catch (error) { refuse(error); } finally { stop.disabled = false; } });

// Tokens and money, live: those counted before this page was made stand in it already.
const spent = $("#spent"), counted = Number($("#production").dataset.seq);
const used = { input: Number(spent.dataset.input), output: Number(spent.dataset.output), cost: Number(spent.dataset.cost) };
const tellSpent = () => { spent.textContent = [`${(used.input + used.output).toLocaleString("en")} tokens`, money(used.cost)].filter(Boolean).join(" · "); };
tellSpent();

const frame = $("#frame"), reload = () => { frame.src = `/projects/${project.id}/frame`; };
$("#reload").addEventListener("click", reload);
$("#narrow").addEventListener("click", (event) => { const on = event.currentTarget.getAttribute("aria-pressed") !== "true"; event.currentTarget.setAttribute("aria-pressed", String(on)); $("#preview").classList.toggle("narrow", on); });

const files = new Files($("#tree"), $("#content"), project.id), assets = new Assets($("#assets"), project.id), logs = new Logs($("#logs"), project.id), deploys = new Deploys();
const look = gently(async () => { await refresh(); deploys.look(); }, 200);
const tabs = new Tabs(root, { files: (on) => files.shown(on), assets: (on) => assets.shown(on), logs: (on) => logs.shown(on), about: (on) => { if (on) look(); } });
deploys.look();

let preview = project.previewUrl || null;
const others = {
  "project.status": ({ payload }) => {
    look();
    const now = payload.previewUrl || null;
    if (now !== preview) { preview = now; reload(); }
  },
  "project.updated": look,
  "project.deleted": () => { say("This project is deleted."); location.assign("/"); },
  "production.status": look,
  "viewer.count": ({ payload }) => { $("#viewers").textContent = payload.count > 1 ? `${payload.count} watching ·` : ""; },
  "chat.usage": ({ payload, seq }) => {
    if (seq <= counted) return;
    used.input += payload.tokens.input; used.output += payload.tokens.output; used.cost += payload.cost;
    tellSpent();
  },
};

let seen = 0;
function take(event) {
  const said = JSON.parse(event.data);
  // A stream that came back after the last event it told repeats none; this is for one that began anew.
  if (said.seq <= seen) return;
  seen = said.seq;
  timeline.take(said);
  // What was there when this page was made stands in it.
  if (said.seq > counted || said.type === "viewer.count") others[said.type]?.(said);
  if (said.type === "chat.prompt.completed" && tabs.now === "files") files.load();
}
listen((last) => `${path}/opencode/event?after=${last ?? root.dataset.after}`, ["chat.event"], take,
  (on) => { $("#line").textContent = on ? "" : "Connection lost; coming back …"; });

const earlier = $("#earlier");
earlier.hidden = root.dataset.earlier !== "true";
earlier.addEventListener("click", () => {
  const asked = new URLSearchParams(location.search);
  asked.set("turns", String(Number(asked.get("turns") || 8) + 20));
  location.assign(`${location.pathname}?${asked}${location.hash}`);
});

const attached = new Attachments(form);
const kept = keep(text, project.id);
let sending = Promise.resolve();
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const said = text.value.trim(), files = attached.files;
  text.focus();
  if (!said) { if (files.length) refuse({ message: "Say what to do with it." }, wrong); return; }
  wrong.hidden = true;
  text.value = "";
  kept();
  attached.clear();
  following = true;
  // One after the other, in the order they were written.
  sending = sending.then(() => deliver(said, files));
});

/** Send a prompt; what was not taken goes back to where it was written. */
async function deliver(said, files) {
  try {
    await once(`${path}/prompts`, { text: said, attachments: await wire(files) });
  } catch (error) {
    text.value = [said, text.value.trim()].filter(Boolean).join("\n");
    kept();
    attached.restore(files);
    refuse(error, wrong);
  }
}
text.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); } });

const model = $("#model");
fillModels();
model.addEventListener("change", async () => {
  try { await call("POST", `${path}/model`, { model: model.value }); say("From the next prompt on."); } catch (error) { refuse(error); }
});
all("a[data-tab]").forEach((link) => link.addEventListener("click", () => tabs.show(link.dataset.tab, true)));
