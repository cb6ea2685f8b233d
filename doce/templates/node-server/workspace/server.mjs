// The whole server. Files in public/ are sent as they are; what changes is made here.
import { createReadStream } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(await realpath(fileURLToPath(new URL("public/", import.meta.url))), "/");
const types = {
  ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
  ".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp",
  ".ico": "image/x-icon", ".txt": "text/plain; charset=utf-8", ".woff2": "font/woff2",
};

// Answers that are made: path → function of the request.
const made = {
  "/health": () => ({ ok: true }),
  "/api/time": () => ({ now: new Date().toISOString() }),
};

async function answer(request, response) {
  let path;
  try {
    path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
  } catch {
    response.writeHead(400, { "content-type": "text/plain; charset=utf-8" });
    return response.end("That address cannot be read.\n");
  }
  if (Object.hasOwn(made, path)) {
    const text = JSON.stringify(await made[path](request));
    response.writeHead(200, { "content-type": "application/json", "cache-control": "no-store" });
    return response.end(text);
  }
  // Where a link leads counts, not where it lies.
  const wanted = await realpath(normalize(join(root, path.endsWith("/") ? `${path}index.html` : path))).catch(() => "");
  const found = wanted.startsWith(root) && !path.includes("/.") && (await stat(wanted).catch(() => null));
  if (!found || !found.isFile()) {
    response.writeHead(404, { "content-type": "text/plain; charset=utf-8" });
    return response.end("There is nothing here.\n");
  }
  response.writeHead(200, { "content-type": types[extname(wanted)] ?? "application/octet-stream", "content-length": found.size });
  if (request.method === "HEAD") return response.end();
  createReadStream(wanted).on("error", () => response.destroy()).pipe(response);
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    if (!response.headersSent) response.writeHead(500, { "content-type": "text/plain; charset=utf-8" });
    response.end("Something broke.\n");
  });
});
server.listen(Number(process.env.PORT ?? 4321), process.env.HOST ?? "127.0.0.1", () => console.log("ready on port", server.address().port));
// Open requests are finished; then it ends.
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => { server.close(() => process.exit(0)); server.closeIdleConnections(); });
