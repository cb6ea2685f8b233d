"""scripts/bench stack: how fast services start and stop, what doce adds to the bare engine, and a crowd of projects at once.

A real `doce serve` with real agents, on the runtime of `--runtime`. Times are from the event log: from the request to the
event that says so. The bare engine is measured in the same run, with the same containers under other names.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from doce.client import Doce
from doce.client.reading import Event

PATIENCE_S = 300


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench stack", description=__doc__)
    parser.add_argument("--runtime", choices=["docker", "process"], default="docker")
    parser.add_argument("--runs", type=int, default=5, help="times each is measured; the median is printed")
    parser.add_argument("--crowd", type=int, default=8, help="projects created at once; 0: none")
    parser.add_argument("--waiting", type=int, default=100, help="projects created beyond those that may run, that have to wait")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="doce-bench-", ignore_cleanup_errors=True) as folder,
        served(Path(folder), given.runtime, given.crowd) as doce,
    ):
        good = one_project(doce, given.runtime, given.runs)
        if given.crowd:
            good = crowd(doce, given.crowd, given.waiting) and good
        remove_all(doce)
    return 0 if good else 1


@contextlib.contextmanager
def served(folder: Path, runtime: str, most: int, **settings: str) -> Iterator[Doce]:
    """A doce of its own, with these settings beside."""
    Path(folder).chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DOCE_")}
    environment |= {"DOCE_DATA": str(folder / "data"), "DOCE_RUNTIME": runtime, "DOCE_IDLE_S": "0", "DOCE_MIN_FREE_MB": "200"}
    environment |= {"DOCE_MAX_RUNNING": str(most), **settings}
    subprocess.run([sys.executable, "-m", "doce", "setup"], env=environment, check=True, stdout=subprocess.DEVNULL)
    argv = [sys.executable, "-m", "doce", "serve", "--port", "0"]
    with (
        (folder / "serve.log").open("w") as log,
        subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=log, text=True) as child,
    ):
        assert child.stdout
        url = next(line for line in child.stdout if line.startswith("doce listens at ")).split()[-1]
        token = json.loads((folder / "data" / "cli.json").read_text())["token"]
        threading.Thread(target=lambda: [None for _ in child.stdout or ()], daemon=True).start()
        try:
            with Doce(url.replace("localhost", "127.0.0.1"), token=token) as doce:
                yield doce
        finally:
            child.terminate()
            child.wait(20)


def until(doce: Doce, project: str, holds: Callable[[Event], bool], after: int = 0) -> Event:
    """The first event that `holds`."""
    for event in doce.events(project, after=after):
        if event.type == "project.status" and event.payload["status"] == "error":
            raise SystemExit(f"{project}: {event.payload['error']}")
        if holds(event):
            return event
    raise SystemExit("the stream ended")


def status_is(status: str) -> Callable[[Event], bool]:
    return lambda event: event.type == "project.status" and event.payload["status"] == status


def one_project(doce: Doce, runtime: str, runs: int) -> bool:
    """From nothing, from stopped, to stopped; and the bare engine between."""
    created, started, stopped, bare = [], [], [], []
    for run in range(runs):
        began = time.time()
        project = doce.create(f"[[rehearse only: hello]] a bench of run {run}", template="static")["id"]
        event = until(doce, project, status_is("running"))
        created.append(event.time / 1000 - began)
        event = until(doce, project, lambda event: event.type.startswith("chat.prompt.") and event.type.endswith("ed") and
                      event.type not in ("chat.prompt.queued", "chat.prompt.edited"), event.seq)  # fmt: skip
        began = time.time()
        doce.stop(project)
        event = until(doce, project, status_is("stopped"), event.seq)
        stopped.append(event.time / 1000 - began)
        if runtime == "docker":
            bare.append(bare_engine(project))
        began = time.time()
        doce.start(project)
        event = until(doce, project, status_is("running"), event.seq)
        started.append(event.time / 1000 - began)
        doce.delete(project)
        with contextlib.suppress(Exception):
            until(doce, project, lambda event: event.type == "project.deleted", event.seq)
    good = [
        row("nothing → both services ready", created, 5),
        row("stopped → both services ready", started, 4),
        row("stop", stopped, 1),
    ]
    if bare:
        mine, plain = statistics.median(started), statistics.median(bare)
        print(f"{'the same containers by the bare engine → both ready':<58}{plain:>9.2f} s")
        part = 100 * (mine - plain) / mine
        print(f"{'what doce adds, of the time to ready':<58}{part:>9.1f} %   target ≤ 15: {'reached' if part <= 15 else 'MISSED'}")
        good.append(part <= 15)
    return all(good)


def row(name: str, values: list[float], most: float) -> bool:
    value = statistics.median(values)
    spread = f"({min(values):.2f}-{max(values):.2f}, {len(values)} runs)"
    print(f"{name:<58}{value:>9.2f} s   target ≤ {most:g}: {'reached' if value <= most else 'MISSED'}  {spread}", flush=True)
    return value <= most


def bare_engine(project: str) -> float:
    """Create and start what doce made for `project`, by the engine's own calls, until both answer; then remove it. Seconds."""
    import docker

    client = docker.from_env()
    found = client.containers.list(all=True, filters={"label": f"dev.doce.project={project}"})
    assert len(found) >= 2, "where are the containers?"
    # The agent first, as doce does.
    found.sort(key=lambda container: str(container.labels.get("com.docker.compose.service")) != "opencode")
    made: list[Any] = []
    ports = []
    began = time.monotonic()
    try:
        for container in found:
            config, host = container.attrs["Config"], container.attrs["HostConfig"]
            ids = client.api.create_container_from_config(  # type: ignore[no-untyped-call]
                {**config, "HostConfig": host, "NetworkingConfig": {"EndpointsConfig": {host["NetworkMode"]: {}}}, "Labels": {}},
                f"doce-bench-{container.short_id}",
            )
            made.append(ids["Id"])
            ports += [int(one[0]["HostPort"]) for one in host["PortBindings"].values()]
            client.api.start(ids["Id"])
        waiting = set(ports)
        while waiting:
            for port in list(waiting):
                with contextlib.suppress(httpx.HTTPError):
                    httpx.get(f"http://127.0.0.1:{port}/", timeout=1, trust_env=False)
                    waiting.discard(port)
            time.sleep(0.02)
            if time.monotonic() - began > PATIENCE_S:
                raise SystemExit("the bare containers never answered")
        return time.monotonic() - began
    finally:
        for one in made:
            client.api.remove_container(one, force=True)
        client.close()


