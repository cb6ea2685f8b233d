// Serves public/ while the site is being made, and shows every saved change at once.
//
//   PORT=4321 HOST=127.0.0.1 node dev-server.mjs
//
// Needs nothing but Node 18 or later. Pages get one script tag as they are served; the files stay as they are.

import { watch } from "node:fs";
import { constants, lstat, open, readdir, realpath, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, extname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = join(HERE, "public");
const HOST = process.env.HOST || "127.0.0.1";
const PORT = port(process.env.PORT || "4321");

const SETTLE_MS = 60; // An editor saves in several steps; look when it is quiet,
const SETTLE_AT_MOST_MS = 300; // but do not wait for ever while something keeps writing.
const LOOK_AGAIN_MS = 1000; // Some file systems report no changes, so the tree is also read now and then.
const KEEP_ALIVE_MS = 15000;
const STREAM_ABOVE = 1 << 20; // Bytes. Smaller files are read whole, so an edit cannot tear one in two.

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".htm": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".map": "application/json; charset=utf-8",
  ".webmanifest": "application/manifest+json; charset=utf-8",
  ".xml": "application/xml; charset=utf-8",
  ".rss": "application/rss+xml; charset=utf-8",
  ".txt": "text/plain; charset=utf-8",
  ".md": "text/markdown; charset=utf-8",
  ".csv": "text/csv; charset=utf-8",
  ".ics": "text/calendar; charset=utf-8",
  ".vtt": "text/vtt; charset=utf-8",
  ".svg": "image/svg+xml; charset=utf-8",
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".jpeg": "image/jpeg",
  ".gif": "image/gif",
  ".webp": "image/webp",
  ".avif": "image/avif",
  ".ico": "image/x-icon",
  ".mp3": "audio/mpeg",
  ".m4a": "audio/mp4",
  ".ogg": "audio/ogg",
  ".wav": "audio/wav",
  ".flac": "audio/flac",
  ".mp4": "video/mp4",
  ".m4v": "video/mp4",
  ".webm": "video/webm",
  ".mov": "video/quicktime",
  ".woff": "font/woff",
  ".woff2": "font/woff2",
  ".ttf": "font/ttf",
  ".otf": "font/otf",
  ".pdf": "application/pdf",
  ".zip": "application/zip",
  ".wasm": "application/wasm",
};

// ---------------------------------------------------------------- answers

async function answer(request, response) {
  response.setHeader("X-Content-Type-Options", "nosniff");
  if (request.method !== "GET" && request.method !== "HEAD") {
    return text(response, 405, "This server only shows files.", { Allow: "GET, HEAD" });
  }
  const [path, query] = split(request.url);
  if (path === "/__doce/health") return json(response, { ok: true });
  if (path === "/__doce/live.js") return send(response, 200, TYPES[".js"], Buffer.from(LIVE), request, "no-store");
  if (path === "/__doce/live") return follow(request, response, query);

  const names = segments(path);
  if (names === null) return notFound(request, response);
  if (!path.endsWith("/")) {
    const found = await locate(names);
    if (found?.stats.isFile()) return file(request, response, found, 200);
    if (found?.stats.isDirectory()) return redirect(response, `/${names.map(encodeURIComponent).join("/")}/${query && `?${query}`}`);
    return notFound(request, response);
  }
  const index = await locate([...names, "index.html"]);
  return index?.stats.isFile() ? file(request, response, index, 200) : notFound(request, response);
}

/** The names in a path, or null when one of them must not be served: hidden, climbing, or not text. */
function segments(path) {
  const names = [];
  for (const raw of path.split("/")) {
    if (raw === "") continue;
    let name;
    try {
      name = decodeURIComponent(raw);
    } catch {
      return null;
    }
    if (name.startsWith(".") || /[/\\\0]/.test(name)) return null;
    names.push(name);
  }
  return names;
}

/** What is at these names inside public/, also behind links, unless a link leads outside or to something hidden. */
async function locate(names) {
  try {
    const root = await realpath(ROOT);
    const path = await realpath(join(root, ...names));
    const inside = relative(root, path);
    if (inside.split(sep).some((name) => name.startsWith(".")) || (inside !== "" && join(root, inside) !== path)) return null;
    return { path, stats: await stat(path) };
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ELOOP", "EACCES", "EPERM", "ENAMETOOLONG"].includes(error.code)) return null;
    throw error;
  }
}

