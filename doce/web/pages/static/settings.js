// Settings: forms do most of it; a new token is shown once.

import { $, h, refresh } from "./dom.js";
import { fillModels, models } from "./models.js";
import "./forms.js";

$("#new-token").addEventListener("done", (event) => {
  const secret = $("#secret");
  $("code", secret).textContent = event.detail.secret;
  secret.hidden = false;
  event.preventDefault();
  event.target.reset();
  refresh();
});
$("#new-password").addEventListener("done", (event) => event.target.reset());
const told = (place, text) => { $("code", place).textContent = text; place.hidden = false; };
$("#link").addEventListener("done", (event) => { told($("#code"), `/doce link ${event.detail.code}`); event.preventDefault(); });
document.addEventListener("done", (event) => {
  if (!event.target.matches("form.password")) return;
  told($("#password"), event.detail.password);
  event.preventDefault();
  event.target.reset();
  refresh();
});
$("#new-provider")?.addEventListener("done", (event) => event.target.reset());

async function show(anew) {
  await fillModels(anew);
  const providers = new Map();
  for (const one of await models()) providers.set(one.provider, [...(providers.get(one.provider) || []), one]);
  $("#models").replaceChildren(...(providers.size ? [...providers].map(([provider, list]) => h("details", { open: list.length < 6 },
    h("summary", {}, provider, " ", h("span", { class: "quiet" }, String(list.length))),
    h("ul", { class: "rows" }, ...list.map((one) => h("li", {}, h("code", {}, one.id), h("span", { class: "quiet" }, one.name + (one.context ? ` · ${one.context.toLocaleString("en")} tokens` : "")))))))
    : [h("p", { class: "quiet" }, "No provider answered.")]));
}
show();
document.addEventListener("done", (event) => { if (/providers/.test(event.target.dataset.call)) show(true); });
