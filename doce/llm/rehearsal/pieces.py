"""What the rehearsal says, as the chunks of an OpenAI stream."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: Pause before each piece, ms: quick enough for tests, slow enough to watch.
PACE_MS = 8
CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing to send: a chunk, an error in the middle of the stream, or the cut of the connection."""

    delay_ms: int = 0
    chunk: Mapping[str, Any] | None = None
    broken: bool = False
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: an HTTP status with an error, or pieces to stream."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    pieces: Sequence[Piece] = ()


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the agent should run."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One message of the model: thoughts, words, tool calls. Without tool calls it ends the turn."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()


def usage_of(request: Mapping[str, Any], step: Step) -> dict[str, Any]:
    """Tokens, estimated from characters as honestly as that goes."""
    asked = len(json.dumps(request.get("messages", []), ensure_ascii=False)) // CHARACTERS_A_TOKEN
    thought = len(step.reasoning) // CHARACTERS_A_TOKEN
    said = (len(step.text) + sum(len(json.dumps(dict(call.arguments))) for call in step.calls)) // CHARACTERS_A_TOKEN + thought
    return {
        "prompt_tokens": asked,
        "completion_tokens": said,
        "total_tokens": asked + said,
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def whole(request: Mapping[str, Any], step: Step) -> dict[str, Any]:
    """`step` as a ``chat.completion``."""
    message: dict[str, Any] = {"role": "assistant", "content": step.text}
    if step.reasoning:
        message["reasoning_content"] = step.reasoning
    if step.calls:
        message["tool_calls"] = _calls(request, step)
    finish = "tool_calls" if step.calls else "stop"
    return {
        **_head(request, "chat.completion"),
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": usage_of(request, step),
    }


def streamed(request: Mapping[str, Any], step: Step, pace_ms: int = PACE_MS) -> Iterator[Piece]:
    """`step` in word-sized chunks, then its tool calls, then its end and what it used."""
    head = _head(request, "chat.completion.chunk")

    def piece(delta: Mapping[str, Any], finish: str | None = None) -> Piece:
        return Piece(pace_ms, {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    yield piece({"role": "assistant", "content": ""})
    for word in _words(step.reasoning):
        yield piece({"reasoning_content": word})
    for word in _words(step.text):
        yield piece({"content": word})
    for index, call in enumerate(_calls(request, step)):
        yield piece({"tool_calls": [{"index": index, **call}]})
    yield piece({}, "tool_calls" if step.calls else "stop")
    yield Piece(0, {**head, "choices": [], "usage": usage_of(request, step)})


def _words(text: str) -> list[str]:
    """`text` in pieces that join to it exactly; long ones in larger pieces, so that nobody waits for minutes."""
    words = re.findall(r"\S+\s*|\s+", text)
    size = 1 + len(words) // 400
    return ["".join(words[start : start + size]) for start in range(0, len(words), size)]


def _calls(request: Mapping[str, Any], step: Step) -> list[dict[str, Any]]:
    """Ids follow from the conversation: the same at a repetition, different from step to step."""
    seed = hashlib.sha256(json.dumps(request.get("messages", []), sort_keys=True).encode()).hexdigest()[:12]
    return [
        {
            "id": f"call_{seed}{index}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments), ensure_ascii=False)},
        }
        for index, call in enumerate(step.calls)
    ]


def _head(request: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-rehearsal", "object": kind, "created": 0, "model": request.get("model", "rehearsal/site-builder")}
