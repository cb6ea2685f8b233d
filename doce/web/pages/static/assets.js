// Assets: upload by button or drop, rename, delete.

import { $, h, bytes, refuse, say } from "./dom.js";
import { call, items } from "./api.js";
import { sure } from "./forms.js";

export class Assets {
  constructor(panel, project) {
    Object.assign(this, { panel, path: `/api/projects/${project}/assets`, list: $("#asset-list"), wrong: $(".wrong", panel) });
    const picker = $("#upload-files");
    $("#upload").addEventListener("click", () => picker.click());
    picker.addEventListener("change", () => { const files = [...picker.files]; picker.value = ""; this.upload(files); });
    panel.addEventListener("dragover", (event) => event.preventDefault());
    panel.addEventListener("drop", (event) => { event.preventDefault(); this.upload([...event.dataTransfer.files]); });
  }

  shown(on) { if (on) this.load(); }

  async upload(files) {
    this.wrong.hidden = true;
    for (const file of files) {
      say(`Sending ${file.name} …`);
      try { await call("POST", `${this.path}?name=${encodeURIComponent(file.name)}`, file); } catch (error) { refuse(error, this.wrong); break; }
    }
    await this.load();
  }

  async load() {
    try {
      const found = await items(this.path);
      this.list.replaceChildren(...(found.length ? found.map((one) => this.row(one)) : [h("li", { class: "quiet" }, "Nothing yet. Drop files here, or upload.")]));
    } catch (error) { refuse(error, this.wrong); }
  }

  row(asset) {
    const address = `${this.path}/${encodeURIComponent(asset.name)}`;
    const work = async (deed) => { try { this.wrong.hidden = true; await deed(); await this.load(); } catch (error) { refuse(error, this.wrong); } };
    const name = h("input", { value: asset.name, "aria-label": `Name of ${asset.name}`, maxlength: "200" });
    return h("li", {},
      asset.mediaType.startsWith("image/") ? h("img", { class: "thumb", src: address, alt: "", loading: "lazy" }) : h("span", { class: "thumb", "aria-hidden": "true" }, "≣"),
      name, h("span", { class: "quiet" }, bytes(asset.size)), h("span", { class: "push" }),
      h("button", { type: "button", class: "button small", onclick: () => work(() => call("PATCH", address, { newName: name.value.trim() })) }, "Rename"),
      h("button", { type: "button", class: "button small", "aria-label": `Delete ${asset.name}`, onclick: async () => { if (await sure(`Delete ${asset.name}?`)) work(() => call("DELETE", address)); } }, "Delete"));
  }
}
