"""The agent's answers: text and reasoning by part, messages, their end, and what a dead agent left of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from doce.events.vocabulary import MessageDiscarded, MessageFinal, MessagePartAdded, ReasoningPart, SessionCompacted, SessionError, Tokens
from doce.opencode.calls import end_tool, file_changed, on_tool
from doce.opencode.paths import relative_path, relative_text
from doce.opencode.state import Message, Normalized, Part, Session, State, before
from doce.opencode.tools import shorten

Raw = Mapping[str, Any]
#: Between the text parts of one message.
PARAGRAPH = "\n\n"
ABORTED = "MessageAbortedError"
INTERRUPTED = "interrupted"
_LOST = "The agent stopped before this tool had ended."


# Parts


def on_part(state: State, raw: Raw, *, at: int = 0, listed: bool = False) -> list[Normalized]:
    """A part as a whole, from the stream or from the list."""
    kind = raw["type"]
    if kind in ("text", "reasoning"):
        return on_text(state, raw, listed=listed)
    if kind == "tool":
        return on_tool(state, raw, at)
    message = state.messages.get(raw["messageID"])
    if message is None:
        message = state.adopt(raw["messageID"], raw["sessionID"])
    if kind == "compaction":
        _asked(state, message, continuation=True)
    elif kind == "step-start":
        orphans = [part for part in map(state.parts.__getitem__, message.parts) if part.open and before(part.id, raw["id"])]
        return [told for part in orphans for told in discard(state, part)] if not state.final(message.id) else []
    elif kind == "patch":
        return [told for path in raw["files"] for told in file_changed(state, message, relative_path(path, state.workspaces), raw["id"])]
    return []


def on_delta(state: State, properties: Raw, event: Raw) -> list[Normalized]:
    """One piece of text or reasoning, logged at once unless something before it is missing."""
    part = state.parts.get(properties["partID"])
    if part is None:
        part = _new_part(state, properties["partID"], properties["messageID"], properties["sessionID"])
        part.held = True
    if part.held or part.ended or part.discarded or properties["field"] != "text":
        return []
    return _append(state, part, properties["delta"])


def on_text(state: State, raw: Raw, *, listed: bool = False) -> list[Normalized]:
    """A text or reasoning part opens or ends. `listed`: from the message list, which lacks the text of an open part."""
    message = state.messages.get(raw["messageID"])
    if message is None and raw.get("time"):
        message = state.adopt(raw["messageID"], raw["sessionID"])
    if message is None or message.role == "user":
        if message is not None:
            # Written by OpenCode itself unless some of its text is a person's; attachments bring synthetic text along.
            message.own_words = message.own_words or not raw.get("synthetic")
            _asked(state, message, continuation=not message.own_words)
        return []
    part = state.parts.get(raw["id"]) or _new_part(state, raw["id"], message.id, raw["sessionID"])
    part.kind = "reasoning" if raw["type"] == "reasoning" or message.summary else "text"
    if not part.open or state.final(message.id):
        return []
    if not (raw.get("time") or {}).get("end"):
        # Seen from its very beginning by the stream, a part lacks nothing; a listed one may.
        part.held = listed or (part.held and part.length > 0)
        return []
    return _end(state, part, raw["text"])


def _asked(state: State, message: Message, *, continuation: bool) -> None:
    """A user message is of a person, and begins a turn, or goes on with the one before."""
    message.continuation = continuation
    session = state.session(message.session_id)
    if message.id not in session.users:
        session.users.append(message.id)
        session.users.sort()
    if session.parent_id is None and not continuation:
        state.turn(message.id, session.id)


def _end(state: State, part: Part, text: str) -> list[Normalized]:
    """The part's whole text is known: log the rest of it."""
    logged = part.text
    part.held = False
    if text.startswith(logged):
        told = _append(state, part, text[len(logged) :])
    else:
        state.mismatches += 1
        part.pieces, part.length, told = [text], len(text), []
    part.ended = True
    return told


def _append(state: State, part: Part, piece: str) -> list[Normalized]:
    if not piece:
        return []
    offset, message = part.length, state.messages.get(part.message_id)
    part.add(piece)
    kind = ReasoningPart if part.kind == "reasoning" else MessagePartAdded
    payload = kind(message_id=part.message_id, part_id=part.id, offset=offset, delta_text=piece)
    return [Normalized(payload, part.session_id, message.turn if message else None, f"{part.id}:{offset}")]


def discard(state: State, part: Part) -> list[Normalized]:
    """The model is asked again: what this part has so far will never be part of the answer."""
    part.discarded = True
    if not part.length:
        return []
    payload = MessageDiscarded(message_id=part.message_id, part_id=part.id)
    return state.tell(payload, f"{part.id}:discarded", part.session_id, state.messages[part.message_id].turn)


def _new_part(state: State, part_id: str, message_id: str, session_id: str) -> Part:
    message = state.messages.get(message_id) or state.adopt(message_id, session_id)
    part = state.parts[part_id] = Part(part_id, message_id, session_id)
    message.parts.append(part_id)
    return part


# Messages


def on_message(state: State, info: Raw) -> list[Normalized]:
    """A message begins, changes or ends."""
    session = state.session(info["sessionID"])
    message = state.messages.get(info["id"])
    if message is None:
        message = state.messages[info["id"]] = Message(info["id"], session.id, "user" if info["role"] == "user" else "assistant")
    if info["role"] == "user":
        return []  # what it is shows in its parts
    state.add_workspace((info.get("path") or {}).get("root"))
    _learn(state, session, message, info)
    told = close_suspect(state, session.id, older_than=message.id)
    if message.error:
        told += session_error(state, session, message.error, f"{message.parent_id}:error:{message.error[0]}", message.turn)
    if message.completed:
        told += finalize(state, message)
    return told


