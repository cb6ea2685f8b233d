"""The model itself: request in, the next message out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from doce.llm.rehearsal.conversation import Conversation, understand
from doce.llm.rehearsal.faults import Wish, wishes, without
from doce.llm.rehearsal.pieces import PACE_MS, Piece, Reply, Step, ToolCall, streamed, whole
from doce.llm.rehearsal.turn import LABEL, next_step
from doce.naming import capitalized, meaningful, name_from

#: A pause nobody waits for, ms.
FOR_EVER_MS = 24 * 3_600_000
#: Outside every workspace, harmless to read.
OUTSIDE = "/etc/hostname"


def reply(request: Mapping[str, Any], attempt: int = 0) -> Reply:
    """The answer to a chat completion. `attempt`: how often this very request came before; only faults look at it."""
    talk = understand(request)
    asked = wishes(talk.prompt) if talk.tools else {}
    if refused := _refusal(asked, attempt):
        return refused
    if "hang" in asked:
        return Reply(pieces=[Piece(FOR_EVER_MS)])
    pace = asked["slow"].number(50) if "slow" in asked else PACE_MS
    pieces = list(streamed(request, _step(talk, asked), pace))
    if attempt == 0 and talk.rounds == 0:
        if "break" in asked:
            pieces = [*pieces[: max(2, len(pieces) // 2)], Piece(pace, broken=True)]
        elif "error" in asked:
            failure = {"error": {"message": "The rehearsal fails here, as asked.", "type": "server_error", "code": 500}}
            pieces = [*pieces[: max(2, len(pieces) // 2)], Piece(pace, error=failure)]
    return Reply(pieces=pieces)


def complete(request: Mapping[str, Any]) -> dict[str, Any]:
    """The same, not streamed, and without faults."""
    talk = understand(request)
    return whole(request, _step(talk, wishes(talk.prompt) if talk.tools else {}))


def _refusal(asked: Mapping[str, Wish], attempt: int) -> Reply | None:
    """An HTTP error that was asked for, as often as was asked."""
    for kind, message in (("429", "Too many requests"), ("500", "The provider broke"), ("401", "The key is not valid")):
        wish = asked.get(kind)
        if wish and (kind == "401" or attempt < wish.number(1)):
            error = {"error": {"message": f"{message} (rehearsed).", "type": "rehearsed", "code": int(kind)}}
            return Reply(int(kind), {"retry-after": "1"} if kind == "429" else {}, error)
    return None


def _step(talk: Conversation, asked: Mapping[str, Wish]) -> Step:
    if not talk.tools:
        return _side_job(talk)
    if played := _play(talk, asked):
        return played
    rest = _after_play(talk, asked)
    step = next_step(rest, without(rest.prompt))
    if "reason" in asked and talk.rounds == 0:
        step = Step(step.text, _long("Thinking it over, as asked.", asked["reason"].number(2000)), step.calls)
    return step


def _play(talk: Conversation, asked: Mapping[str, Wish]) -> Step | None:
    """The steps of a wish that has its own; None when it is the page's turn."""
    if "only" in asked:
        return Step(asked["only"].argument)
    if "long" in asked:
        return Step(_long("A very long answer, as asked.", asked["long"].number(20_000)))
    if "run" in asked:
        if talk.rounds == 0:
            return Step("Running it.", calls=(ToolCall("bash", {"command": asked["run"].argument, "description": "Run what was asked"}),))
        return Step(f"It said:\n\n```\n{talk.done[-1].result[:4000]}\n```\n\n{LABEL}")
    if talk.rounds > 0:
        return None
    if "ask" in asked:
        return Step("I would like to look outside the workspace.", calls=(ToolCall("read", {"filePath": OUTSIDE}),))
    if "question" in asked and "question" in talk.tools:
        options = [{"label": label, "description": f"The page turns {label.lower()}"} for label in ("Blue", "Green", "Warm")]
        question = {"question": "Which colour should the page have?", "header": "Colour", "options": options}
        return Step("One question first.", calls=(ToolCall("question", {"questions": [question]}),))
    if "subagent" in asked and "task" in talk.tools:
        task = {
            "description": "Look around",
            "prompt": "[[rehearse only: I looked around: the page is there.]]",
            "subagent_type": "general",
        }
        return Step("Somebody else looks around first.", calls=(ToolCall("task", task),))
    if "parallel" in asked:
        calls = [ToolCall("read", {"filePath": talk.root}), ToolCall("read", {"filePath": f"{talk.root}/AGENTS.md"})]
        return Step("Several looks at once.", calls=(*calls, ToolCall("bash", {"command": "ls -la", "description": "List"})))
    return None


def _after_play(talk: Conversation, asked: Mapping[str, Wish]) -> Conversation:
    """The conversation as the page's own steps see it: without the step that a wish took."""
    took = bool({"ask", "subagent"} & set(asked)) or ("question" in asked and "question" in talk.tools)
    if not took or talk.rounds == 0:
        return talk
    answer = talk.done[0].result if talk.done and talk.done[0].name == "question" else ""
    prompt = f"{talk.prompt} {answer}" if answer else talk.prompt
    return Conversation(prompt, talk.earlier, talk.root, talk.system, talk.tools, talk.rounds - 1, talk.done[1:])


def _side_job(talk: Conversation) -> Step:
    """Questions without tools: a name, a title, a summary of the session."""
    system = talk.system.lower()
    if "name this project" in system:
        return Step(name_from(talk.prompt))
    if "title" in system and "summar" not in system[:400]:
        return Step(" ".join(capitalized(word) for word in meaningful(without(talk.prompt), 4)) or "Rehearsal")
    if "summar" in system or "summar" in talk.prompt.lower():
        asked = "; ".join(" ".join(without(text).split())[:120] for text in talk.earlier[-8:])
        return Step(f"So far the person asked for: {asked or 'nothing yet'}. The page was made and changed accordingly. {LABEL}")
    return Step(f"{LABEL} You said: {without(talk.prompt)[:500]}")


def _long(start: str, length: int) -> str:
    """Exactly `length` characters (at most a million) of numbered sentences."""
    length = min(length, 1_000_000)
    text, number = start, 0
    parts = [text]
    size = len(text)
    while size < length:
        number += 1
        parts.append(f" Sentence {number} goes on.")
        size += len(parts[-1])
    return "".join(parts)[:length]
