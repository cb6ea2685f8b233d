"""When a prompt's turn has ended, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from doce.events.vocabulary import Tokens
from doce.opencode.answers import ABORTED
from doce.opencode.state import Message, State, Turn


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a turn. `files` are relative paths in the order they first changed; `cost` in US dollars.

    `stopped`: somebody aborted it, or refused what the agent asked. `interrupted`: the agent died in the middle.
    """

    kind: Literal["completed", "stopped", "failed", "interrupted"]
    error: str | None = None
    files: tuple[str, ...] = ()
    tokens: Tokens = field(default_factory=Tokens)
    cost: float = 0.0


def turn_end(state: State, message_id: str) -> Ended | None:
    """How the turn of the prompt whose user message is `message_id` has ended; None while it goes on.

    It has ended when its root session is idle and an answer to it has ended, or none will come. Idle by itself says
    nothing: it is sent twice after an abort, and sub-agents have their own.
    """
    turn = state.turns.get(message_id)
    if turn is None:
        return None
    session = state.session(turn.session_id)
    answers = [state.messages[answer] for answer in turn.answers]
    if session.status not in (None, "idle") and state.turn_of(session.id) == message_id:
        return None
    if not answers:
        return _unanswered(turn)
    if not all(answer.completed for answer in answers):
        return None
    kind, error = _outcome(turn, answers[-1])
    return Ended(kind, error, tuple(turn.files), _total(answers), sum(answer.cost for answer in answers))


def _unanswered(turn: Turn) -> Ended | None:
    if turn.error is not None:
        return Ended("stopped") if turn.error[0] == ABORTED else Ended("failed", turn.error[1])
    return Ended("interrupted", "The agent stopped before it answered.") if turn.interrupted else None


def _outcome(turn: Turn, last: Message) -> tuple[Literal["completed", "stopped", "failed", "interrupted"], str | None]:
    if turn.interrupted:
        return "interrupted", "The agent stopped in the middle of its answer."
    # An answer that asked for more may be followed by an error that is no answer's, as of a compaction.
    error = last.error or (turn.error if last.finish in (None, "tool-calls") else None)
    if error is not None:
        return ("stopped", None) if error[0] == ABORTED else ("failed", error[1])
    # No finish: aborted while it waited to ask the model again. "tool-calls" as the last word: a request was refused.
    return ("stopped", None) if last.finish in (None, "tool-calls") else ("completed", None)


def _total(answers: list[Message]) -> Tokens:
    names = Tokens.model_fields
    return Tokens(**{name: sum(getattr(answer.tokens, name) for answer in answers) for name in names})