async function file(request, response, found, status) {
  const type = TYPES[extname(found.path).toLowerCase()] || "application/octet-stream";
  let handle;
  try {
    handle = await open(found.path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    if (status === 200 && error.code === "ENOENT") return notFound(request, response); // Removed a moment ago.
    return text(response, 403, "This file cannot be read.");
  }
  try {
    const stats = await handle.stat();
    if (type.startsWith("text/html")) {
      return send(response, status, type, withLiveReload(await handle.readFile()), request, "no-store");
    }
    response.setHeader("ETag", `"${stats.size.toString(36)}-${Math.round(stats.mtimeMs * 1000).toString(36)}"`);
    response.setHeader("Last-Modified", stats.mtime.toUTCString());
    response.setHeader("Accept-Ranges", "bytes");
    response.setHeader("Cache-Control", "no-cache");
    response.setHeader("Content-Type", type);
    if (fresh(request, response)) return void response.writeHead(304).end();
    return await part(request, response, handle, stats.size);
  } finally {
    await handle.close().catch(() => {}); // A stream may have closed it already.
  }
}

/** The whole file or the part that was asked for; players seek in sound and video by parts. */
async function part(request, response, handle, size) {
  const asked = range(request, response, size);
  if (asked === "none of it") return void response.writeHead(416, { "Content-Range": `bytes */${size}` }).end();
  const [first, last] = asked ?? [0, size - 1];
  const length = last - first + 1;
  if (asked) response.setHeader("Content-Range", `bytes ${first}-${last}/${size}`);
  if (request.method === "HEAD" || length <= 0) return void response.writeHead(asked ? 206 : 200, { "Content-Length": length }).end();
  if (length <= STREAM_ABOVE) {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(length), 0, length, first);
    if (bytesRead < length) return response.destroy(); // It shrank meanwhile: better a broken answer than a wrong one.
    return void response.writeHead(asked ? 206 : 200, { "Content-Length": length }).end(buffer);
  }
  response.writeHead(asked ? 206 : 200, { "Content-Length": length });
  await new Promise((done) => {
    const stream = handle.createReadStream({ start: first, end: last, autoClose: false });
    stream.on("error", () => response.destroy());
    stream.on("end", () => stream.bytesRead < length && response.destroy());
    stream.on("close", done);
    response.on("close", () => stream.destroy());
    stream.pipe(response);
  });
}

/** [first, last] for a Range header with one range, null for none or several (they get the whole file), or "none of it". */
function range(request, response, size) {
  const match = /^bytes=(\d*)-(\d*)$/.exec((request.headers.range || "").replace(/\s/g, ""));
  if (!match || (match[1] === "" && match[2] === "")) return null;
  const condition = request.headers["if-range"];
  if (condition && condition !== response.getHeader("ETag") && condition !== response.getHeader("Last-Modified")) return null;
  const first = match[1] === "" ? Math.max(0, size - Number(match[2])) : Number(match[1]);
  const last = match[1] === "" || match[2] === "" ? size - 1 : Math.min(Number(match[2]), size - 1);
  if (match[1] !== "" && match[2] !== "" && Number(match[2]) < first) return null;
  return first >= size || first > last ? "none of it" : [first, last];
}

