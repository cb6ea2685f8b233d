"""A turn as a reader of the log sees it, whoever shows it: `Turn.take` one event after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from doce.events import vocabulary as said
from doce.opencode.transcript import Transcript

#: How a prompt can end.
ENDS = ("completed", "stopped", "failed", "interrupted")


class Event(Protocol):
    """What a turn is made of: an event as the log has it, or as a client read it."""

    @property
    def seq(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def session_id(self) -> str | None: ...
    @property
    def prompt_id(self) -> str | None: ...
    @property
    def time(self) -> int:
        """Epoch ms."""

    @property
    def payload(self) -> dict[str, Any]:
        """As it is stored and sent, camelCase."""


Told = TypeVar("Told", bound=Event)


@dataclass
class Turn:
    """What happened since a prompt was asked. `prompt_id` None: the first prompt of a new project, known when it is queued."""

    prompt_id: str | None = None
    #: queued, working, completed, stopped, failed, interrupted, removed; broken when the project cannot go on
    state: str = "queued"
    prompt: str = ""
    transcript: Transcript = field(default_factory=Transcript)
    #: what the pipeline does, in words
    step: str = ""
    preview_url: str | None = None
    site_url: str | None = None
    deploying: str = ""
    error: str = ""
    hint: str = ""
    began: int = 0
    ended: int = 0
    tokens: int = 0
    cost: float = 0.0
    seq: int = 0
    #: the project is deleted
    gone: bool = False

    @property
    def over(self) -> bool:
        return self.state not in ("queued", "working")

    def take(self, event: Event) -> None:
        """One more event of the project, in its order; one that was taken already changes nothing."""
        if event.seq <= self.seq:
            return
        self.seq = event.seq
        payload = said.known(event.type, event.payload)
        if payload is None:
            return
        if isinstance(payload, said.ProjectStatusChanged):
            self._project(payload, event.time)
        elif isinstance(payload, said.ProjectDeleted):
            self.gone, self.state = True, self.state if self.over else "removed"
        elif isinstance(payload, said.ProductionStatus):
            self.site_url = payload.url
            self.deploying = payload.step or ("" if payload.status == "running" else payload.status)
            if payload.status == "failed":
                self.deploying = f"the last deploy failed: {payload.error}"
        elif isinstance(payload, said.PromptQueued) and self.prompt_id is None:
            self.prompt_id, self.prompt, self.began = event.prompt_id, payload.text, event.time
        elif event.prompt_id == self.prompt_id or (event.prompt_id is None and self.state == "working"):
            self._mine(payload, event)

    def _project(self, payload: said.ProjectStatusChanged, time: int) -> None:
        self.step, self.preview_url = payload.step or "", payload.preview_url
        if payload.status == "error" and not self.over:
            self.state, self.error, self.hint, self.ended = (
                "broken",
                payload.error or "The project could not be started.",
                payload.hint or "",
                time,
            )

    def _mine(self, payload: said.Payload, event: Event) -> None:
        if isinstance(payload, said.PromptQueued):
            self.prompt, self.began = payload.text, event.time
        elif isinstance(payload, said.PromptEdited):
            self.prompt = payload.text or self.prompt
            if payload.text is None:
                self.state = "removed"
        elif isinstance(payload, said.PromptSent):
            self.state, self.began = "working", event.time
        elif isinstance(payload, said.UsageCounted):
            self.tokens += payload.tokens.input + payload.tokens.output
            self.cost += payload.cost
        elif event.type.startswith("chat.prompt."):
            self.state, self.ended = event.type.rpartition(".")[2], event.time
            self.error = str(getattr(payload, "error", "") or getattr(payload, "reason", "") or "")
            self.hint = str(getattr(payload, "hint", "") or "")
        else:
            self.transcript.add(payload, event.session_id)

    @property
    def answer(self) -> str:
        """What the agent said, sub-agents left out; Markdown."""
        inner = set(self.transcript.subagents)
        texts = [one.text for one in self.transcript.messages.values() if one.session_id not in inner and one.text]
        return "\n\n".join(texts)

    @property
    def reasoning(self) -> str:
        inner = set(self.transcript.subagents)
        return "\n\n".join(
            "".join(one.reasoning.values()) for one in self.transcript.messages.values() if one.session_id not in inner and one.reasoning
        )

    @property
    def open_requests(self) -> list[said.PermissionRequested | said.QuestionRequested]:
        """What the agent waits for."""
        return [] if self.over else [one.request for one in self.transcript.requests.values() if one.reply is None]

    @property
    def todos(self) -> list[said.Todo]:
        inner = set(self.transcript.subagents)
        found = [todos for session, todos in self.transcript.todos.items() if session not in inner]
        return found[-1] if found else []

    def summary(self, name: str, project_url: str | None = None) -> str:
        """The turn as static Markdown: what a saved notebook still shows."""
        heads = {"completed": "Done", "broken": "The project could not be started", "removed": "Removed from the queue"}
        parts = [f"**{name}** · {heads.get(self.state, self.state.capitalize())}"]
        if self.error:
            parts.append(f"> {self.error} {self.hint}".rstrip())
        if self.answer:
            parts.append(self.answer)
        if files := self.transcript.files:
            parts.append("Files: " + ", ".join(f"`{path}`{_counts(*counts)}" for path, counts in files.items()))
        links = [f"[{label}]({url})" for label, url in (("preview", self.preview_url), ("live site", self.site_url)) if url]
        took = f"{(self.ended - self.began) / 1000:.0f} s" if self.ended and self.began else ""
        cost = f"${self.cost:.4f}" if self.cost else ""
        parts.append(" · ".join(filter(None, [*links, took, f"{self.tokens:,} tokens" if self.tokens else "", cost])))
        return "\n\n".join(filter(None, parts))


def read(events: Iterable[Told], turn: Turn) -> Iterator[Told]:
    """Each event, after `turn` took it, up to the end of the turn."""
    for event in events:
        turn.take(event)
        yield event
        if turn.over:
            return


def _counts(additions: int | None, deletions: int | None) -> str:
    return "" if additions is None and deletions is None else f" (+{additions or 0} −{deletions or 0})"