def _learn(state: State, session: Session, message: Message, info: Raw) -> None:
    completed = bool((info.get("time") or {}).get("completed"))
    if message.completed and not completed:
        return  # an event older than the list that told of its end
    message.parent_id = info.get("parentID")
    message.turn = state.turn_of(session.id, message.parent_id)
    message.summary = info.get("summary") is True
    message.finish = info.get("finish")
    message.error = error_of(info["error"]) if info.get("error") else None
    message.tokens, message.cost = _tokens(info.get("tokens") or {}), float(info.get("cost") or 0)
    message.completed = completed
    if session.parent_id is None and message.turn is not None and not message.summary:
        turn = state.turn(message.turn, session.id)
        if message.id not in turn.answers:
            turn.answers.append(message.id)
            turn.answers.sort()
        if message.completed:
            turn.interrupted = False


def finalize(state: State, message: Message, *, error: str | None = None) -> list[Normalized]:
    """The message has ended: files no patch told of, then its whole text."""
    if state.final(message.id):
        return []
    told = []
    for tool_id, edit in message.edits.items():
        if edit.path not in message.patched:
            told += file_changed(state, message, edit.path, tool_id)
    parts = sorted((state.parts[part_id] for part_id in message.parts), key=lambda part: part.id)
    text = PARAGRAPH.join(part.text for part in parts if part.kind != "reasoning" and not part.discarded and part.length)
    if message.error and error is None:
        error = "stopped" if message.error[0] == ABORTED else message.error[1]
    payload = MessageFinal(message_id=message.id, text=text, finish=message.finish, error=error, tokens=message.tokens, cost=message.cost)
    for part in parts:
        part.ended, part.pieces = True, []
    told += state.tell(payload, f"{message.id}:final", message.session_id, message.turn)
    if message.summary and not message.error and error is None:
        told += state.tell(SessionCompacted(), f"{message.id}:compacted", message.session_id, message.turn)
    return told


# The end of what was left unfinished


def on_heartbeat(state: State, properties: Raw, event: Raw) -> list[Normalized]:
    """Seconds after a resync with nothing missed since: what is still unfinished in an idle session stays so."""
    told = [each for session_id in sorted(state.suspects) for each in close_suspect(state, session_id)]
    state.suspects.clear()
    return told


def close_suspect(state: State, session_id: str, *, older_than: str | None = None) -> list[Normalized]:
    """Close what an agent that died left in this session, if it is a suspect: all of it when idle, or what is older than
    an answer that has begun since."""
    session = state.session(session_id)
    if session_id not in state.suspects or (older_than is None and session.status not in (None, "idle")):
        return []
    told: list[Normalized] = []
    for message in state.unfinished(session_id):
        if older_than is None or message.id < older_than:
            told += interrupt(state, message)
    if session.parent_id is None:
        for user_id in (user for user in session.users if older_than is None or user < older_than):
            turn = state.turns.get(user_id)
            newest = user_id == session.users[-1]
            if turn and not turn.answers and turn.error is None and (older_than is None or not newest):
                turn.interrupted = turn.interrupted or not state.messages[user_id].continuation
    return told


def interrupt(state: State, message: Message) -> list[Normalized]:
    """The agent died while it gave this answer: its tools failed, its text is what the log has of it."""
    told: list[Normalized] = []
    for tool in (state.tools[tool_id] for tool_id in message.tools):
        if tool.started and not tool.ended:
            told += end_tool(state, tool, message, {"status": "error", "error": _LOST})
    message.completed = True
    if message.turn is not None and state.session(message.session_id).parent_id is None and not message.summary:
        state.turn(message.turn, message.session_id).interrupted = True
    return told + finalize(state, message, error=INTERRUPTED)


# Errors


def session_error(state: State, session: Session, error: tuple[str, str], key: str, turn: str | None) -> list[Normalized]:
    """An error of the agent. An abort is no error: the prompt ends as stopped."""
    if turn is not None and session.parent_id is None:
        state.turn(turn, session.id).error = state.turn(turn, session.id).error or error
    if error[0] == ABORTED:
        return []
    return state.tell(SessionError(name=error[0], message=shorten(relative_text(error[1], state.workspaces))), key, session.id, turn)


def _tokens(raw: Raw) -> Tokens:
    cache = raw.get("cache") or {}
    names = {"input": raw.get("input"), "output": raw.get("output"), "reasoning": raw.get("reasoning")}
    counts = {**names, "cache_read": cache.get("read"), "cache_write": cache.get("write")}
    return Tokens(**{name: int(count or 0) for name, count in counts.items()})


def error_of(raw: Raw) -> tuple[str, str]:
    name = str(raw.get("name") or "UnknownError")
    return name, plain_message((raw.get("data") or {}).get("message")) or name


def plain_message(text: object) -> str:
    """The sentence inside an error message that is itself JSON, and without a stack trace."""
    message = str(text or "").strip()
    if message.startswith("{"):
        try:
            inner = json.loads(message)
            inner = inner.get("error") if isinstance(inner.get("error"), dict) else inner
            message = str(inner.get("message") or message)
        except (ValueError, AttributeError):
            pass
    return message.split("\n    at ")[0]
