"""scripts/bench stream: one project's events fanned out to many viewers over HTTP.

The server is a process of its own: the real event writer, feed and SSE behind uvicorn, nothing else. The viewers are raw
sockets in this process, so what they cost is not the server's; each frame carries the time it was put, and latency is from
there until a viewer has read it. Each piece belongs to a part of its own, so none is joined with its neighbour and every
event is a frame.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bench_added

TARGET = 100_000
LEAD_S = 1.0
#: Every this many viewers' frames are timed; all are counted.
TIMED = 10
PATIENCE_S = 60


@dataclass(frozen=True)
class Result:
    """One run: frames a second that all viewers together received, latency in ms, and what the server took of a core."""

    frames: int
    seconds: float
    p50: float
    p99: float
    worst: float
    server_cpu: float

    @property
    def rate(self) -> float:
        return self.frames / self.seconds


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench stream", description=__doc__)
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--rate", type=int, default=1100, help="events a second; by default more than the target")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        return serve(Path(options.serve), options.rate, options.seconds)
    results = [run(options.viewers, options.rate, options.seconds) for _ in range(options.runs)]
    middle = sorted(results, key=lambda result: result.rate)[len(results) // 2]
    if options.json:
        print(json.dumps({"frames_per_s": middle.rate, "p50_ms": middle.p50, "p99_ms": middle.p99, "viewers": options.viewers}))
    else:
        show(results, options)
        bench_added.show(options.runs)
    return 0


def show(results: list[Result], options: argparse.Namespace) -> None:
    asked = f"{options.viewers} viewers, {options.rate:,} events/s for {options.seconds:g} s"
    print(f"{asked}, {os.cpu_count()} cores, viewers on the same machine")
    print(f"{'run':<8}{'frames/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}{'server CPU':>12}")
    for number, one in enumerate(results, 1):
        print(f"{number:<8}{one.rate:>10,.0f}{one.p50:>9.1f}{one.p99:>9.1f}{one.worst:>9.1f}{one.server_cpu:>11.0%}")
    columns = [[getattr(one, name) for one in results] for name in ("rate", "p50", "p99", "worst", "server_cpu")]
    rate, p50, p99, worst, cpu = (statistics.median(column) for column in columns)
    print(f"{'median':<8}{rate:>10,.0f}{p50:>9.1f}{p99:>9.1f}{worst:>9.1f}{cpu:>11.0%}")
    wanted = min(TARGET, options.viewers * options.rate)
    print(f"asked for {options.viewers * options.rate:,} frames/s; target {TARGET:,}: {'reached' if rate >= wanted else 'MISSED'}")


# The viewers.


class Viewer:
    """One connection: counts frames and, when it is a timed one, notes how late each was."""

    def __init__(self, port: int, path: str, token: str) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n".encode())
        self.frames = 0
        self.data = b""

    def take(self, late: list[float] | None) -> None:
        got = self.sock.recv(1 << 18)
        if not got:
            raise SystemExit("the server closed a viewer")
        if late is None:
            # The mark may be cut in two by the end of a read.
            self.data = self.data[-len(MARK) + 1 :] + got
            self.frames += self.data.count(MARK)
            return
        now = time.time()
        *lines, self.data = (self.data + got).split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                self.frames += 1
                at = line.find(b'"deltaText":"') + 13
                late.append((now - float(line[at : line.index(b" ", at)])) * 1000)


MARK = b"event: chat.event"


def run(viewers: int, rate: int, seconds: float) -> Result:
    with watched(viewers, rate, seconds) as (everybody, server):
        return receive(everybody, int(rate * seconds), server)


@contextmanager
def watched(viewers: int, rate: int, seconds: float) -> Iterator[tuple[list[Viewer], subprocess.Popen[str]]]:
    """A server that begins to put events, and that many viewers of them."""
    with tempfile.TemporaryDirectory(prefix="doce-bench-") as folder:
        command = [sys.executable, __file__, "--serve", folder, "--rate", str(rate), "--seconds", str(seconds)]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert server.stdin
        assert server.stdout
        try:
            told = json.loads(server.stdout.readline())
            everybody = [Viewer(told["port"], told["path"], told["token"]) for _ in range(viewers)]
            for viewer in everybody:
                while b": connected\n\n" not in viewer.data:
                    viewer.data += viewer.sock.recv(65536)
                viewer.data = b""
            server.stdin.write("go\n")
            server.stdin.flush()
            yield everybody, server
        finally:
            server.kill()
            server.wait()


def receive(everybody: list[Viewer], events: int, server: subprocess.Popen[str]) -> Result:
    late: list[float] = []
    waiting = selectors.EpollSelector()
    for number, viewer in enumerate(everybody):
        waiting.register(viewer.sock, selectors.EVENT_READ, (viewer, late if number % TIMED == 0 else None))
    began: float | None = None
    cpu = 0.0
    left, deadline = len(everybody), time.monotonic() + PATIENCE_S
    while left:
        ready = waiting.select(1)
        if began is None and ready:
            began, cpu = time.monotonic(), _cpu(server.pid)
        for key, _ in ready:
            viewer, timed = key.data
            viewer.take(timed)
            if viewer.frames >= events:
                waiting.unregister(viewer.sock)
                left -= 1
        if time.monotonic() > deadline:
            raise SystemExit(f"{left} viewers did not get {events} frames; the first has {everybody[0].frames}")
    assert began is not None
    took = time.monotonic() - began
    cpu = (_cpu(server.pid) - cpu) / took
    for viewer in everybody:
        viewer.sock.close()
    late.sort()
    total = sum(viewer.frames for viewer in everybody)
    return Result(total, took, late[len(late) // 2], late[int(len(late) * 0.99)], late[-1], cpu)


def _cpu(pid: int) -> float:
    """Seconds of processor time a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# The server.


