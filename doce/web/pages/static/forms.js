// Forms that call the API: <form data-call="POST /api/…">. What they send stands in their fields.

import { $, all, h, refresh, refuse, say } from "./dom.js";
import { call } from "./api.js";

/** The fields of a form as the API takes them: empty optional ones left out, numbers as numbers. */
export function fields(form) {
  const values = {};
  for (const field of all("input[name], select[name], textarea[name]", form)) {
    if (field.type === "checkbox") { values[field.name] = field.checked; continue; }
    const text = field.type === "password" ? field.value : field.value.trim();
    if (!text && "optional" in field.dataset) continue;
    if (!text && "setting" in field.dataset) values[field.name] = null;
    else values[field.name] = field.dataset.type === "number" ? Number(text) : text;
  }
  return values;
}

/** Send a form. Returns the answer; throws Refused. */
export async function send(form) {
  const values = fields(form);
  const [method, template] = form.dataset.call.split(" ");
  const path = template.replace(/{(\w+)}/g, (_, name) => {
    const value = encodeURIComponent(values[name]);
    delete values[name];
    return value;
  });
  return call(method, path, method === "DELETE" || !Object.keys(values).length ? undefined : values);
}

async function submitted(event) {
  const form = event.target.closest("form[data-call]");
  if (!form) return;
  event.preventDefault();
  const wrong = $(".wrong", form);
  if (wrong) wrong.hidden = true;
  const missing = all("input, textarea, select", form).find((field) => !field.checkValidity());
  if (missing) {
    refuse({ message: missing.validationMessage }, wrong);
    missing.focus();
    return;
  }
  if (form.dataset.sure && !(await sure(form.dataset.sure, form.dataset.word))) return;
  const button = event.submitter || $("button", form);
  button.disabled = true;
  try {
    const answer = await send(form);
    if (form.dataset.then === "/sign-in") sessionStorage.clear();
    if (form.dispatchEvent(new CustomEvent("done", { detail: answer, bubbles: true, cancelable: true }))) {
      if (form.dataset.then) { location.assign(form.dataset.then); return; }
      if ("thenSlug" in form.dataset) { location.assign(`/projects/${encodeURIComponent(answer.slug)}`); return; }
      const said = form.dataset.say || answer.message;
      if (said) say(said);
      await refresh();
    }
  } catch (error) {
    refuse(error, wrong);
  } finally {
    button.disabled = false;
  }
}

/** Ask before something that cannot be undone; `word` must be typed. */
export function sure(question, word) {
  return new Promise((resolve) => {
    const typed = word ? h("input", { "aria-label": `Type ${word}`, autocomplete: "off", placeholder: word }) : null;
    const yes = h("button", { class: "button danger", value: "yes" }, "Yes");
    const dialog = h("dialog", { "aria-labelledby": "sure" },
      h("form", { method: "dialog" },
        h("p", { id: "sure" }, question),
        word ? h("p", { class: "quiet" }, "Type ", h("code", {}, word), " to be sure.") : null,
        typed,
        h("div", { class: "buttons" }, h("button", { class: "button", value: "no" }, "No"), yes)));
    if (typed) {
      yes.disabled = true;
      typed.addEventListener("input", () => { yes.disabled = typed.value.trim() !== word; });
    }
    document.body.append(dialog);
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "yes"); });
    dialog.showModal();
  });
}

document.addEventListener("submit", submitted);
// A menu closes when one looks elsewhere.
document.addEventListener("click", (event) => { for (const menu of all("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false; });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") for (const menu of all("details.menu[open]")) { menu.open = false; $("summary", menu).focus(); } });
