"""scripts/bench web: the JSON of one project asked for at 32 connections, and a thousand viewers of one project.

The server is a process of its own, `doce serve` without agents: the real application behind uvicorn. Requests are wrk's, with a
token, each answered from the database; the peer in the same run is a bare Starlette route that answers the same bytes from memory.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench_stream
import psutil
from playwright.sync_api import sync_playwright

CONNECTIONS, RATE, P99_MS = 32, 2000, 60
VIEWERS, EVENTS, VIEWERS_P99_MS, MEMORY_MB = 1000, 5, 250, 200
PAGE_KB, READY_MS = 100, 300
#: What the measured project has behind it.
PROMPTS, CALLS = 60, 300


@dataclass(frozen=True)
class Result:
    """One run of wrk: requests a second, and the 99th percentile in ms."""

    rate: float
    p99: float


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench web", description=__doc__)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--viewers", type=int, default=VIEWERS)
    parser.add_argument("--serve", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        return serve(Path(options.serve))
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not here: apt-get install wrk")
    good = [requests(options.runs, options.seconds), first_page(options.runs + 2), viewers(options.viewers)]
    return 0 if all(good) else 1


def requests(runs: int, seconds: int) -> bool:
    """Ask doce and the bare route in turns."""
    with tempfile.TemporaryDirectory(prefix="doce-bench-") as folder, served(folder) as (told, _):
        measured: dict[str, list[Result]] = {"project": [], "bare": []}
        for _ in range(runs):
            for name, found in measured.items():
                found.append(wrk(f"http://127.0.0.1:{told['port']}{told[name]}", told["token"], seconds))
    rate, p99 = (statistics.median(getattr(one, key) for one in measured["project"]) for key in ("rate", "p99"))
    bare = statistics.median(one.rate for one in measured["bare"])
    said = [f"{one.rate:,.0f}/s p99 {one.p99:.1f} ms" for one in measured["project"]]
    print(f"one project as JSON, {CONNECTIONS} connections: {' · '.join(said)}")
    print(f"median {rate:,.0f} requests/s (bare Starlette route: {bare:,.0f}, {rate / bare:.0%} of it), p99 {p99:.1f} ms")
    good = bool(rate >= RATE and p99 <= P99_MS)
    print(f"target {RATE:,} requests/s, p99 {P99_MS} ms: {'reached' if good else 'MISSED'}")
    return good


def wrk(url: str, token: str, seconds: int) -> Result:
    """Raises SystemExit when an answer was not 200."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {token}", url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(said)
    rate, p99 = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"99%\s+([\d.]+)(us|ms|s)\b", said)
    assert rate
    assert p99
    return Result(float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]])


def first_page(runs: int) -> bool:
    """What a first visit of somebody who is signed in loads, and when they can type; each with an empty cache, in Chromium."""
    path = shutil.which("chromium")
    if path is None:
        print("first page: NOT MEASURED, there is no Chromium here")
        return False
    sizes, times = [], []
    with tempfile.TemporaryDirectory(prefix="doce-bench-") as folder, served(folder) as (told, _), sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        url = f"http://localhost:{told['port']}"
        for _ in range(runs):
            context = chromium.new_context()
            context.add_cookies([{"name": "doce_session", "value": told["session"], "url": url}])
            page, loaded = context.new_page(), [0.0]
            session = context.new_cdp_session(page)
            session.send("Network.enable")
            session.on("Network.loadingFinished", lambda said, loaded=loaded: loaded.append(said["encodedDataLength"]))
            page.goto(url, wait_until="load")
            sizes.append(sum(loaded) / 1000)
            times.append(page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"))
            context.close()
        chromium.close()
    size, ready = statistics.median(sizes), statistics.median(times)
    good = size <= PAGE_KB and ready <= READY_MS
    print(f"first page: {size:.1f} kB, interactive after {ready:.0f} ms ({min(times):.0f}-{max(times):.0f})")
    print(f"target {PAGE_KB} kB, {READY_MS} ms: {'reached' if good else 'MISSED'}")
    return bool(good)


def viewers(count: int) -> bool:
    """Every viewer gets every event; late by how much, and what it costs."""
    with bench_stream.watched(count, EVENTS, 10) as (watching, server):
        result = bench_stream.receive(watching, EVENTS * 10, server)
        memory = psutil.Process(server.pid).memory_info().rss / 1024**2
    print(f"{count:,} viewers of one project at {EVENTS} events/s: p50 {result.p50:.1f} ms, p99 {result.p99:.1f} ms, {memory:.0f} MiB")
    good = result.p99 <= VIEWERS_P99_MS and memory < MEMORY_MB
    print(f"target p99 {VIEWERS_P99_MS} ms, {MEMORY_MB} MB: {'reached' if good else 'MISSED'}")
    return good


@contextmanager
def served(folder: str) -> Iterator[tuple[dict[str, Any], int]]:
    """What the server says of itself, and its pid."""
    server = subprocess.Popen([sys.executable, __file__, "--serve", folder], stdout=subprocess.PIPE, text=True)
    assert server.stdout
    try:
        yield json.loads(server.stdout.readline()), server.pid
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def serve(folder: Path) -> int:
    """Listen, say where, stay until killed."""
    import asyncio

    import uvloop
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from doce import app
    from doce.db.models import Prompt, Usage
    from doce.settings import Settings
    from doce.transport import Listener, listen
    from doce.web.routes import application

    parts = app.build(Settings(data=folder / "data", min_free_mb=0, runtime="process"))
    services = parts.services
    admin = services.users.first_admin("bench")
    _, secret = services.tokens.create(admin.id, "bench")
    session = services.sessions.begin(admin.id)
    project = services.projects.create(admin.id, "a site that is being measured")
    for number in range(PROMPTS):
        services.prompts.add(project.id, admin.id, f"change number {number}")
    Prompt.update(state="completed").execute()
    now = services.clock.now_ms()
    Usage.insert_many(
        {
            "project_id": project.id, "user_id": admin.id, "provider": "rehearsal", "model": "site-builder", "input_tokens": 900,
            "output_tokens": 200, "cached_tokens": 0, "cost": 0.01, "at": now - number,
        }
        for number in range(CALLS)
    ).execute()  # fmt: skip
    bytes_ = services.projects.get(project.id).model_dump_json(by_alias=True).encode()

    async def bare(_request: Request) -> Response:
        return Response(bytes_, media_type="application/json")

    async def listening() -> None:
        async with parts.feed:
            made = application(services)
            made.router.routes.insert(0, Route("/bare", bare))
            listener = Listener(made, listen("127.0.0.1", 0))
            serving = listener.begin()
            told = {
                "port": listener.port, "project": f"/api/projects/{project.slug}", "bare": "/bare", "token": secret.get_secret_value(),
                "session": session.get_secret_value(),
            }  # fmt: skip
            print(json.dumps(told), flush=True)
            await serving

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(listening())
    return 0


if __name__ == "__main__":
    sys.exit(main())
