"""scripts/bench deploy: what visitors notice of deploys, rollbacks, broken builds and releases that never become healthy.

A real `doce serve`, its web servers and releases, on the runtime of `--runtime`, under constant load all the time: wrk on kept
connections, wrk on a new connection for every request, slow downloads of a big file, and open event streams. Then the same files
served by doce's production and by a plain nginx, in turns.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from bench_stack import remove_all, served, status_is, until

from doce.client import Doce
from doce.client.reading import Event
from doce.docker.compose import project_name

DRAIN_S, HEALTHY_S = 3, 10
BIG = 24 * 1024 * 1024


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench deploy", description=__doc__)
    parser.add_argument("--runtime", choices=["docker", "process"], default="docker")
    parser.add_argument("--deploys", type=int, default=100, help="deploys under load: four fifths static, one fifth a server")
    parser.add_argument("--rollbacks", type=int, default=20, help="half static, half a server")
    parser.add_argument("--failures", type=int, default=10, help="of builds that break, and of releases that never become healthy")
    parser.add_argument("--astro", type=int, default=3, help="deploys of the Astro template, with a warm store; 0: none")
    given = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not here: apt-get install wrk")
    good, quick = True, {"DOCE_DRAIN_S": str(DRAIN_S), "DOCE_HEALTHY_TIMEOUT_S": str(HEALTHY_S)}
    if given.deploys:
        with (
            tempfile.TemporaryDirectory(prefix="doce-bench-", ignore_cleanup_errors=True) as folder,
            served(Path(folder), given.runtime, 8, **quick) as doce,
        ):
            data = Path(folder) / "data"
            good = static(Site(doce, data, "static"), given.deploys * 4 // 5, given.rollbacks // 2, given.failures, given.runtime)
            good = server(Site(doce, data, "node-server"), given.deploys // 5, given.rollbacks // 2, given.failures) and good
            remove_all(doce)
    if given.astro:
        with (
            tempfile.TemporaryDirectory(prefix="doce-bench-", ignore_cleanup_errors=True) as folder,
            served(Path(folder), given.runtime, 8) as doce,
        ):
            good = astro(Site(doce, Path(folder) / "data", "astro-starter"), given.astro, given.failures) and good
            remove_all(doce)
    return 0 if good else 1


class Site:
    """A project, its workspace, and its pipeline."""

    def __init__(self, doce: Doce, data: Path, template: str) -> None:
        self.doce, self.template = doce, template
        self.id = doce.create(f"[[rehearse only: hello]] a bench of {template}", template=template)["id"]
        event = until(doce, self.id, status_is("running"))
        until(doce, self.id, lambda event: event.type == "chat.prompt.completed", event.seq)
        self.workspace = data / "projects" / self.id / "workspace"

    def write(self, path: str, text: str) -> None:
        place = self.workspace / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def deploy(self) -> tuple[float, dict[str, Any]]:
        return self._asked("")

    def rollback(self) -> tuple[float, dict[str, Any]]:
        return self._asked("/rollback")

    def _asked(self, what: str) -> tuple[float, dict[str, Any]]:
        """Seconds until it is live (or has failed), and how it is then."""
        began = time.time()
        seq = self.doce.request("POST", f"/api/projects/{self.id}/production{what}")["seq"]
        event = until(self.doce, self.id, _settled, seq)
        found: dict[str, Any] = self.doce.request("GET", f"/api/projects/{self.id}/production")
        return event.time / 1000 - began, found


def _settled(event: Event) -> bool:
    return event.type == "production.status" and event.payload["status"] in ("running", "failed")


def static(site: Site, deploys: int, rollbacks: int, failures: int, runtime: str) -> bool:
    site.write("public/big.bin", "x" * BIG)
    url = site.deploy()[1]["url"]
    public, gone = site.workspace / "public", site.workspace / "gone"
    with load(url, f"{url}big.bin", None) as seen:
        good = switches(site, url, deploys, rollbacks, most_s=(3, 0.5))
        broken = 0
        for _ in range(failures):
            public.rename(gone)
            broken += site.deploy()[1]["status"] == "failed"
            gone.rename(public)
    good += [
        told(f"static: deploys with no output that failed as they should ({failures})", broken == failures),
        seen.report("static"),
    ]
    if runtime == "docker":
        good.append(beside_nginx(site, url))
    return all(good)


TICKING = """
  if (path === "/stream") {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const timer = setInterval(() => response.write("data: tick\\n\\n"), 100);
    return response.on("close", () => clearInterval(timer));
  }
