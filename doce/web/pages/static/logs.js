// The services' log, read while one looks; goes on where it was after a cut.

import { $, all, h } from "./dom.js";
import { read } from "./api.js";

const MOST = 4000;

export class Logs {
  constructor(panel, project) {
    Object.assign(this, { place: $("#log"), path: `/api/projects/${project}/logs`, offset: null, rest: "" });
    for (const box of all("[data-source]", panel)) box.addEventListener("change", () => this.place.classList.toggle(`no-${box.dataset.source}`, !box.checked));
  }

  shown(on) {
    this.reading?.abort();
    this.reading = null;
    if (on) this.follow((this.reading = new AbortController()).signal);
  }

  async follow(signal) {
    while (!signal.aborted) {
      try {
        await read(`${this.path}?watch=false${this.offset === null ? "" : `&offset=${this.offset}`}`, ({ data }) => this.take(data), signal);
      } catch (error) {
        if (error.name === "AbortError") return;
        if (error.code) { this.add(`[host] ${error.message}`); }
      }
      await new Promise((resolve) => setTimeout(resolve, 1500));
    }
  }

  take({ text, nextOffset, truncated }) {
    if (truncated) this.add("[host] … what was before is gone from the log");
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop();
    this.offset = nextOffset;
    for (const line of lines) this.add(line);
  }

  add(line) {
    const down = this.place.scrollHeight - this.place.scrollTop - this.place.clientHeight < 60;
    const source = /^\[(host|docker|app)\]/.exec(line)?.[1] || "app";
    this.place.append(h("span", { class: `line ${source}` }, `${line}\n`));
    while (this.place.childElementCount > MOST) this.place.firstChild.remove();
    if (down) this.place.scrollTop = this.place.scrollHeight;
  }
}
