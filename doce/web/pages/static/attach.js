// Files that go with a prompt: picked, pasted or dropped.

import { $, h, say, bytes } from "./dom.js";

const MOST = 5, IMAGE = 1024 * 1024, TEXT = 512 * 1024;
const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp"];

export class Attachments {
  /** `form` has a button `.attach`, a file field and a list `.attached`. */
  constructor(form) {
    this.files = [];
    this.list = $(".attached", form);
    const picker = $("input[type=file]", form);
    $(".attach", form).addEventListener("click", () => picker.click());
    picker.addEventListener("change", () => { this.add(picker.files); picker.value = ""; });
    form.addEventListener("paste", (event) => {
      if (!event.clipboardData.files.length) return;
      event.preventDefault();
      this.add(event.clipboardData.files);
    });
    const lit = (on) => (event) => { if ([...event.dataTransfer.types].includes("Files")) { event.preventDefault(); form.classList.toggle("dropping", on); } };
    form.addEventListener("dragover", lit(true));
    form.addEventListener("dragleave", lit(false));
    form.addEventListener("drop", (event) => {
      event.preventDefault();
      form.classList.remove("dropping");
      this.add(event.dataTransfer.files);
    });
  }

  add(files) {
    for (const file of files) {
      const most = IMAGES.includes(file.type) ? IMAGE : TEXT;
      if (this.files.length === MOST) { say(`${MOST} files are the most.`, { bad: true, hint: "Send the others with the next prompt." }); break; }
      if (file.size > most) { say(`${file.name} is larger than ${most === IMAGE ? "1 MiB" : "512 KiB"}.`, { bad: true, hint: "Attach a smaller one." }); continue; }
      this.files.push(file);
    }
    this.show();
  }

  show() {
    this.list.replaceChildren(...this.files.map((file) => h("li", {},
      IMAGES.includes(file.type) ? h("img", { src: URL.createObjectURL(file), alt: "" }) : h("span", { class: "kind", "aria-hidden": "true" }, "≣"),
      h("span", {}, file.name || "pasted"), h("span", { class: "quiet" }, bytes(file.size)),
      h("button", { type: "button", class: "icon", "aria-label": `Remove ${file.name}`, onclick: () => { this.files = this.files.filter((one) => one !== file); this.show(); } }, "×"))));
  }

  clear() { this.files = []; this.show(); }

  /** Files that were not taken, before those that came meanwhile. */
  restore(files) { this.files = [...files, ...this.files].slice(0, MOST); this.show(); }
}

/** Files as the API takes them. */
export function wire(files) {
  return Promise.all(files.map(async (file) => ({ name: file.name || "pasted.png", mime: file.type || "text/plain", data: await base64(file) })));
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
