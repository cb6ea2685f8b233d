// The page: what one person sees, drawn anew at every change, and what they do.

import { blocks, filled } from "./blocks.js";
import { emoji, make, mrkdwn, textObject } from "./text.js";

const at = new URLSearchParams(location.search);
const here = { user: at.get("user") ?? "", channel: at.get("channel") ?? "", thread: at.get("thread") ?? "", home: at.get("home") ?? "" };
const $ = id => document.getElementById(id);
let state = null, drawnModal = "", asking = false, wanted = false;

// State

async function load() {
  if (asking) { wanted = true; return; }
  asking = true;
  const answer = await fetch(`/page/state?${new URLSearchParams(here)}`);
  if (answer.ok) { state = await answer.json(); here.user = state.user; here.channel = state.channel; draw(); }
  asking = false;
  if (wanted) { wanted = false; load(); }
}

async function act(what, more) {
  $("notice").textContent = "";
  const answer = await fetch("/page/act", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ act: what, user: here.user, ...more }),
  });
  const said = await answer.json();
  if (said.error) $("notice").textContent = said.error;
  load();
  return said;
}

function go(change) {
  Object.assign(here, change);
  history.replaceState(null, "", `?${new URLSearchParams(Object.entries(here).filter(([, value]) => value))}`);
  load();
}

// Drawing

function draw() {
  drawSide();
  const channel = state.channels.find(each => each.id === here.channel);
  $("topic").replaceChildren(make("span", {}, here.home ? `${state.app} — Home` : title(channel)), make("small", {}, here.home ? "" : `${channel?.members ?? 0} members`));
  $("say").hidden = Boolean(here.home);
  if (here.home) keep($("messages"), [make("div", { class: "home" }, ...(state.home ? blocks(state.home.blocks, inView(state.home)) : ["Nothing was published yet."]))]);
  else keep($("messages"), [...state.messages.map(each => message(each, true)), ...state.sessions.filter(each => !each.thread_ts).map(working)]);
  $("thread").hidden = !here.thread || Boolean(here.home);
  if (!$("thread").hidden) keep($("replies"), [...state.replies.map(each => message(each, false)), ...state.sessions.filter(each => each.thread_ts === here.thread).map(working)]);
  drawModal();
}

function keep(box, nodes) {
  const low = box.scrollHeight - box.scrollTop - box.clientHeight < 80;
  const open = box.contains(document.activeElement) && document.activeElement.tagName === "SELECT";
  if (open) return;
  box.replaceChildren(...nodes);
  if (low) box.scrollTop = box.scrollHeight;
}

const title = channel => !channel ? "" : channel.kind === "im" ? state.app : `${channel.kind === "channel" ? "#" : "🔒"} ${channel.name}`;

function drawSide() {
  const current = state.users.find(each => each.id === state.user);
  const people = make("select", { "aria-label": "Who you are", onchange: event => go({ user: event.target.value, channel: "", thread: "", home: "" }) },
    ...state.users.filter(each => !each.bot).map(each => make("option", { value: each.id, selected: each.id === state.user }, `${each.name} · ${each.workspace}`)));
  const room = each => make("button", { "aria-current": each.id === here.channel && !here.home ? "page" : null, onclick: () => go({ channel: each.id, thread: "", home: "" }) }, title(each));
  $("side").replaceChildren(
    make("h1", {}, current?.workspace ?? ""), people,
    make("h2", {}, "Channels"), ...state.channels.filter(each => each.kind !== "im").map(room),
    make("h2", {}, "Direct messages"), ...state.channels.filter(each => each.kind === "im").map(room),
    make("h2", {}, "Apps"),
    make("button", { "aria-current": here.home ? "page" : null, onclick: () => { act("home", {}); go({ home: "1", thread: "" }); } }, `${state.app} — Home`),
    ...state.shortcuts.map(each => make("button", { onclick: () => act("shortcut", { callback: each.callback }) }, `⚡ ${each.name}`)),
    make("p", {}, `${state.transport}; ${state.connections} connected`));
}

function avatar(each) {
  const hue = [...each.author].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7) % 360;
  return make("div", { class: "avatar", style: `background: hsl(${hue} 45% 45%)` }, (each.author[0] ?? "?").toUpperCase());
}

