// Prompts that wait for the agent: edit, remove, send now.

import { h, refuse } from "./dom.js";
import { call } from "./api.js";

export class Waiting {
  constructor(list, project) { this.list = list; this.path = `/api/projects/${project}/prompts`; this.items = new Map(); }

  add(id, text) {
    if (this.items.has(id)) return;
    const words = h("span", { class: "words" }, text);
    const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
    const work = async (deed) => { try { wrong.hidden = true; await deed(); } catch (error) { refuse(error, wrong); } };
    const item = h("li", {}, h("span", { class: "quiet" }, "waits"), words, h("span", { class: "deeds" },
      h("button", { type: "button", class: "plain", onclick: () => work(() => call("POST", `${this.path}/${id}/now`)) }, "Send now"),
      h("button", { type: "button", class: "plain", onclick: () => this.edit(id, words, work) }, "Edit"),
      h("button", { type: "button", class: "plain", "aria-label": "Remove from the queue", onclick: () => work(() => call("DELETE", `${this.path}/${id}`)) }, "Remove")), wrong);
    this.items.set(id, { item, words });
    this.list.append(item);
  }

  edit(id, words, work) {
    if (words.isContentEditable || words.nextSibling?.matches?.("form")) return;
    const field = h("textarea", { rows: "2", maxlength: "32000", "aria-label": "Prompt" });
    field.value = words.textContent;
    const form = h("form", {}, field, h("button", { class: "button small" }, "Save"), h("button", { type: "button", class: "plain", onclick: () => { form.remove(); words.hidden = false; } }, "Keep as it was"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      work(async () => { await call("PATCH", `${this.path}/${id}`, { text: field.value }); form.remove(); words.hidden = false; });
    });
    words.hidden = true;
    words.after(form);
    field.focus();
  }

  text(id, text) { const found = this.items.get(id); if (found) found.words.textContent = text; }
  has(id) { return this.items.has(id); }
  remove(id) { this.items.get(id)?.item.remove(); this.items.delete(id); }
}