def crowd(doce: Doce, count: int, waiting: int) -> bool:
    """`count` projects at once, all ready; then many more that wait their turn, and go away without harm."""
    began = time.time()
    projects = [doce.create(f"[[rehearse only: hello]] number {number} of a crowd", template="static") for number in range(count)]
    last = max(until(doce, project["id"], status_is("running")).time for project in projects) / 1000 - began
    print(f"{f'{count} projects at once → all ready':<58}{last:>9.2f} s")
    now = [doce.project(project["id"]) for project in projects]
    ports = [one[name] for one in now for name in ("previewPort", "opencodePort")]
    slugs = [one["slug"] for one in now]
    apart = len(set(ports)) == len(ports) and len(set(slugs)) == len(slugs)
    used = sum(service["memory"] or 0 for one in monitor(doce)["projects"] for service in one["services"]) / 2**20
    print(f"{'their services use':<58}{used:>9.0f} MiB")
    began = time.time()
    more = [doce.create(f"number {number} of those who wait", template="static") for number in range(waiting)]
    print(f"{f'{waiting} more, accepted in':<58}{time.time() - began:>9.2f} s")
    after = doce.project(more[0]["id"])
    # Their turn comes when a place is free: one of the crowd goes, one of those who wait comes.
    doce.delete(projects[0]["id"])
    began = time.time()
    first = next_of(doce, {project["id"] for project in more})
    print(f"{'a place is free → the next of them is ready':<58}{time.time() - began:>9.2f} s ({after['status']} before)")
    weight = monitor(doce)["doce"]["memory"] / 2**20
    print(f"{'memory of doce':<58}{weight:>9.0f} MiB target ≤ 150: {'reached' if weight <= 150 else 'MISSED'}")
    well = all(doce.project(project["id"])["status"] == "running" for project in projects[1:])
    wait = all(doce.project(project["id"])["status"] in ("created", "starting") for project in more if project["id"] != first)
    print(f"no port or name collides: {apart} · the others run on: {well} · the rest wait: {wait}", flush=True)
    return apart and well and wait and weight <= 150


def next_of(doce: Doce, waiting: set[str]) -> str:
    """The first of those who wait that runs."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for project in monitor(doce)["projects"]:
            if project["id"] in waiting and project["status"] == "running":
                return str(project["id"])
        time.sleep(0.5)
    raise SystemExit("nobody's turn came")


def remove_all(doce: Doce) -> None:
    """Delete whatever is there, and wait until it is gone."""
    with contextlib.suppress(httpx.HTTPError):
        for item in iter(lambda: doce.projects(limit=200)["items"], []):
            for project in item:
                if project["status"] != "deleting":
                    doce.delete(project["id"])
            post(doce, "/api/queue/resume")
            time.sleep(1)


def monitor(doce: Doce) -> dict[str, Any]:
    found: dict[str, Any] = doce.request("GET", "/api/monitor")
    return found


def post(doce: Doce, path: str) -> None:
    doce.request("POST", path, body={})


if __name__ == "__main__":
    sys.exit(main())
