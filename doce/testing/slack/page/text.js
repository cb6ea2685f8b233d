// Text as Slack shows it: its own markup (mrkdwn), standard Markdown, and rich text. Everything becomes nodes, nothing becomes HTML.

const EMOJI = {
  eyes: "👀", white_check_mark: "✅", x: "❌", octagonal_sign: "🛑", stop_sign: "🛑", raised_hand: "✋", hand: "✋", hourglass_flowing_sand: "⏳",
  hourglass: "⌛", rocket: "🚀", hammer_and_wrench: "🛠️", large_green_circle: "🟢", red_circle: "🔴", large_yellow_circle: "🟡", white_circle: "⚪",
  large_blue_circle: "🔵", leftwards_arrow_with_hook: "↩️", repeat: "🔁", warning: "⚠️", tada: "🎉", wave: "👋", sparkles: "✨", gear: "⚙️",
  globe_with_meridians: "🌐", link: "🔗", lock: "🔒", page_facing_up: "📄", pencil2: "✏️", mag: "🔍", bulb: "💡", heavy_check_mark: "✔️",
  double_vertical_bar: "⏸️", pause_button: "⏸️", arrow_forward: "▶️", no_entry: "⛔", question: "❓", speech_balloon: "💬", thumbsup: "👍",
  "+1": "👍", "-1": "👎", fire: "🔥", heart: "❤️", package: "📦", wastebasket: "🗑️", house: "🏠", art: "🎨", zzz: "💤", information_source: "ℹ️",
};

export const emoji = name => EMOJI[name] ?? `:${name}:`;

export function make(tag, more = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(more)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false && value !== null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter(child => child !== null && child !== undefined && child !== ""));
  return node;
}

const plain = text => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
const named = text => plain(text).replace(/:([a-z0-9_+-]+):/g, (all, name) => EMOJI[name] ?? all);

export function link(url, label) {
  return /^(https?:|mailto:)/i.test(url) ? make("a", { href: url, target: "_blank", rel: "noreferrer" }, label || url) : label || url;
}

// Slack's own markup

