"""Plays recordings through the normaliser, with cuts, the way the relay does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from doce.events import vocabulary as events
from doce.events.vocabulary import parse
from doce.opencode.normalize import normalize
from doce.opencode.resync import Logged, from_log, resync
from doce.opencode.state import Normalized, State
from doce.opencode.transcript import Transcript, transcript
from doce.opencode.turns import Ended, turn_end
from doce.testing.opencode import Recording, Server, load

FOLDER = Path(__file__).parent.parent / "recordings" / "opencode"
RECORDINGS = {recording.name: recording for recording in map(load, sorted(FOLDER.glob("events-*.sse")))}


@dataclass
class Play:
    """A reader of a recording: its state, and the log it has written."""

    recording: Recording
    state: State = field(default_factory=State)
    log: list[Normalized] = field(default_factory=list)
    server: Server = field(default_factory=Server)
    ends: dict[str, Ended] = field(default_factory=dict)

    def run(self, start: int, stop: int) -> None:
        """Read the events from `start` to `stop`; a connection in the recording is a resync."""
        for index in range(start, stop):
            event = self.recording.events[index]
            if index in self.recording.snapshots:
                self.server.restore(self.recording.snapshots[index])
                self.write(resync(self.state, self.recording.snapshots[index]))
            self.server.sent(event)
            self.write(normalize(self.state, event))

    def lose(self, start: int, stop: int) -> None:
        """Events that the server sent to nobody."""
        for index in range(start, stop):
            if index in self.recording.snapshots:
                self.server.restore(self.recording.snapshots[index])
            self.server.sent(self.recording.events[index])

    def reconnect(self) -> None:
        """Resync with what the server answers now."""
        self.write(resync(self.state, self.server.snapshot()))

    def finish(self, start: int) -> None:
        """Read the rest, and the heartbeat that follows it."""
        self.run(start, len(self.recording.events))
        self.write(normalize(self.state, {"type": "server.heartbeat", "properties": {}}))

    def restart(self) -> None:
        """doce starts anew: all it knows is the log, as it comes back from the database."""
        back = [Logged(parse(told.payload.type, told.payload.wire()), told.session_id, told.turn, told.source_key) for told in self.log]
        self.state = from_log(back)

    def write(self, told: list[Normalized]) -> None:
        self.log += told
        for turn in self.state.turns:
            if turn not in self.ends and (ended := turn_end(self.state, turn)):
                self.ends[turn] = ended

    @property
    def view(self) -> Transcript:
        return transcript((told.payload, told.session_id) for told in self.log)


def whole(recording: Recording) -> Play:
    """The recording read without a cut."""
    play = Play(recording)
    play.finish(0)
    return play


def comparable(play: Play) -> dict[str, Any]:
    """What a reader of the log ends with, in a form that two logs can be compared by."""
    view = play.view
    return {
        "texts": {m.id: (m.text, m.finish, m.error, m.session_id) for m in view.messages.values() if m.final is not None},
        "parts": {(m.id, p): text for m in view.messages.values() for p, text in m.parts.items() if p not in m.discarded},
        "reasoning": {(m.id, p): text for m in view.messages.values() for p, text in m.reasoning.items() if p not in m.discarded},
        "tools": {
            t.id: (t.name, t.title, t.state, t.input, t.metadata, t.error, t.output) for t in view.tools.values() if t.state != "running"
        },
        "files": view.files,
        "requests": {r: bool(seen.reply) for r, seen in view.requests.items()},
        "subagents": view.subagents,
        "titles": view.titles,
        "todos": view.todos,
        "status": {s: status.status for s, status in view.statuses.items()},
        "errors": set(view.errors),
        "compactions": view.compactions,
        "ends": {turn: ended.kind for turn, ended in play.ends.items()},
        "turns": {told.source_key: told.turn for told in play.log if told.source_key and ":final" in told.source_key},
    }


def keys(play: Play) -> Counter[str]:
    """How often each source key was written."""
    return Counter(told.source_key for told in play.log if told.source_key is not None)


def counts(play: Play, kind: type[events.Payload]) -> int:
    """How many events of a type were written."""
    return sum(isinstance(told.payload, kind) for told in play.log)