function fresh(request, response) {
  const known = request.headers["if-none-match"];
  return known !== undefined && known.split(",").some((tag) => tag.trim().replace(/^W\//, "") === response.getHeader("ETag"));
}

async function notFound(request, response) {
  const own = await locate(["404.html"]);
  if (own?.stats.isFile()) return file(request, response, own, 404);
  return send(response, 404, TYPES[".html"], withLiveReload(Buffer.from(NOT_FOUND)), request, "no-store");
}

function send(response, status, type, body, request, cache) {
  response.writeHead(status, { "Content-Type": type, "Content-Length": body.length, "Cache-Control": cache });
  response.end(request.method === "HEAD" ? undefined : body);
}

function text(response, status, words, headers = {}) {
  response.writeHead(status, { "Content-Type": TYPES[".txt"], "Cache-Control": "no-store", ...headers }).end(`${words}\n`);
}

function json(response, value) {
  response.writeHead(200, { "Content-Type": TYPES[".json"], "Cache-Control": "no-store" }).end(JSON.stringify(value));
}

function redirect(response, location) {
  response.writeHead(302, { Location: location, "Cache-Control": "no-store" }).end();
}

function split(url) {
  const at = url.indexOf("?");
  return at < 0 ? [url, ""] : [url.slice(0, at), url.slice(at + 1)];
}

// ---------------------------------------------------------------- live reload

const BORN = Date.now().toString(36);
let generation = 0;
const version = () => `${BORN}-${generation}`;
const viewers = new Set();

/** The page with one script tag more, just before the last </body> (or at the end, where there is none). */
function withLiveReload(page) {
  const html = page.toString("latin1"); // One byte a character: whatever the page's encoding, nothing else changes.
  const tag = `<script src="/__doce/live.js?${version()}" async data-doce-live></script>`;
  const at = html.toLowerCase().lastIndexOf("</body");
  return Buffer.from(at < 0 ? html + tag : html.slice(0, at) + tag + html.slice(at), "latin1");
}

/** A stream of changes. A page that was made before the last change, or by an earlier server, reloads at once. */
function follow(request, response, since) {
  response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store", "X-Accel-Buffering": "no" });
  if (request.method === "HEAD") return void response.end();
  response.write("retry: 500\n\n");
  const has = request.headers["last-event-id"] || since;
  if (has && has !== version()) tell(response, "reload", []);
  viewers.add(response);
  response.on("close", () => viewers.delete(response));
}

/** The id is the version a page has after this, so a reconnect says by itself what it missed. */
function tell(response, event, paths) {
  response.write(`id: ${version()}\nevent: ${event}\ndata: ${JSON.stringify({ version: version(), paths })}\n\n`);
}

setInterval(() => viewers.forEach((viewer) => viewer.write(": here\n\n")), KEEP_ALIVE_MS).unref();

const LIVE = `(() => {
  const script = document.querySelector("script[data-doce-live]");
  let version = script ? new URL(script.src).search.slice(1) : "";
  let stream;
  const ours = (link) => new URL(link.href).origin === location.origin;
  function swap(paths) {
    const links = [...document.querySelectorAll('link[rel~="stylesheet"][href]')].filter(ours);
    const named = links.filter((link) => paths.includes(decodeURIComponent(new URL(link.href).pathname)));
    // A sheet that no link names was imported by one of those that are linked, or the page has none of it.
    for (const link of paths.length === named.length ? named : links) {
      const next = link.cloneNode();
      const url = new URL(link.href);
      url.searchParams.set("doce", version);
      next.href = url;
      next.onload = next.onerror = () => link.remove();
      link.after(next);
    }
  }
  function listen() {
    stream = new EventSource("/__doce/live?" + version);
    stream.addEventListener("css", (event) => {
      const news = JSON.parse(event.data);
      version = news.version;
      swap(news.paths);
    });
    stream.addEventListener("reload", () => location.reload());
    stream.onerror = () => {
      if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 1000);
    };
  }
  addEventListener("pagehide", () => stream.close());
  addEventListener("pageshow", (event) => event.persisted && listen());
  listen();
})();
`;

// ---------------------------------------------------------------- what changed

let known = new Map(); // Path in public/ → what it looked like.
const watched = new Map(); // Folder → { inode, watcher }.
let timer = null;
let firstNews = 0;
let looking = false;
let lookAgain = false;

/** Something may have changed: look once it has been quiet for a moment. */
function stir() {
  const now = Date.now();
  firstNews ||= now;
  clearTimeout(timer);
  timer = setTimeout(look, Math.max(0, Math.min(SETTLE_MS, firstNews + SETTLE_AT_MOST_MS - now)));
}

/** Compare the tree with what it was. Events only say when to look, so none that is lost or late does harm. */
async function look() {
  if (looking) return void (lookAgain = true);
  looking = true;
  firstNews = 0;
  try {
    const { files, folders } = await tree();
    if (keepWatching(folders)) lookAgain = true; // Something may have been written before the new folder was watched.
    const changed = [...files].filter(([path, look]) => known.get(path) !== look).map(([path]) => path);
    const gone = [...known.keys()].filter((path) => !files.has(path));
    known = files;
    if (changed.length + gone.length) announce([...changed, ...gone], gone.length === 0);
  } catch (error) {
    console.error(`Looking for changes failed (${error.message}); trying again.`);
  } finally {
    looking = false;
    if (lookAgain) {
      lookAgain = false;
      stir();
    }
  }
}

function announce(paths, allThere) {
  generation += 1;
  const onlyStyles = allThere && paths.every((path) => path.endsWith(".css"));
  console.log(`changed: ${paths.slice(0, 5).join(", ")}${paths.length > 5 ? ` and ${paths.length - 5} more` : ""}`);
  for (const viewer of viewers) tell(viewer, onlyStyles ? "css" : "reload", paths);
}

/** Every file below public/ with a mark of its state, and every folder with its inode. Hidden ones are not looked at. */
async function tree() {
  const files = new Map();
  const folders = new Map([[HERE, (await lstat(HERE)).ino]]); // To see public/ itself come and go.
  async function walk(folder, prefix) {
    const entries = await ignoreGone(readdir(folder, { withFileTypes: true }));
    if (!entries) return;
    folders.set(folder, (await ignoreGone(stat(folder)))?.ino);
    for (const entry of entries) {
      if (entry.name.startsWith(".")) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        await walk(path, `${prefix}/${entry.name}`);
      } else {
        const stats = await ignoreGone(stat(path));
        if (stats?.isFile()) files.set(`${prefix}/${entry.name}`, `${stats.ino}:${stats.size}:${stats.mtimeMs}:${stats.ctimeMs}`);
      }
    }
  }
  await walk(ROOT, "");
  return { files, folders };
}

async function ignoreGone(promise) {
  try {
    return await promise;
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EACCES", "EPERM", "ELOOP"].includes(error.code)) return undefined;
    throw error;
  }
}

/** One watcher a folder; a folder made anew under an old name is another folder. True when one was added below public/. */
function keepWatching(folders) {
  let added = false;
  for (const [folder, { inode, watcher }] of watched) {
    if (folders.get(folder) === inode) continue;
    watcher.close();
    watched.delete(folder);
  }
  for (const [folder, inode] of folders) {
    if (watched.has(folder)) continue;
    try {
      const watcher = watch(folder, { persistent: false }, (_, name) => {
        if (folder !== HERE || name === null || name === "public") stir();
      });
      watcher.on("error", () => {
        watcher.close();
        watched.delete(folder);
      });
      watched.set(folder, { inode, watcher });
      added = true;
    } catch {
      // No more watchers to be had (or the folder went away): looking now and then sees its changes.
    }
  }
  return added;
}

/** Looks now and then while somebody is watching, at a twentieth of the time at most. */
async function lookNowAndThen() {
  const start = Date.now();
  if (viewers.size) await look();
  setTimeout(lookNowAndThen, Math.max(LOOK_AGAIN_MS, 20 * (Date.now() - start))).unref();
}

// ---------------------------------------------------------------- start and stop

const NOT_FOUND = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Nothing here yet</title>
<style>
  :root { color-scheme: light dark; --paper: #f6f3ec; --ink: #1f2421; --quiet: #5e655f }
  @media (prefers-color-scheme: dark) { :root { --paper: #141715; --ink: #ecebe4; --quiet: #a0a69f } }
  body { display: grid; place-content: center; min-height: 100svh; margin: 0; padding: 1.5rem; background: var(--paper); color: var(--quiet);
    font: 1.0625rem/1.6 system-ui, sans-serif; box-sizing: border-box }
  h1 { margin: 0; color: var(--ink); font: 400 clamp(2rem, 6vw, 3rem)/1.1 "Iowan Old Style", Palatino, "URW Palladio L", Georgia, serif }
  p { max-width: 32rem; margin: 1rem 0 0 }
  a { color: inherit }
</style>
<body>
  <h1>Nothing here yet.</h1>
  <p>There is no page at this address. This one is replaced as soon as there is. <a href="/">To the start page</a></p>
</body>
</html>
`;

function port(value) {
  const number = Number(value);
  if (Number.isInteger(number) && number >= 0 && number <= 65535) return number;
  console.error(`PORT must be a number from 0 to 65535, not "${value}".`);
  process.exit(2);
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(`${request.method} ${request.url}: ${error.stack}`);
    if (response.headersSent) response.destroy();
    else text(response, 500, "This file could not be served; the log says why.");
  });
});

server.on("error", (error) => {
  const reason = {
    EADDRINUSE: `Port ${PORT} on ${HOST} is taken by another program. Stop it, or set PORT to a free one.`,
    EACCES: `This account may not listen on port ${PORT}. Set PORT to one above 1023.`,
    EADDRNOTAVAIL: `This machine has no address ${HOST}. Set HOST to one it has, such as 127.0.0.1.`,
  }[error.code];
  console.error(reason ?? `The server could not start: ${error.message}`);
  process.exit(1);
});

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));

known = (await tree()).files;
await look();
server.listen(PORT, HOST, () => {
  const { address, family, port } = server.address();
  console.log(`ready on http://${family === "IPv6" ? `[${address}]` : address}:${port}/`);
  lookNowAndThen();
});
