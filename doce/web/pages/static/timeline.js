// The conversation, made of events: turns with text as it streams, reasoning folded, tools as lines, requests, and how each ended.

import { h, count, duration, money } from "./dom.js";
import { blocks } from "./markdown.js";
import { SILENT, Tool } from "./tools.js";
import { Ask } from "./asks.js";

const REDRAW_MS = 60;

/** Text that grows by pieces. A piece says where it belongs, so one that comes twice changes nothing. */
class Text {
  constructor(element, draw) { this.element = element; this.draw = draw; this.text = ""; this.due = false; }

  piece(offset, delta) {
    // Offsets count characters as doce does, not the halves that JavaScript counts.
    const have = [...this.text];
    if (offset > have.length) return false;
    if (offset + [...delta].length <= have.length) return true;
    this.text = have.slice(0, offset).join("") + delta;
    this.later();
    return true;
  }

  set(text) { this.text = text; this.later(); }

  later() {
    if (this.due) return;
    this.due = true;
    setTimeout(() => { this.due = false; this.draw(this.element, this.text); }, REDRAW_MS);
  }
}

const markdown = (element, text) => element.replaceChildren(...blocks(text));
const plain = (element, text) => { element.textContent = text; };

class Turn {
  constructor(id, text) {
    this.id = id;
    this.body = h("div", { class: "agent" });
    this.foot = h("p", { class: "foot quiet" });
    this.element = h("article", { class: "turn", "aria-label": "Turn" }, h("div", { class: "asked" }, text), this.body, this.foot);
    this.messages = new Map();
    this.tools = new Map();
    this.files = new Map();
    this.ended = false;
  }

  message(id) {
    if (!this.messages.has(id)) this.messages.set(id, new Map());
    return this.messages.get(id);
  }

  part(messageId, partId) {
    const parts = this.message(messageId);
    if (!parts.has(partId)) {
      const element = h("div", { class: "said-text" });
      parts.set(partId, new Text(element, markdown));
      this.body.append(element);
    }
    return parts.get(partId);
  }

  reasoning(messageId, partId) {
    const parts = this.message(messageId), key = `reasoning ${partId}`;
    if (!parts.has(key)) {
      const inside = h("div", { class: "thought" });
      const text = new Text(inside, plain);
      text.folded = h("details", { class: "reasoning" }, h("summary", {}, "Thinking"), inside);
      parts.set(key, text);
      this.body.append(text.folded);
    }
    return parts.get(key);
  }

  final({ messageId, text, error }) {
    const parts = [...this.message(messageId)].filter(([key]) => !key.startsWith("reasoning "));
    const joined = parts.map(([, part]) => part.text).filter(Boolean).join("\n\n");
    if (text && joined !== text) {
      if (!parts.length) this.part(messageId, "final").set(text);
      else { parts[0][1].set(text); for (const [key, part] of parts.slice(1)) { part.element.remove(); this.message(messageId).delete(key); } }
    }
    if (error && error !== "stopped") this.note(error, "bad");
  }

  discard({ messageId, partId }) {
    for (const key of [partId, `reasoning ${partId}`]) {
      const part = this.message(messageId).get(key);
      (part?.folded || part?.element)?.remove();
      this.message(messageId).delete(key);
    }
  }

  note(text, look = "quiet", hint = "") {
    // What every attempt of the agent says anew is said once; the last may know what to do.
    if (this.noted?.text === text && this.body.lastChild === this.noted.element) this.noted.element.remove();
    this.noted = { text, element: h("p", { class: `note ${look}` }, text, hint && !/[.!?…]$/.test(text) ? "." : "", hint ? h("span", { class: "quiet" }, ` ${hint}`) : "") };
    this.body.append(this.noted.element);
  }

  end(state, words, payload = {}) {
    this.ended = true;
    this.element.classList.remove("working");
    this.element.classList.add(state);
    const used = (payload.tokens?.input || 0) + (payload.tokens?.output || 0);
    const files = payload.files?.length || this.files.size;
    this.foot.textContent = [words, payload.durationMs && duration(payload.durationMs), files && count(files, "file"), used && count(used, "token"), money(payload.cost || 0)].filter(Boolean).join(" · ");
  }
}

export class Timeline {
  /** `people`: names by their ids. */
  constructor(place, project, { waiting, busy, todos, people }) {
    Object.assign(this, { place, project, waiting, busy, todos, people });
    this.turns = new Map();
    this.children = new Set();
    this.asks = new Map();
    this.texts = new Map();
    this.last = null;
  }

