"""A real doce in a process of its own: started, killed, started again; with real OpenCode agents and the rehearsal model."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

from doce.client import Doce
from doce.client.reading import Event
from doce.errors import NotFound
from doce.process.tags import VARIABLE

START_S = 60
TURN_S = 90


class House:
    """`doce serve` on `folder`. The port stays the same over restarts."""

    def __init__(self, folder: Path, cache: Path, **settings: str) -> None:
        self.folder = folder
        self.port = 0
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DOCE_")},
            "DOCE_DATA": str(folder),
            "DOCE_CACHE": str(cache),
            "DOCE_MIN_FREE_MB": "100",
            "DOCE_RECONCILE_S": "2",
            **settings,
        }
        #: Whether the first start makes the first admin; else a person does, in a browser.
        self.set_up = True
        self.process: subprocess.Popen[str] | None = None
        self.client: Doce | None = None

    @property
    def doce(self) -> Doce:
        assert self.client
        return self.client

    def start(self, **settings: str) -> House:
        """Start it, also after it died, and wait until it listens."""
        self._end(signal.SIGKILL)
        folder = self.folder
        if self.set_up and not (folder / "cli.json").exists():
            self.command("setup", "--name", "ada")
        with (folder / "serve.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "doce", "serve"], env={**self.environment, "DOCE_PORT": str(self.port), **settings},
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
            )  # fmt: skip
        url = self._listens()
        self.port = int(url.rpartition(":")[2])
        self.client = Doce(url, token=_token(folder) if self.set_up else None)
        return self

    def command(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`doce …` as a person would type it."""
        return subprocess.run(
            [sys.executable, "-m", "doce", *words], env=self.environment, capture_output=True, text=True, timeout=60, check=check,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def kill(self) -> None:
        """As the kernel or a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> float:
        """In order; returns how long it took, in seconds."""
        import time

        began = time.monotonic()
        self._end(signal.SIGTERM)
        return time.monotonic() - began

    def _end(self, number: signal.Signals) -> None:
        process = self.process
        if process and process.poll() is None:
            process.send_signal(number)
            process.wait(15)
        if process and process.stdout:
            process.stdout.close()
        if self.client:
            self.client.close()

    def _listens(self) -> str:
        assert self.process
        assert self.process.stdout
        said: queue.SimpleQueue[str] = queue.SimpleQueue()
        stdout = self.process.stdout

        def read() -> None:
            with contextlib.suppress(ValueError):
                for line in stdout:
                    said.put(line)
            said.put("")

        threading.Thread(target=read, daemon=True).start()
        while line := said.get(timeout=START_S):
            if line.startswith("doce listens at "):
                return line.removeprefix("doce listens at ").strip()
        raise AssertionError(f"doce did not start: {(self.folder / 'serve.log').read_text()[-2000:]}")

    def until(self, project: str, holds: Callable[[Event], bool], after: int = 0, timeout_s: float = TURN_S) -> list[Event]:
        """Events of a project up to the first that `holds`, which must come in time."""
        seen: list[Event] = []
        timer = threading.Timer(timeout_s, self._give_up)
        timer.start()
        try:
            for event in self.doce.events(project, after=after):
                seen.append(event)
                if holds(event):
                    return seen
        except NotFound:
            # The last event of a deleted project can be missed: its stream is gone with it.
            gone = Event(2**53, "project.deleted", project, None, None, 0, {})
            if holds(gone):
                return [*seen, gone]
            raise
        finally:
            timer.cancel()
        tail = [(event.seq, event.type, str(event.payload)[:120]) for event in seen[-12:]]
        raise AssertionError(f"it never happened; last events: {tail}\n{(self.folder / 'serve.log').read_text()[-3000:]}")

    def _give_up(self) -> None:
        if self.client:
            self.client._http.close()

    def create(self, prompt: str, **options: Any) -> tuple[str, list[Event]]:
        """A project, after its first turn has ended."""
        project = self.doce.create(prompt, **options)
        return project["id"], self.until(project["id"], ended_prompt)

    def ask(self, project: str, text: str) -> tuple[dict[str, Any], list[Event]]:
        """One more prompt, after its turn has ended: (the prompt, its events)."""
        prompt = self.doce.chat(project, text)
        events = self.until(project, lambda event: ended_prompt(event) and event.prompt_id == prompt["id"])
        return self.prompt(project, prompt["id"]), [event for event in events if event.prompt_id == prompt["id"]]

    def prompt(self, project: str, prompt_id: str) -> dict[str, Any]:
        found: dict[str, Any] = next(one for one in self.doce.prompts(project)["items"] if one["id"] == prompt_id)
        return found

    def page(self, project: str, path: str = "") -> str:
        url = self.doce.project(project)["previewUrl"]
        return httpx.get(f"{url}{path}", timeout=10, trust_env=False).text

    def agents(self, project: str, service: str = "opencode") -> list[psutil.Process]:
        """Processes of a project's service, by the tag they carry."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                parts = process.environ().get(VARIABLE, "").split("/")
                if process.status() != psutil.STATUS_ZOMBIE and parts[1:3] == [project, service]:
                    found.append(process)
        return found


def ended_prompt(event: Event) -> bool:
    """A turn has ended, however."""
    return event.type in {f"chat.prompt.{how}" for how in ("completed", "stopped", "failed", "interrupted")}


def running(event: Event) -> bool:
    return event.type == "project.status" and event.payload["status"] == "running"


def check_log(events: list[Event]) -> None:
    """What every reader relies on: seq only grows, text has no gap and no double, tools start once and end once at most."""
    seqs = [event.seq for event in events]
    assert seqs == sorted(set(seqs))
    parts: dict[str, str] = {}
    messages: dict[str, list[str]] = defaultdict(list)
    discarded, started, ended = set(), [], []
    for event in events:
        payload = event.payload
        if event.type in ("chat.message.part.added", "chat.reasoning.part"):
            part = payload["partId"]
            assert payload["offset"] == len(parts.get(part, "")), f"{part} has a gap or a double at {event.seq}"
            parts[part] = parts.get(part, "") + payload["deltaText"]
            if event.type == "chat.message.part.added" and part not in messages[payload["messageId"]]:
                messages[payload["messageId"]].append(part)
        elif event.type == "chat.message.discarded":
            discarded.add(payload["partId"])
        elif event.type == "chat.message.final" and payload.get("error") is None:
            said = [parts[part] for part in messages[payload["messageId"]] if part not in discarded]
            assert "".join("".join(said).split()) == "".join(payload["text"].split())
        elif event.type == "chat.tool.start":
            started.append(payload["toolCallId"])
        elif event.type in ("chat.tool.finish", "chat.tool.error"):
            ended.append(payload["toolCallId"])
    assert len(started) == len(set(started))
    assert len(ended) == len(set(ended))
    assert set(ended) <= set(started)


def _token(folder: Path) -> str:
    import json

    token: str = json.loads((folder / "cli.json").read_text())["token"]
    return token


@contextlib.contextmanager
def house(folder: Path, cache: Path, *, set_up: bool = True, **settings: str) -> Iterator[House]:
    """A doce that is gone at the end, and so is everything it started."""
    folder.mkdir(parents=True, exist_ok=True)
    made = House(folder, cache, **settings)
    made.set_up = set_up
    try:
        yield made.start()
    finally:
        made._end(signal.SIGTERM)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                # A deployment's nginx outlives doce, and writes its title over its environment.
                if str(folder) in process.environ().get("HOME", "") or any(str(folder) in word for word in process.cmdline()):
                    process.kill()
