// The project's files: folders open one at a time, a file is shown as text or as a picture.

import { $, h, bytes, refuse } from "./dom.js";
import { get, items } from "./api.js";

const PICTURES = /\.(png|jpe?g|gif|webp|svg|avif|ico)$/i;

export class Files {
  constructor(tree, content, project) { Object.assign(this, { tree, content, path: `/api/projects/${project}/files`, begun: false }); }

  shown(on) { if (on) this.load(); }

  async load() {
    const open = new Set([...this.tree.querySelectorAll("details[open]")].map((one) => one.dataset.path));
    try { this.tree.replaceChildren(await this.folder("", open)); } catch (error) { this.tree.replaceChildren(h("p", { class: "wrong" }, `${error.message} ${error.hint || ""}`)); }
  }

  async folder(path, open) {
    const entries = await items(`${this.path}?path=${encodeURIComponent(path)}`);
    const list = h("ul", {});
    for (const entry of entries) list.append(h("li", {}, entry.kind === "folder" ? await this.inside(entry, open) : this.file(entry)));
    if (!entries.length) list.append(h("li", { class: "quiet" }, "empty"));
    return list;
  }

  async inside(entry, open) {
    const element = h("details", { "data-path": entry.path }, h("summary", { class: entry.heavy ? "quiet" : "" }, `${entry.name}/`));
    const fill = async () => {
      if (element.children.length > 1) return;
      try { element.append(await this.folder(entry.path, open)); } catch (error) { refuse(error); element.open = false; }
    };
    element.addEventListener("toggle", () => { if (element.open) fill(); });
    if (open.has(entry.path)) { await fill(); element.open = true; }
    return element;
  }

  file(entry) {
    if (entry.kind !== "file") return h("span", { class: "quiet" }, `${entry.name} (${entry.kind})`);
    return h("button", { type: "button", class: "plain file", title: bytes(entry.size ?? 0), onclick: () => this.open(entry) }, entry.name);
  }

  async open(entry) {
    const raw = `${this.path}/raw?path=${encodeURIComponent(entry.path)}`;
    const head = h("div", { class: "bar" }, h("code", {}, entry.path), h("span", { class: "quiet" }, bytes(entry.size ?? 0)), h("a", { class: "button small push", href: raw, download: entry.name }, "Download"));
    try {
      const found = await get(`${this.path}/content?path=${encodeURIComponent(entry.path)}`);
      const kind = PICTURES.exec(entry.name)?.[1].toLowerCase();
      const data = found.base64 ?? (kind === "svg" ? btoa(unescape(encodeURIComponent(found.text))) : null);
      const shown = kind && data ? h("img", { src: `data:image/${{ svg: "svg+xml", jpg: "jpeg", ico: "x-icon" }[kind] || kind};base64,${data}`, alt: entry.name })
        : found.text !== null ? h("pre", { class: "source" }, found.text) : h("p", { class: "empty" }, "This file is no text.");
      this.content.replaceChildren(head, shown);
    } catch (error) { this.content.replaceChildren(head, h("p", { class: "wrong" }, `${error.message} ${error.hint || ""}`)); }
    this.content.scrollTop = 0;
  }
}
