// Blocks as Slack lays them out. `room.press(action, value, element)` hears of what is pressed; `room.names` knows who ids are.

import { link, make, markdown, mrkdwn, richText, textObject } from "./text.js";

const STATES = { pending: "○", in_progress: "◐", complete: "✓", error: "✗" };

export function blocks(list, room) {
  return (list ?? []).map(block => block_(block, room));
}

function block_(block, room) {
  const of = (...children) => make("div", { class: `block ${block.type}`, "data-block": block.block_id }, ...children);
  switch (block.type) {
    case "section":
      return of(
        block.fields
          ? make("div", { class: "fields" }, block.text ? textObject(block.text, room.names) : "", ...block.fields.map(field => textObject(field, room.names)))
          : textObject(block.text, room.names),
        block.accessory ? element(block.accessory, block, room) : "");
    case "header": return of(textObject(block.text, room.names));
    case "divider": return of();
    case "context": return of(...block.elements.map(each => each.type === "image" ? picture(each) : textObject(each, room.names)));
    case "actions": return of(...block.elements.map(each => element(each, block, room)));
    case "image": return of(block.title ? make("div", { class: "quiet" }, textObject(block.title, room.names)) : "", picture(block));
    case "markdown": return of(markdown(block.text));
    case "rich_text": return of(richText(block, room.names));
    case "task_card": return of(task(block, room));
    case "plan": return of(make("div", { class: "steps" }, make("b", {}, block.title || "Plan"), ...block.tasks.map(each => task(each, room))));
    case "input": return of(input(block, room));
    case "context_actions": return of(...block.elements.flatMap(each => [each.positive_button, each.negative_button].filter(Boolean).map(one =>
      make("button", { class: "button", onclick: () => room.press(each.action_id, one.value, each, block) }, one.text.text))));
    default: return of(make("span", { class: "quiet" }, `[${block.type}]`));
  }
}

function picture(image) {
  return /^(https?:|\/)/.test(image.image_url ?? "") ? make("img", { src: image.image_url, alt: image.alt_text }) : `[${image.alt_text}]`;
}

export function task(card, room) {
  const words = each => typeof each === "string" ? each : each ? richText(each, room.names) : "";
  const more = ["details", "output"].filter(name => card[name]).map(name => make("div", { class: "more" }, words(card[name])));
  const sources = (card.sources ?? []).map(each => make("span", {}, " ", link(each.url, each.text)));
  return make("div", { class: `task ${card.status}` }, make("span", { class: "state" }, STATES[card.status] ?? "○"), card.title, ...more, ...sources);
}

function element(item, block, room) {
  const press = value => room.ask(item.confirm, () => room.press(item.action_id, value, item, block));
  switch (item.type) {
    case "button": {
      const kind = `button ${item.style ?? ""}`;
      if (item.url) return make("a", { class: kind, href: /^https?:/.test(item.url) ? item.url : "#", target: "_blank", rel: "noreferrer", onclick: () => press(item.value) }, item.text.text);
      return make("button", { class: kind, type: "button", onclick: () => press(item.value) }, ...textObject(item.text, room.names).childNodes);
    }
    case "overflow": case "static_select": case "external_select":
      return select(item, item.type === "overflow" ? "⋯" : item.placeholder?.text ?? "Choose…", press);
    case "radio_buttons": case "checkboxes": return choices(item, block, room, press);
    case "image": return picture(item);
    case "datepicker": return make("input", { type: "date", class: "select", value: item.initial_date, onchange: event => press(event.target.value) });
    default: return make("span", { class: "quiet" }, `[${item.type}]`);
  }
}

function options(item) {
  return (item.option_groups ?? [{ options: item.options ?? [] }]).flatMap(group => group.options);
}

function select(item, words, press) {
  const initial = item.initial_option?.value;
  const chosen = make("select", { class: "select", "aria-label": words, onchange: event => event.target.value && press(event.target.value) },
    make("option", { value: "" }, words), ...options(item).map(each => make("option", { value: each.value, selected: each.value === initial }, each.text.text)));
  return chosen;
}

function choices(item, block, room, press) {
  const many = item.type === "checkboxes";
  const initial = many ? (item.initial_options ?? []).map(each => each.value) : [item.initial_option?.value];
  const name = `${block.block_id}.${item.action_id}`;
  const whole = make("div");
  whole.append(...options(item).map(each => make("label", { class: "choice" },
    make("input", { type: many ? "checkbox" : "radio", name, value: each.value, checked: initial.includes(each.value), onchange: () =>
      press && press(many ? [...whole.querySelectorAll(":checked")].map(one => one.value) : each.value) }),
    make("span", {}, textObject(each.text, room.names), each.description ? make("div", { class: "quiet" }, textObject(each.description, room.names)) : ""))));
  return whole;
}

// Fields of dialogs. What is typed is read from the form by `filled`.

function input(block, room) {
  const item = block.element;
  const wrong = room.errors?.[block.block_id];
  const state = room.inputs?.[block.block_id]?.[item.action_id] ?? {};
  return make("div", { class: "field", "data-action": item.action_id, "data-type": item.type },
    make("div", { class: "label" }, block.label.text, block.optional ? make("span", { class: "quiet" }, " (optional)") : ""),
    field(item, block, room, state),
    block.hint ? make("div", { class: "hint" }, block.hint.text) : "",
    wrong ? make("div", { class: "wrong" }, wrong) : "");
}

function field(item, block, room, state) {
  const label = block.label.text;
  switch (item.type) {
    case "plain_text_input": {
      const made = make(item.multiline ? "textarea" : "input", { type: "text", "aria-label": label, placeholder: item.placeholder?.text, rows: 4 });
      made.value = state.value ?? "";
      return made;
    }
    case "static_select": return select({ ...item, initial_option: state.selected_option ?? item.initial_option }, item.placeholder?.text ?? "Choose…", () => {});
    case "radio_buttons": case "checkboxes":
      return choices({ ...item, initial_option: state.selected_option, initial_options: state.selected_options }, block, room, null);
    default: {
      const made = make("input", { type: "text", "aria-label": label });
      made.value = Object.entries(state).find(([name]) => name !== "type")?.[1] ?? "";
      return made;
    }
  }
}

export function filled(form) {
  const values = {};
  for (const each of form.querySelectorAll(".field")) {
    const checked = [...each.querySelectorAll("input:checked")].map(one => one.value);
    const type = each.dataset.type;
    if (type === "checkboxes") values[each.dataset.action] = checked;
    else if (type === "radio_buttons") { if (checked[0]) values[each.dataset.action] = checked[0]; }
    else {
      const value = each.querySelector("input, textarea, select").value;
      if (value || type.endsWith("_input")) values[each.dataset.action] = value;
    }
  }
  return values;
}

export { mrkdwn };