"""


def server(site: Site, deploys: int, rollbacks: int, failures: int) -> bool:
    code = (site.workspace / "server.mjs").read_text()
    code = code.replace("  if (Object.hasOwn(made, path)) {", f"{TICKING}  if (Object.hasOwn(made, path)) {{")
    site.write("public/big.bin", "x" * BIG)
    site.write("server.mjs", code)
    url = site.deploy()[1]["url"]
    with load(f"{url}api/time", f"{url}big.bin", f"{url}stream") as seen:
        good = switches(site, url, deploys, rollbacks, most_s=(10, 2))
        ill = 0
        for number in range(failures):
            sick = f'"/health": () => {{ throw new Error("ill {number}"); }}'
            site.write("server.mjs", code.replace('"/health": () => ({ ok: true })', sick))
            ill += site.deploy()[1]["status"] == "failed"
        site.write("server.mjs", code)
    good += [
        told(f"server: releases never healthy that failed as they should ({failures})", ill == failures),
        seen.report("server"),
    ]
    return all(good)


def switches(site: Site, url: str, deploys: int, rollbacks: int, most_s: tuple[float, float]) -> list[bool]:
    """Deploy after deploy, then rollbacks with a deploy after each; whether their medians are within `most_s`."""

    def deploy(text: str) -> float:
        site.write("public/index.html", f"<!doctype html><title>{site.template}</title><p>{text}</p>")
        return expect(site.deploy(), "running")

    took = [deploy(f"version {number}") for number in range(deploys)]
    back = []
    for number in range(rollbacks):
        back.append(_first_answer(site, url))
        deploy(f"again {number}")
    return [
        row(f"{site.template}: deploy under load ({deploys})", took, most_s[0]),
        row(f"{site.template}: rollback → first answer of the old version ({rollbacks})", back, most_s[1]),
    ]


def astro(site: Site, deploys: int, failures: int) -> bool:
    page = site.workspace / "src" / "pages" / "index.astro"
    text = page.read_text()
    url = site.deploy()[1]["url"]
    took, broken = [], 0
    for number in range(deploys):
        page.write_text(text + f"\n<!-- version {number} -->\n<p>version {number}</p>\n")
        took.append(expect(site.deploy(), "running"))
    with load(url, None, None) as seen:
        for number in range(failures):
            page.write_text(f"---\nimport nothing from './nowhere-{number}.js';\n---\n<p>{{nothing}}</p>\n")
            broken += site.deploy()[1]["status"] == "failed"
    return all([
        row(f"Astro, warm store: deploy ({deploys})", took, 15),
        told(f"Astro: builds that broke and failed as they should ({failures})", broken == failures),
        seen.report("Astro"),
    ])  # fmt: skip


def expect(done: tuple[float, dict[str, Any]], status: str) -> float:
    if done[1]["status"] != status:
        raise SystemExit(f"it is {done[1]['status']}: {done[1]['error']}")
    return done[0]


def _first_answer(site: Site, url: str) -> float:
    """From asking for a rollback to the first answer that is the version before, as a visitor sees it. Seconds."""
    with httpx.Client(trust_env=False) as visitor:
        now = visitor.get(url).text
        began = time.monotonic()
        asked = threading.Thread(target=site.rollback)
        asked.start()
        while visitor.get(url).text == now:
            if time.monotonic() - began > 30:
                raise SystemExit("the rollback never came")
        took = time.monotonic() - began
        asked.join()
    return took


class Load:
    """Visitors, and what they met."""

    def __init__(self, url: str, big: str | None, stream: str | None) -> None:
        self._url, self._big, self._stream = url, big, stream
        self._over = threading.Event()
        self.met: Counter[str] = Counter()
        self.explained: Counter[str] = Counter()

    @contextlib.contextmanager
    def running(self) -> Iterator[Load]:
        wrk = ["wrk", "-t1", "-c4", "-d3600s", "--timeout", "10s"]
        commands = [[*wrk, self._url], [*wrk, "-H", "Connection: close", self._url]]
        # Gentle enough that two cores still have time for the deploys themselves.
        loads = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
        threads = [threading.Thread(target=work) for work in (self._download, self._listen)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            for child in loads:
                child.send_signal(signal.SIGINT)
            for child, kind in zip(loads, ("kept connections", "new connections"), strict=True):
                self._count(kind, child.communicate(timeout=20)[0])
            self._over.set()
            for thread in threads:
                thread.join(30)

    def _count(self, kind: str, said: str) -> None:
        self.met[f"requests on {kind}"] += int(re.search(r"(\d+) requests in", said)[1])  # type: ignore[index]
        if found := re.search(r"Non-2xx or 3xx responses: (\d+)", said):
            self.met[f"NON-2XX on {kind}"] += int(found[1])
        if found := re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said):
            for name, count in zip(("REFUSED", "READ ERRORS", "WRITE ERRORS", "TIMEOUTS"), found.groups(), strict=True):
                if int(count):
                    self.met[f"{name} on {kind}"] += int(count)

    def _download(self) -> None:
        """The big file at some MiB a second, over and over, across switches."""
        while self._big and not self._over.is_set():
            try:
                with httpx.stream("GET", self._big, trust_env=False, timeout=10, headers={"accept-encoding": "identity"}) as answer:
                    length = 0
                    for piece in answer.iter_bytes(256 * 1024):
                        length += len(piece)
                        self._over.wait(0.02)
                whole = answer.status_code == 200 and length == BIG
                self.met["slow downloads, whole" if whole else f"DOWNLOADS CUT ({answer.status_code})"] += 1
            except httpx.RemoteProtocolError:
                self.explained["downloads longer than the drain limit, cut"] += 1
            except httpx.HTTPError as error:
                self.met[f"DOWNLOAD: {error!r}"] += 1

    def _listen(self) -> None:
        """A stream that never ends; its release's server ends it when it is let go."""
        while self._stream and not self._over.is_set():
            try:
                with httpx.stream("GET", self._stream, trust_env=False, timeout=10) as answer:
                    began = time.monotonic()
                    for _ in answer.iter_bytes():
                        if self._over.is_set():
                            return
                self.explained["streams ended with their release"] += 1
            except httpx.RemoteProtocolError:
                lasted = time.monotonic() - began
                known = lasted >= DRAIN_S * 0.9
                (self.explained if known else self.met)["streams ended at the drain limit" if known else "STREAMS CUT EARLY"] += 1
            except httpx.HTTPError as error:
                self.met[f"STREAM: {error!r}"] += 1

    def report(self, name: str) -> bool:
        """Print what was met; good when nothing in capitals was."""
        bad = [kind for kind in self.met if kind[:3].isupper()]
        said = [f"{count:,} {kind}" for kind, count in [*self.met.items(), *self.explained.items()]]
        print(f"{name}: " + " · ".join(said) + f" · failed: {sum(self.met[kind] for kind in bad)}", flush=True)
        return not bad


