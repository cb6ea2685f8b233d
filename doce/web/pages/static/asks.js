// The agent asks: a permission or a question, with buttons. The first answer wins, from whatever door it comes.

import { $, all, h, refuse } from "./dom.js";
import { call } from "./api.js";

const WANTS = { bash: "Run", edit: "Change", read: "Read", webfetch: "Fetch", websearch: "Search the web for", external_directory: "Go outside the project, to", task: "Call a helper for", doom_loop: "Go on with the same step again and again," };
const SAID = { once: "Allowed once", always: "Allowed from now on", reject: "Refused", timeout: "Nobody answered in time", gone: "No longer asked", answered: "Answered", rejected: "Not answered" };

export class Ask {
  constructor(project, kind, payload) {
    this.path = `/api/projects/${project}/${kind}s/${encodeURIComponent(payload.requestId)}`;
    this.wrong = h("p", { class: "wrong", role: "alert", hidden: true });
    this.element = h("form", { class: "request", "aria-label": kind === "permission" ? "The agent asks for permission" : "The agent asks" },
      ...(kind === "permission" ? this.permission(payload) : this.questions(payload)), this.wrong);
    this.element.addEventListener("submit", (event) => event.preventDefault());
  }

  permission(payload) {
    const say = (reply, words, look = "") => h("button", { type: "button", class: `button ${look}`, onclick: () => this.answer({ reply }) }, words);
    return [
      h("p", {}, h("strong", {}, "May the agent do this? "), h("span", { class: "what" }, `${WANTS[payload.permission] || payload.permission || "Use"} ${payload.title || ""}`.trim())),
      payload.patterns?.length ? h("pre", { class: "patterns" }, payload.patterns.join("\n")) : null,
      h("div", { class: "buttons" }, say("once", "Allow once", "primary"), payload.always?.length ? say("always", "Always allow") : null, say("reject", "Refuse")),
    ].filter(Boolean);
  }

  questions(payload) {
    const asked = payload.questions.map((item, number) => h("fieldset", { "data-multiple": String(item.multiple) },
      h("legend", { class: "what" }, item.question),
      ...item.options.map((option) => h("label", { class: "option" },
        h("input", { type: item.multiple ? "checkbox" : "radio", name: `question-${number}`, value: option.label }),
        h("span", {}, h("strong", {}, option.label), option.description ? h("span", { class: "quiet" }, ` ${option.description}`) : null))),
      item.custom === false ? null : h("label", { class: "option own" }, "In your own words ", h("input", { type: "text", class: "words", maxlength: "2000" }))));
    return [...asked, h("div", { class: "buttons" },
      h("button", { class: "button primary", onclick: () => this.answer({ answers: this.chosen() }) }, "Answer"),
      h("button", { type: "button", class: "button", onclick: () => this.answer({}) }, "Do not answer"))];
  }

  chosen() {
    return all("fieldset", this.element).map((asked) => {
      const own = $(".words", asked)?.value.trim();
      return [...all("input:checked", asked).map((input) => input.value), ...(own ? [own] : [])];
    });
  }

  async answer(body) {
    if (body.answers?.some((one) => !one.length)) { refuse({ message: "Choose an answer, or write your own." }, this.wrong); return; }
    const buttons = all("button", this.element);
    for (const button of buttons) button.disabled = true;
    try { await call("POST", this.path, body); } catch (error) {
      refuse(error, this.wrong);
      if (error.code !== "NOT_FOUND" && error.code !== "CONFLICT") for (const button of buttons) button.disabled = false;
    }
  }

  resolved(payload) {
    const words = (payload.answers || []).map((one) => one.join(", ")).filter(Boolean).join(" · ");
    const what = all("span.what, legend.what", this.element).map((one) => one.textContent).join(" · ");
    this.element.replaceWith(h("p", { class: "request done quiet" }, h("strong", {}, SAID[payload.reply] || payload.reply), words ? `: ${words}` : "", what ? h("span", {}, ` · ${what.slice(0, 160)}`) : ""));
  }
}
