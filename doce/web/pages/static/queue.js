// The queue, kept live; what a job writes is read while one looks at it.

import { $, all, gently, refresh, refuse } from "./dom.js";
import { listen, read } from "./api.js";
import "./forms.js";

listen((last) => `/api/jobs/stream${last ? `?after=${last}` : ""}`, ["job.state"], gently(refresh, 300));

const place = $("#lines"), lines = $("pre", place);
let reading;
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-lines]");
  if (!button) return;
  reading?.abort();
  reading = new AbortController();
  const job = button.dataset.lines;
  for (const one of all("button[data-lines]")) one.setAttribute("aria-expanded", String(one === button));
  $("h2", place).textContent = `Job ${job}`;
  lines.textContent = "";
  place.hidden = false;
  place.scrollIntoView({ block: "nearest" });
  lines.focus();
  try {
    await read(`/api/jobs/${job}/stream`, ({ event: kind, data }) => {
      if (kind === "job.line") lines.append(`${new Date(data.at).toLocaleTimeString()}  ${data.message}\n`);
      else $("h2", place).textContent = `Job ${job}: ${data.type}, ${data.state}`;
    }, reading.signal);
    if (!lines.textContent) lines.textContent = "It wrote nothing.";
  } catch (error) { if (error.name !== "AbortError") refuse(error); }
});
for (const select of document.querySelectorAll(".filters select")) select.addEventListener("change", () => select.form.requestSubmit());
$(".filters").addEventListener("submit", (event) => {
  // Only what is asked stands in the address.
  event.preventDefault();
  const asked = new URLSearchParams([...new FormData(event.target)].filter(([, value]) => value));
  location.assign(`/queue${asked.size ? `?${asked}` : ""}`);
});