def load(url: str, big: str | None, stream: str | None) -> contextlib.AbstractContextManager[Load]:
    return Load(url, big, stream).running()


def beside_nginx(site: Site, url: str) -> bool:
    """Requests a second of the same files: doce's production and a plain nginx in the same network, in turns."""
    import docker

    files = site.workspace.parents[2] / "production" / site.id / "current" / "dist"
    places = " ".join(f"{name}_temp_path /tmp/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = (
        f"daemon off; pid /tmp/nginx.pid; events {{}} http {{ include /etc/nginx/mime.types; sendfile on; access_log off; {places} "
        "server { listen 8080; root /site; } }"
    )
    engine = docker.from_env()
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write("worker_processes 2; " + config)
        file.flush()
        Path(file.name).chmod(0o644)
        plain = engine.containers.run(
            "doce/web", ["nginx", "-e", "stderr", "-c", "/nginx.conf"], detach=True,
            ports={"8080/tcp": ("127.0.0.1", 0)}, network=project_name(site.id),
            volumes=[f"{file.name}:/nginx.conf:ro", f"{files.resolve()}:/site:ro"],
        )  # fmt: skip
        try:
            plain.reload()
            port = plain.attrs["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"]
            other = f"http://127.0.0.1:{port}/"
            for _ in range(100):
                with contextlib.suppress(httpx.HTTPError):
                    if httpx.get(other, trust_env=False).status_code == 200:
                        break
                time.sleep(0.05)
            rates = [_in_turns(url, other, path) for path in ("", "styles.css")]
            return all(rates)
        finally:
            plain.remove(force=True)
            engine.close()


def _in_turns(url: str, other: str, path: str) -> bool:
    rates: dict[str, list[float]] = {url: [], other: []}
    for _ in range(5):
        for address, found in rates.items():
            said = subprocess.run(["wrk", "-t1", "-c16", "-d3s", address + path], capture_output=True, text=True, check=True).stdout
            found.append(float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]))  # type: ignore[index]
    mine, theirs = (statistics.median(found) for found in rates.values())
    good = mine >= 0.9 * theirs
    print(f"{f'/{path}: requests a second, plain nginx in turns':<66}{mine:>9,.0f} of {theirs:,.0f}   "
          f"{100 * mine / theirs:.0f} %, target ≥ 90 %: {'reached' if good else 'MISSED'}", flush=True)  # fmt: skip
    return good


def row(name: str, values: list[float], most: float) -> bool:
    value = statistics.median(values)
    spread = f"({min(values):.2f}-{max(values):.2f})"
    print(f"{name:<66}{value:>9.2f} s   target ≤ {most:g}: {'reached' if value <= most else 'MISSED'}  {spread}", flush=True)
    return value <= most


def told(name: str, good: bool) -> bool:
    print(f"{name:<66}{'all' if good else 'NOT ALL':>9}", flush=True)
    return good


if __name__ == "__main__":
    sys.exit(main())