export function mrkdwn(text, names) {
  const whole = make("div", { class: "mrkdwn" });
  for (const [number, piece] of text.split(/```/).entries()) {
    if (number % 2) whole.append(make("pre", {}, plain(piece.replace(/^\n/, ""))));
    else whole.append(...lines(piece, names));
  }
  return whole;
}

function lines(text, names) {
  const found = [];
  let quoted = [];
  const end = () => { if (quoted.length) found.push(make("blockquote", {}, ...marked(quoted.join("\n"), names))); quoted = []; };
  text.split("\n").forEach((line, number, all) => {
    const quote = line.match(/^(?:&gt;|>) ?(.*)$/);
    if (quote) { quoted.push(quote[1]); return; }
    end();
    found.push(...marked(line + (number < all.length - 1 ? "\n" : ""), names));
  });
  end();
  return found;
}

const MARKS = /`([^`\n]+)`|<([^<>\n]+)>|(?<![\w*])\*(\S(?:[^*\n]*\S)?)\*(?![\w*])|(?<![\w_])_(\S(?:[^_\n]*\S)?)_(?![\w_])|(?<![\w~])~(\S(?:[^~\n]*\S)?)~(?![\w~])/g;

function marked(text, names) {
  const found = [];
  let at = 0;
  for (const hit of text.matchAll(MARKS)) {
    if (hit.index > at) found.push(named(text.slice(at, hit.index)));
    at = hit.index + hit[0].length;
    if (hit[1]) found.push(make("code", {}, plain(hit[1])));
    else if (hit[2]) found.push(reference(hit[2], names));
    else if (hit[3]) found.push(make("b", {}, ...marked(hit[3], names)));
    else if (hit[4]) found.push(make("i", {}, ...marked(hit[4], names)));
    else found.push(make("s", {}, ...marked(hit[5], names)));
  }
  if (at < text.length) found.push(named(text.slice(at)));
  return found;
}

function reference(inside, names) {
  const [target, label] = inside.split("|", 2);
  if (target[0] === "@") return make("span", { class: "mention" }, `@${label || names[target.slice(1)] || target.slice(1)}`);
  if (target[0] === "#") return make("span", { class: "mention" }, `#${label || names[target.slice(1)] || target.slice(1)}`);
  if (target[0] === "!") return make("span", { class: "broadcast" }, target.startsWith("!date^") ? label || target : `@${target.slice(1).split("^")[0]}`);
  return link(plain(target), label && plain(label));
}

// Standard Markdown

export function markdown(text) {
  const whole = make("div", { class: "text" });
  const rows = text.replaceAll("\r", "").split("\n");
  for (let at = 0; at < rows.length;) at = markdownBlock(rows, at, whole);
  return whole;
}

function markdownBlock(rows, at, whole) {
  const row = rows[at];
  const heading = row.match(/^(#{1,6})\s+(.*)$/);
  if (!row.trim()) return at + 1;
  if (row.startsWith("```")) {
    let end = at + 1;
    while (end < rows.length && !rows[end].startsWith("```")) end += 1;
    whole.append(make("pre", {}, rows.slice(at + 1, end).join("\n")));
    return end + 1;
  }
  if (heading) { whole.append(make(`h${Math.min(4, heading[1].length)}`, {}, ...inline(heading[2]))); return at + 1; }
  if (/^(---+|\*\*\*+)\s*$/.test(row)) { whole.append(make("hr")); return at + 1; }
  const item = /^\s*(?:[-*+]|\d+[.)])\s+/;
  if (item.test(row)) return gather(rows, at, line => item.test(line), taken =>
    whole.append(make(/^\s*\d/.test(row) ? "ol" : "ul", {}, ...taken.map(line => make("li", {}, ...inline(line.replace(item, "")))))));
  if (row.startsWith(">")) return gather(rows, at, line => line.startsWith(">"), taken =>
    whole.append(make("blockquote", {}, ...inline(taken.map(line => line.replace(/^>\s?/, "")).join("\n")))));
  if (row.startsWith("|")) return gather(rows, at, line => line.startsWith("|"), taken => whole.append(table(taken)));
  return gather(rows, at, line => line.trim() && !/^(#{1,6}\s|```|>|\|)/.test(line) && !item.test(line), taken =>
    whole.append(make("p", {}, ...inline(taken.join("\n")))));
}

function gather(rows, at, belongs, done) {
  let end = at + 1;
  while (end < rows.length && belongs(rows[end])) end += 1;
  done(rows.slice(at, end));
  return end;
}

function table(rows) {
  const cells = row => row.replace(/^\||\|\s*$/g, "").split("|").map(cell => cell.trim());
  const kept = rows.filter(row => !/^\|[\s:|-]+\|?\s*$/.test(row));
  return make("table", {}, ...kept.map((row, number) => make("tr", {}, ...cells(row).map(cell => make(number ? "td" : "th", {}, ...inline(cell))))));
}

const INLINE = /`([^`]+)`|\[([^\]]+)\]\(([^()\s]+)\)|\*\*(.+?)\*\*|__(.+?)__|(?<![\w*])\*([^*\n]+)\*|(?<![\w_])_([^_\n]+)_(?!\w)|~~(.+?)~~|(https?:\/\/[^\s<>)]+)/gs;

function inline(text) {
  const found = [];
  let at = 0;
  const words = piece => piece.split("\n").flatMap((line, number) => (number ? [make("br"), line] : [line])).map(each => typeof each === "string" ? named(each) : each);
  for (const hit of text.matchAll(INLINE)) {
    if (hit.index > at) found.push(...words(text.slice(at, hit.index)));
    at = hit.index + hit[0].length;
    if (hit[1]) found.push(make("code", {}, hit[1]));
    else if (hit[2]) found.push(link(hit[3], hit[2]));
    else if (hit[4] || hit[5]) found.push(make("b", {}, ...inline(hit[4] || hit[5])));
    else if (hit[6] || hit[7]) found.push(make("i", {}, ...inline(hit[6] || hit[7])));
    else if (hit[8]) found.push(make("s", {}, ...inline(hit[8])));
    else found.push(link(hit[9]));
  }
  if (at < text.length) found.push(...words(text.slice(at)));
  return found;
}

// Text objects and rich text

export function textObject(object, names) {
  if (!object) return "";
  return object.type === "mrkdwn" ? mrkdwn(object.text, names) : make("span", {}, named(object.text));
}

export function richText(block, names) {
  return make("div", { class: "mrkdwn" }, ...(block.elements ?? []).map(element => richElement(element, names)));
}

function richElement(element, names) {
  const children = () => (element.elements ?? []).map(each => richElement(each, names));
  switch (element.type) {
    case "rich_text_section": return make("span", {}, ...children());
    case "rich_text_preformatted": return make("pre", {}, ...children());
    case "rich_text_quote": return make("blockquote", {}, ...children());
    case "rich_text_list": return make(element.style === "ordered" ? "ol" : "ul", {}, ...children().map(each => make("li", {}, each)));
    case "user": return make("span", { class: "mention" }, `@${names[element.user_id] ?? element.user_id}`);
    case "channel": return make("span", { class: "mention" }, `#${names[element.channel_id] ?? element.channel_id}`);
    case "broadcast": return make("span", { class: "broadcast" }, `@${element.range}`);
    case "link": return link(element.url, element.text);
    case "emoji": return emoji(element.name);
    default: {
      const style = element.style ?? {};
      const tag = style.code ? "code" : style.bold ? "b" : style.italic ? "i" : style.strike ? "s" : "span";
      return make(tag, {}, style.code ? element.text ?? "" : named((element.text ?? "").replaceAll("&", "&amp;")));
    }
  }
}
