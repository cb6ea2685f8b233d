// What a build writes, line by line, while it does.

import { $ } from "./dom.js";
import { read } from "./api.js";

export class Deploys {
  constructor() { this.job = null; }

  /** After the page was refreshed: follow the job that works on the deployment, if it is another than before. */
  look() {
    const job = $("#production")?.dataset.job;
    if (!job || job === this.job) return;
    this.job = job;
    this.follow(job);
  }

  async follow(job) {
    const log = $("#build-log");
    try {
      await read(`/api/jobs/${job}/stream`, ({ event, data }) => {
        if (event === "job" && data.type === "production.build" && this.shown !== data.id) { this.shown = data.id; log.textContent = ""; }
        if (event !== "job.line") return;
        $("#build").hidden = false;
        log.append(`${data.message}\n`);
        log.scrollTop = log.scrollHeight;
      });
    } catch { /* the next change of the deployment looks again */ }
  }
}
