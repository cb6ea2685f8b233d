"""What doce adds to the agent's own events, and how quick and light `doce serve` is; part of scripts/bench stream."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
from httpx_sse import connect_sse

from doce.auth.secrets import SecretKey
from doce.client import Doce
from doce.clock import SystemClock
from doce.demo.server import Server
from doce.llm.tokens import GatewayTokens

ENDS = frozenset(f"chat.prompt.{how}" for how in ("completed", "failed", "stopped", "interrupted"))


def show(runs: int) -> bool:
    """Print the table; True when every target is reached."""
    rows = [*added(runs), *start(runs)]
    for name, value, unit, most in rows:
        print(f"{name:<58}{value:>9.2f} {unit:<3} target ≤ {most:g}: {'reached' if value <= most else 'MISSED'}")
    return all(value <= most for _, value, _, most in rows)


Row = tuple[str, float, str, float]


def added(runs: int) -> list[Row]:
    """The same text, read from the agent's own /event and from doce: how much later doce's reader has it, durable."""
    with tempfile.TemporaryDirectory(prefix="doce-bench-") as folder:
        server = Server(Path(folder))
        address = server.start()
        try:
            with Doce(address=address) as doce:
                project = doce.create("[[rehearse only: ready]]")["id"]
                next(event for event in doce.events(project) if event.type in ENDS)
                results = [_added_once(doce, server, project) for _ in range(runs)]
        finally:
            server.stop()
    p50, p99 = (statistics.median(result[index] for result in results) for index in (0, 1))
    return [("OpenCode /event → viewer, added by doce, p50", p50, "ms", 5), ("OpenCode /event → viewer, added by doce, p99", p99, "ms", 50)]


def _added_once(doce: Doce, server: Server, project: str) -> tuple[float, float]:
    shown = doce.project(project)
    tokens = GatewayTokens(SecretKey.load(server.folder / "secret.key"), SystemClock())
    client = httpx.Client(auth=("opencode", tokens.agent_password(project).get_secret_value()), timeout=60, trust_env=False)
    direct: list[tuple[int, float]] = []
    through: list[tuple[int, float]] = []
    ready = threading.Event()

    def read_agent() -> None:
        sizes: dict[str, int] = {}
        url, directory = f"http://127.0.0.1:{shown['opencodePort']}/event", str(Path(shown["path"]) / "workspace")
        # The agent may end before we do, when its project is stopped.
        with contextlib.suppress(httpx.HTTPError), connect_sse(client, "GET", url, params={"directory": directory}) as source:
            for sse in source.iter_sse():
                now = time.monotonic()
                ready.set()
                event = json.loads(sse.data)
                if event["type"] == "message.part.delta":
                    part = event["properties"]["partID"]
                    sizes[part] = sizes.get(part, 0) + len(event["properties"]["delta"])
                    direct.append((sizes[part], now))

    threading.Thread(target=read_agent, daemon=True).start()
    ready.wait(20)
    after = max(event.seq for event in doce.events(project, follow=False))
    prompt = doce.chat(project, "[[rehearse slow 10]] [[rehearse long 8000]]")
    for event in doce.events(project, after=after):
        now = time.monotonic()
        if event.type == "chat.message.part.added":
            through.append((event.payload["offset"] + len(event.payload["deltaText"]), now))
        elif event.type in ENDS and event.prompt_id == prompt["id"]:
            break
    return _lateness(direct, through)


def _lateness(direct: list[tuple[int, float]], through: list[tuple[int, float]]) -> tuple[float, float]:
    """p50 and p99, ms, of when a length of the text was there through doce after it was there directly."""
    late, place = [], 0
    for size, seen in direct:
        while place < len(through) and through[place][0] < size:
            place += 1
        if place < len(through):
            late.append((through[place][1] - seen) * 1000)
    late.sort()
    return statistics.median(late), late[int(len(late) * 0.99)]


def start(runs: int) -> list[Row]:
    """`doce serve` from nothing to its first answer, and what it weighs when idle."""
    took, weighs = [], []
    # pip compiles what it installs; a checkout is compiled by the first start that may, which is not counted.
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for run in range(runs + 1):
        with tempfile.TemporaryDirectory(prefix="doce-bench-") as folder:
            began = time.monotonic()
            argv = [sys.executable, "-m", "doce", "serve", "--data", folder, "--port", "0"]
            with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=compiled) as child:
                assert child.stdout
                url = child.stdout.readline().split()[-1].replace("localhost", "127.0.0.1")
                httpx.get(f"{url}/api/health", trust_env=False).raise_for_status()
                if run:
                    took.append(time.monotonic() - began)
                    time.sleep(2)
                    status = Path(f"/proc/{child.pid}/status").read_text()
                    weighs.append(int(status.split("VmRSS:")[1].split()[0]) / 1024)
                child.terminate()
                child.wait(15)
    return [
        ("doce serve, start → first answer", statistics.median(took), "s", 1),
        ("doce serve, idle memory", statistics.median(weighs), "MB", 90),
    ]
