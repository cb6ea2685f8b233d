// Markdown to elements. What a model writes becomes text and the few elements below, never markup of its own.

import { h } from "./dom.js";

const INLINE = /(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)|\*\*([^*]+?)\*\*|__([^_]+?)__|\*([^*\s][^*]*?)\*|(?<!\w)_([^_\s][^_]*?)_(?!\w)|\[([^\]]+)\]\(([^()\s]+)\)|(https?:\/\/[^\s<>()]+[^\s<>().,;:!?'"])/g;

/** A link, when it leads to the web; anything else (`javascript:` say) stays text. */
function link(text, address) {
  return /^https?:\/\//i.test(address) ? h("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, ...[text].flat()) : [text].flat();
}

export function inline(text) {
  const found = [];
  let at = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > at) found.push(text.slice(at, match.index));
    const [all, , code, bold, bold2, italic, italic2, words, address, bare] = match;
    if (code !== undefined) found.push(h("code", {}, code.trim()));
    else if (bold ?? bold2) found.push(h("strong", {}, ...inline(bold ?? bold2)));
    else if (italic ?? italic2) found.push(h("em", {}, ...inline(italic ?? italic2)));
    else if (words) found.push(...[link(inline(words), address)].flat());
    else if (bare) found.push(...[link(bare, bare)].flat());
    else found.push(all);
    at = match.index + all.length;
  }
  if (at < text.length) found.push(text.slice(at));
  return found;
}

const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;

/** The blocks of `text`: headings, lists, quotes, code, tables, paragraphs. */
export function blocks(text) {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const made = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    const fence = line.match(/^\s*(```+|~~~+)\s*([\w+-]*)/);
    if (fence) {
      const code = [];
      for (at += 1; at < lines.length && !lines[at].trim().startsWith(fence[1]); at += 1) code.push(lines[at]);
      at += 1;
      made.push(h("pre", { tabindex: "0" }, h("code", {}, code.join("\n"))));
      continue;
    }
    if (!line.trim()) { at += 1; continue; }
    const heading = line.match(/^(#{1,6})\s+(.*)$/);
    // The page has its own first and second level.
    if (heading) { made.push(h(`h${Math.min(6, heading[1].length + 2)}`, {}, ...inline(heading[2].replace(/\s+#+\s*$/, "")))); at += 1; continue; }
    if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) { made.push(h("hr")); at += 1; continue; }
    if (line.startsWith(">")) {
      const quoted = [];
      for (; at < lines.length && lines[at].startsWith(">"); at += 1) quoted.push(lines[at].replace(/^>\s?/, ""));
      made.push(h("blockquote", {}, ...blocks(quoted.join("\n"))));
      continue;
    }
    if (ITEM.test(line)) { const [list, next] = listAt(lines, at); made.push(list); at = next; continue; }
    if (line.includes("|") && /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/.test(lines[at + 1] || "")) { const [table, next] = tableAt(lines, at); made.push(table); at = next; continue; }
    const words = [];
    for (; at < lines.length && lines[at].trim() && !/^(#{1,6}\s|>|\s*(```|~~~))/.test(lines[at]) && !(words.length && ITEM.test(lines[at])); at += 1) words.push(lines[at]);
    made.push(h("p", {}, ...words.flatMap((one, index) => [...(index ? [h("br")] : []), ...inline(one.trim())])));
  }
  return made;
}

function listAt(lines, at) {
  const first = lines[at].match(ITEM), indent = first[1].length, list = h(/\d/.test(first[2]) ? "ol" : "ul");
  while (at < lines.length) {
    const item = lines[at].match(ITEM);
    if (!item || item[1].length < indent) break;
    if (item[1].length > indent + 1 && list.lastChild) { const [inner, next] = listAt(lines, at); list.lastChild.append(inner); at = next; continue; }
    const task = item[3].match(/^\[([ xX])\]\s+(.*)$/);
    list.append(h("li", {}, ...(task ? [task[1] === " " ? "☐ " : "☑ ", ...inline(task[2])] : inline(item[3]))));
    at += 1;
    while (at < lines.length && lines[at].trim() && !ITEM.test(lines[at]) && /^\s/.test(lines[at])) { list.lastChild.append(" ", ...inline(lines[at].trim())); at += 1; }
  }
  return [list, at];
}

function tableAt(lines, at) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => inline(cell.trim()));
  const head = h("tr", {}, ...cells(lines[at]).map((cell) => h("th", {}, ...cell)));
  const body = [];
  for (at += 2; at < lines.length && lines[at].includes("|") && lines[at].trim(); at += 1) body.push(h("tr", {}, ...cells(lines[at]).map((cell) => h("td", {}, ...cell))));
  return [h("div", { class: "wide-table" }, h("table", {}, h("thead", {}, head), h("tbody", {}, ...body))), at];
}
