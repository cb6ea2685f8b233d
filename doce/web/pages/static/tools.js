// One compact line for a tool: what it does, how it ended, what it changed; its output when one looks.

import { count, h } from "./dom.js";

const MARKS = { read: "◦", edit: "✎", write: "✎", patch: "✎", bash: "❯", grep: "⌕", glob: "⌕", list: "⌕", webfetch: "↧", task: "⚙", todowrite: "☑", todoread: "☑" };
/** Told elsewhere: tasks have their own list. */
export const SILENT = new Set(["todowrite", "todoread", "question"]);
const LONGEST = 20000;

export class Tool {
  constructor(name, title, input, inner) {
    this.state = h("span", { class: "state", role: "img", "aria-label": "running" });
    this.counts = h("span", { class: "counts" });
    this.title = h("span", { class: "title" }, title || name);
    this.output = h("pre", { class: "output", tabindex: "0" });
    this.told = "";
    this.element = h("details", { class: `tool running${inner ? " inner" : ""}` },
      h("summary", {}, h("span", { class: "mark", "aria-hidden": "true" }, MARKS[name] || "•"), h("span", { class: "name" }, name), this.title, this.counts, this.state),
      this.output);
    // A long output is only written where somebody looks.
    this.element.addEventListener("toggle", () => this.show());
    // A file that is written whole has no difference to tell: its length, then.
    if (name === "write" && typeof input?.content === "string") this.lines = input.content.replace(/\n$/, "").split("\n").length;
    if (name === "bash" && input?.command) this.asked = `$ ${input.command}\n`;
  }

  progress(output) { this.told = output; this.show(); }

  finish(title, output, metadata) {
    if (title) this.title.textContent = title;
    this.told = output || "";
    const failed = Number.isInteger(metadata?.exit) && metadata.exit !== 0;
    this.end(failed ? "failed" : "finished", failed ? `exit ${metadata.exit}` : "done");
    if (this.lines && !failed && !this.counts.firstChild) {
      if (metadata?.exists === false) this.changed(this.lines, 0);
      else this.counts.append(count(this.lines, "line"));
    }
    if (failed) this.counts.append(h("span", { class: "bad" }, `exit ${metadata.exit}`));
  }

  fail(error) { this.told = error; this.end("failed", "failed"); }

  changed(additions, deletions) {
    if (additions === undefined && deletions === undefined) return;
    this.counts.replaceChildren(h("span", { class: "added" }, `+${additions ?? 0}`), " ", h("span", { class: "removed" }, `−${deletions ?? 0}`));
  }

  end(state, words) {
    this.element.classList.remove("running");
    this.element.classList.add(state);
    this.state.setAttribute("aria-label", words);
    this.show();
  }

  show() {
    if (!this.element.open) return;
    const text = (this.asked || "") + this.told;
    this.output.textContent = text.length > LONGEST ? `${text.slice(0, LONGEST)}\n… ${text.length - LONGEST} more characters` : text || "It said nothing.";
  }
}
