// Tabs: arrows move, the address remembers.

import { $, all } from "./dom.js";

export class Tabs {
  constructor(root, shown = {}) {
    this.root = root;
    this.shown = shown;
    this.tabs = all("[role=tab]", root);
    for (const tab of this.tabs) tab.addEventListener("click", () => this.show(tab.getAttribute("aria-controls"), true));
    $("[role=tablist]", root).addEventListener("keydown", (event) => {
      const visible = this.tabs.filter((tab) => tab.offsetParent);
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], at = visible.indexOf(document.activeElement);
      const next = event.key === "Home" ? 0 : event.key === "End" ? visible.length - 1 : step ? (at + step + visible.length) % visible.length : -1;
      if (next < 0 || at < 0) return;
      event.preventDefault();
      visible[next].focus();
      visible[next].click();
    });
    const small = matchMedia("(max-width: 860px)").matches;
    this.show(this.asked() || (small ? "chat" : "preview"));
    addEventListener("hashchange", () => { const asked = this.asked(); if (asked) this.show(asked); });
  }

  /** The tab that the address names, if it is one. */
  asked() {
    const wanted = location.hash.slice(1);
    return this.tabs.some((tab) => tab.getAttribute("aria-controls") === wanted) ? wanted : "";
  }

  show(id, chosen = false) {
    this.now = id;
    this.root.dataset.tab = id;
    for (const tab of this.tabs) {
      const mine = tab.getAttribute("aria-controls") === id;
      tab.setAttribute("aria-selected", String(mine));
      tab.tabIndex = mine ? 0 : -1;
      const panel = document.getElementById(tab.getAttribute("aria-controls"));
      if (panel.classList.contains("panel")) panel.hidden = !mine;
    }
    if (chosen) history.replaceState(null, "", `#${id}`);
    for (const [name, look] of Object.entries(this.shown)) look(name === id);
  }
}