  turn(id, text = "") {
    if (!this.turns.has(id)) {
      const turn = new Turn(id, text);
      this.turns.set(id, turn);
      this.place.append(turn.element);
    }
    return this.turns.get(id);
  }

  /** Take the next event. Those of turns before the first that is shown are passed over. */
  take({ type, payload, promptId, sessionId }) {
    const handler = this[type.replace(/^chat\./, "").replaceAll(".", "_")];
    if (!handler) return;
    this.inner = this.children.has(sessionId);
    const turn = promptId ? this.turns.get(promptId) : this.last;
    handler.call(this, payload, turn, promptId);
  }

  prompt_queued(payload, _turn, id) {
    this.texts.set(id, payload.text);
    this.waiting.add(id, payload.text);
  }

  prompt_edited(payload, _turn, id) {
    if (payload.text === undefined || payload.text === null) this.waiting.remove(id);
    else { this.texts.set(id, payload.text); this.waiting.text(id, payload.text); }
  }

  prompt_sent(payload, _turn, id) {
    this.waiting.remove(id);
    this.last = this.turn(id, payload.text || this.texts.get(id));
    this.last.element.classList.add("working");
    this.busy(true);
  }

  prompt_completed(payload, turn) { this.over(turn, "completed", "Done", payload); }
  prompt_stopped(payload, turn) { this.over(turn, "stopped", this.people[payload.by] ? `Stopped by ${this.people[payload.by]}` : "Stopped", payload); }
  prompt_failed(payload, turn, id) { this.waiting.remove(id); turn ??= this.turn(id, this.texts.get(id)); turn.note(payload.error, "bad", payload.hint); this.over(turn, "failed", "Failed", payload); }
  prompt_interrupted(payload, turn) { turn?.note(payload.reason, "bad", payload.hint); this.over(turn, "interrupted", "Interrupted", payload); }

  over(turn, state, words, payload) {
    if (!turn) return;
    turn.end(state, words, payload);
    if (turn === this.last) this.busy(false);
  }

  message_part_added(payload, turn) { if (turn && !this.inner) turn.part(payload.messageId, payload.partId).piece(payload.offset, payload.deltaText); }
  message_final(payload, turn) { if (turn && !this.inner) turn.final(payload); }
  message_discarded(payload, turn) { turn?.discard(payload); }
  reasoning_part(payload, turn) { if (turn && !this.inner) turn.reasoning(payload.messageId, payload.partId).piece(payload.offset, payload.deltaText); }

  tool_start(payload, turn) {
    if (!turn || SILENT.has(payload.name) || turn.tools.has(payload.toolCallId)) return;
    const tool = new Tool(payload.name, payload.title, payload.input, this.inner);
    turn.tools.set(payload.toolCallId, tool);
    turn.lastTool = tool;
    turn.body.append(tool.element);
  }

  tool_progress(payload, turn) { turn?.tools.get(payload.toolCallId)?.progress(payload.output); }
  tool_finish(payload, turn) {
    const tool = turn?.tools.get(payload.toolCallId);
    if (!tool) return;
    tool.finish(payload.title, payload.output, payload.metadata);
    turn.lastTool = tool;
  }
  tool_error(payload, turn) { turn?.tools.get(payload.toolCallId)?.fail(payload.error); }

  file_changed(payload, turn) {
    if (!turn) return;
    turn.files.set(payload.path, payload);
    const tool = [...turn.tools.values()].reverse().find((one) => one.title.textContent.includes(payload.path)) || turn.lastTool;
    tool?.changed(payload.additions, payload.deletions);
  }

  permission_requested(payload, turn) { this.ask("permission", payload, turn); }
  question_requested(payload, turn) { this.ask("question", payload, turn); }
  permission_resolved(payload) { this.asks.get(payload.requestId)?.resolved(payload); this.asks.delete(payload.requestId); }
  question_resolved(payload) { this.permission_resolved(payload); }

  ask(kind, payload, turn) {
    if (!turn || this.asks.has(payload.requestId)) return;
    const ask = new Ask(this.project, kind, payload);
    this.asks.set(payload.requestId, ask);
    turn.body.append(ask.element);
  }

  todo_updated(payload) { if (!this.inner) this.todos(payload.todos); }
  subagent_started(payload) { this.children.add(payload.childSessionId); }
  subagent_finished() {}
  session_error(payload, turn) { turn?.note(payload.message, "bad"); }
  session_status(payload, turn) { if (payload.status === "retry") turn?.note(`The model did not answer; trying again (${payload.attempt ?? ""}). ${payload.message || ""}`); }
  session_compacted(_payload, turn) { turn?.note("The agent shortened its memory of the conversation."); }
}