def serve(folder: Path, rate: int, seconds: float) -> int:
    """Listen, say where, wait for a line, then put `rate` events a second and stay until killed."""
    import asyncio
    import threading

    import uvloop

    from doce import app
    from doce.events import log
    from doce.settings import Settings
    from doce.transport import Listener, listen
    from doce.web.routes import application

    parts = app.build(Settings(data=folder / "data", min_free_mb=0, runtime="process"))
    services, writer, feed = parts.services, parts.writer, parts.feed
    admin = services.users.first_admin("bench")
    _, secret = services.tokens.create(admin.id, "bench")
    project = services.projects.create(admin.id, "a site that is being measured")
    writer.start()

    def put() -> None:
        sys.stdin.readline()
        put_events(writer, project.id, rate, seconds)

    async def listening() -> None:
        async with feed:
            listener = Listener(application(services), listen("127.0.0.1", 0))
            serving = listener.begin()
            path = f"/api/projects/{project.id}/opencode/event?after={log.head()}"
            print(json.dumps({"port": listener.port, "path": path, "token": secret.get_secret_value()}), flush=True)
            threading.Thread(target=put, daemon=True).start()
            await serving

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(listening())
    return 0


def put_events(writer: object, project_id: str, rate: int, seconds: float) -> None:
    """As a relay does: one at a time, each when it is due."""
    from doce.events.vocabulary import MessagePartAdded
    from doce.events.writer import EventWriter, Pending

    assert isinstance(writer, EventWriter)
    start = time.monotonic() + LEAD_S
    for number in range(int(rate * seconds)):
        if (early := start + number / rate - time.monotonic()) > 0:
            time.sleep(early)
        text = f"{time.time():.6f} some words of an answer"
        writer.put([Pending(MessagePartAdded(message_id="msg", part_id=f"prt_{number}", offset=0, delta_text=text), project_id)])


if __name__ == "__main__":
    sys.exit(main())
