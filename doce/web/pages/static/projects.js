// The first page: a sentence becomes a project; the list is kept live.

import { $, gently, keep, refresh, refuse, say } from "./dom.js";
import { call, listen, once } from "./api.js";
import { Attachments, wire } from "./attach.js";
import { fillModels } from "./models.js";
import "./forms.js";

const form = $("#create"), prompt = $("#prompt"), wrong = $(".wrong", form);
const attached = new Attachments(form), kept = keep(prompt, "new");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  wrong.hidden = true;
  const button = $("button.primary", form);
  if (button.disabled) return;
  const body = { prompt: prompt.value.trim() };
  if (!body.prompt) { refuse({ message: "Describe the site in a sentence." }, wrong); prompt.focus(); return; }
  for (const name of ["template", "model"]) if (form.elements[name].value) body[name] = form.elements[name].value;
  button.disabled = true;
  try {
    body.attachments = await wire(attached.files);
    const project = await once("/api/projects", body);
    prompt.value = "";
    kept();
    location.assign(`/projects/${encodeURIComponent(project.slug)}`);
  } catch (error) {
    refuse(error, wrong);
    button.disabled = false;
  }
});
prompt.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) form.requestSubmit(); });

const zip = $("#zip");
$("#import").addEventListener("click", () => zip.click());
zip.addEventListener("change", async () => {
  const file = zip.files[0];
  zip.value = "";
  if (!file) return;
  say(`Sending ${file.name} …`);
  try {
    const project = await call("POST", `/api/imports?name=${encodeURIComponent(file.name.replace(/\.zip$/i, "") || "Imported")}`, file);
    location.assign(`/projects/${encodeURIComponent(project.slug)}`);
  } catch (error) { refuse(error); }
});

const look = gently(refresh, 300);
listen((last) => `/api/jobs/stream${last ? `?after=${last}` : ""}`, ["job.state"], look);
// An agent that ends its turn tells no job: while something moves, it is looked at again.
setInterval(() => { if (!document.hidden && $("#projects .working, #projects .starting, #projects .created, #projects .stopping, #projects .deleting")) look(); }, 3000);
addEventListener("focus", look);
fillModels();