function message(each, root) {
  const when = new Date(Number(each.ts) * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const room = inMessage(each);
  const laid = each.laid_out ? blocks(each.blocks, room) : [mrkdwn(each.text, state.names)];
  return make("article", { class: `message ${each.ephemeral ? "only" : ""}`, "data-ts": each.ts },
    avatar(each),
    make("div", { class: "body" },
      each.ephemeral ? make("div", { class: "quiet" }, "Only visible to you") : "",
      make("div", { class: "who" }, make("b", {}, each.author), each.bot ? make("span", { class: "app" }, "APP") : "", make("small", {}, when)),
      ...laid,
      each.edited ? make("small", { class: "quiet" }, "(edited)") : "",
      each.stream === "streaming" ? make("div", { class: "working" }, "writing") : "",
      each.stream === "dead" ? make("div", { class: "dead" }, "Slack ended this stream") : "",
      each.stream === "stopped" ? make("div", { class: "quiet" }, "Stopped") : "",
      ...each.attachments.map(one => make("div", { class: "attachment" }, one.title ? make("b", {}, one.title) : "", one.text ? mrkdwn(one.text, state.names) : "", ...blocks(one.blocks, room))),
      ...each.files.map(file),
      Object.keys(each.reactions).length ? reactions(each) : "",
      root && each.replies ? make("button", { class: "under", onclick: () => go({ thread: each.ts }) }, `${each.replies} ${each.replies === 1 ? "reply" : "replies"}`) : ""),
    each.ephemeral ? "" : menu(each, root));
}

function file(each) {
  const image = each.mimetype.startsWith("image/");
  return make("div", { class: "file" }, make("a", { href: each.url, target: "_blank" }, `📎 ${each.title}`), image ? make("img", { src: each.url, alt: each.alt || each.title }) : "");
}

function reactions(each) {
  return make("div", { class: "reactions" }, ...Object.entries(each.reactions).map(([name, users]) => {
    const mine = users.includes(state.user);
    return make("button", { class: mine ? "mine" : "", title: users.map(id => state.names[id]).join(", "), onclick: () => act(mine ? "unreact" : "react", { ...where(each), name }) }, `${emoji(name)} ${users.length}`);
  }));
}

const where = each => ({ channel: here.channel, ts: each.ts });

function menu(each, root) {
  const quick = ["eyes", "octagonal_sign", "rocket", "leftwards_arrow_with_hook"].map(name => make("button", { title: name, onclick: () => act("react", { ...where(each), name }) }, emoji(name)));
  const own = each.user === state.user ? [
    make("button", { title: "Edit", onclick: () => { const text = prompt("Edit message", each.plain); if (text !== null) act("edit", { ...where(each), text }); } }, "✏️"),
    make("button", { title: "Delete", onclick: () => act("delete", where(each)) }, "🗑️")] : [];
  const shortcuts = state.message_shortcuts.map(one => make("button", { onclick: () => act("shortcut", { ...where(each), callback: one.callback }) }, `⚡ ${one.name}`));
  return make("div", { class: "menu" }, ...quick, root ? make("button", { title: "Reply in thread", onclick: () => go({ thread: each.thread_ts || each.ts }) }, "💬") : "", ...own, ...shortcuts);
}

function working(session) {
  const words = session.loading || (session.status === "processing" ? "is working…" : session.status === "suspended" ? "is waiting for you" : "");
  if (!words) return make("div");
  return make("div", { class: "status" }, `${state.app} ${words}`,
    session.status === "processing" && session.thread_ts ? make("button", { class: "button", onclick: () => act("stop", { channel: here.channel, thread: session.thread_ts }) }, "◼ Stop") : "");
}

// Pressing

function ask(confirm, then) {
  if (!confirm) { then(); return; }
  const box = $("confirm");
  const button = (words, kind, done) => make("button", { class: `button ${kind}`, onclick: () => { box.close(); done(); } }, words);
  box.replaceChildren(make("h2", {}, confirm.title?.text ?? "Are you sure?"), make("div", { class: "inside" }, textObject(confirm.text, state.names)),
    make("footer", {}, button(confirm.deny?.text ?? "Cancel", "", () => {}), button(confirm.confirm?.text ?? "Yes", confirm.style ?? "primary", then)));
  box.showModal();
}

const inMessage = each => ({
  names: state.names, ask,
  press: (action, value, item, block) => act("click", { ...where(each), ephemeral: each.ephemeral, action, value, block: block.block_id }),
});
const inView = view => ({
  names: state.names, ask, errors: view.errors, inputs: view.inputs,
  press: (action, value, item, block) => act("click", { view: view.id, action, value, block: block.block_id }),
});

// Dialogs

function drawModal() {
  const box = $("modal"), view = state.modal, mark = view ? `${view.id} ${view.hash} ${JSON.stringify(view.errors)}` : "";
  if (mark === drawnModal) return;
  drawnModal = mark;
  if (!view) { box.close(); return; }
  const form = make("form", { method: "dialog", onsubmit: event => { event.preventDefault(); act("submit", { view: view.id, values: filled(form) }).then(said => { if (said.error) wrong.textContent = said.error; }); } });
  const wrong = make("div", { class: "wrong", role: "alert" });
  form.append(make("h2", {}, view.title), make("div", { class: "inside" }, ...blocks(view.blocks, inView(view)), wrong),
    make("footer", {}, make("button", { class: "button", type: "button", onclick: () => act("close", { view: view.id }) }, view.close || "Cancel"),
      view.submit ? make("button", { class: "button primary" }, view.submit) : ""));
  box.replaceChildren(form);
  if (!box.open) box.showModal();
}
$("modal").addEventListener("cancel", event => { event.preventDefault(); if (state.modal) act("close", { view: state.modal.id }); });

// Saying

async function base64(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let binary = "";
  for (let at = 0; at < bytes.length; at += 32768) binary += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(binary);
}

for (const [id, inThread] of [["say", false], ["reply", true]]) {
  const form = $(id), words = form.querySelector("textarea"), picker = form.querySelector("input");
  picker.addEventListener("change", () => { form.querySelector("label").firstChild.data = picker.files.length ? `${picker.files.length} 📎` : "+"; });
  form.addEventListener("submit", async event => {
    event.preventDefault();
    const text = words.value.trim();
    const files = await Promise.all([...picker.files].map(async each => ({ name: each.name, data: await base64(each) })));
    if (!text && !files.length) return;
    words.value = picker.value = "";
    picker.dispatchEvent(new Event("change"));
    const command = text.match(/^(\/[a-z0-9_-]+)(?:\s+([^]*))?$/);
    const thread = inThread ? here.thread : "";
    if (command) act("slash", { channel: here.channel, thread, command: command[1], text: command[2] ?? "" });
    else act("say", { channel: here.channel, thread, text, files });
  });
  words.addEventListener("keydown", event => { if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); form.requestSubmit(); } });
}
$("unthread").addEventListener("click", () => go({ thread: "" }));

new EventSource("/page/feed").onmessage = load;
load();
