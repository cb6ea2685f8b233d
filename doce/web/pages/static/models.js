// Every <select data-models>, filled with the models there are.

import { all, h } from "./dom.js";
import { items } from "./api.js";

let asked;
export const models = (anew = false) => (asked = (!anew && asked) || items("/api/models").catch(() => []));

export async function fillModels(anew = false) {
  const found = await models(anew);
  const providers = Map.groupBy ? Map.groupBy(found, (one) => one.provider) : grouped(found);
  for (const select of all("select[data-models]")) {
    const chosen = select.value;
    const first = select.options[0]?.value === "" ? [select.options[0]] : [];
    const groups = [...providers].map(([provider, list]) => h("optgroup", { label: provider },
      ...list.map((one) => h("option", { value: one.id, title: one.id }, one.name))));
    // A model that is no longer offered stays visible as what is chosen.
    if (chosen && !found.some((one) => one.id === chosen)) first.push(h("option", { value: chosen }, chosen));
    select.replaceChildren(...first, ...groups);
    select.value = chosen;
  }
}

function grouped(found) {
  const groups = new Map();
  for (const one of found) groups.set(one.provider, [...(groups.get(one.provider) || []), one]);
  return groups;
}
