"""A turn as its reader sees it: the same from the log and from a client."""

from __future__ import annotations

import json
from typing import Any

import pytest

from doce import client
from doce.events import log
from doce.opencode.turn import Turn, read


def events(*told: tuple[str, dict[str, Any]], prompt: str | None = "prm_1") -> list[client.Event]:
    return [client.Event(seq, type_, "prj_1", "ses_1", prompt, 1000 * seq, payload) for seq, (type_, payload) in enumerate(told, 1)]


TURN = events(
    ("chat.prompt.queued", {"text": "make it dark", "position": 1}),
    ("chat.prompt.sent", {"messageId": "msg", "text": "make it dark"}),
    ("chat.message.part.added", {"messageId": "m1", "partId": "p1", "offset": 0, "deltaText": "It is "}),
    ("chat.message.part.added", {"messageId": "m1", "partId": "p1", "offset": 6, "deltaText": "<b>dark</b>"}),
    ("chat.file.changed", {"path": "a.css", "additions": 2, "deletions": 1}),
    ("chat.usage", {"provider": "rehearsal", "model": "m", "tokens": {"input": 10, "output": 5}, "cost": 0.01}),
    ("chat.permission.requested", {"requestId": "per", "permission": "bash", "patterns": ["ls"], "title": "ls"}),
    ("chat.permission.resolved", {"requestId": "per", "reply": "once"}),
    ("chat.prompt.completed", {"durationMs": 900}),
)


@pytest.mark.parametrize("prompt_id", [None, "prm_1"])
def test_a_turn_is_what_its_events_say_however_often_they_come(prompt_id: str | None) -> None:
    turn = Turn(prompt_id)
    for event in [*TURN[:5], *TURN[2:4], *TURN[4:]]:
        turn.take(event)
    assert (turn.state, turn.answer, turn.tokens, turn.cost) == ("completed", "It is <b>dark</b>", 15, 0.01)
    assert turn.open_requests == []
    summary = turn.summary("Tea")
    assert summary.startswith("**Tea** · Done")
    assert "`a.css` (+2 −1)" in summary
    assert "7 s · 15 tokens · $0.0100" in summary


def test_the_log_and_a_client_tell_the_same_turn() -> None:
    logged = [log.Event(one.seq, "prj_1", one.type, "ses_1", one.prompt_id, json.dumps(one.payload), one.time) for one in TURN]
    from_log, from_client = Turn("prm_1"), Turn("prm_1")
    for event in logged:
        from_log.take(event)
    for event in TURN:
        from_client.take(event)
    assert from_log == from_client


def test_what_a_newer_doce_says_is_passed_over() -> None:
    turn = Turn("prm_1")
    for event in [
        *TURN[:2],
        client.Event(3, "chat.hologram", "prj_1", "ses_1", "prm_1", 1, {"shape": "cube"}),
        client.Event(4, "chat.file.changed", "prj_1", "ses_1", "prm_1", 1, {"path": "a.css", "mood": "new"}),
    ]:
        turn.take(event)
    assert list(turn.transcript.files) == ["a.css"]


def test_other_prompts_are_other_turns() -> None:
    turn = Turn("prm_1")
    other = events(("chat.message.part.added", {"messageId": "x", "partId": "x", "offset": 0, "deltaText": "no"}), prompt="prm_2")
    for event in [*TURN[:3], *[client.Event(50, one.type, "prj_1", "s", "prm_2", 1, one.payload) for one in other]]:
        turn.take(event)
    assert turn.answer == "It is "


def test_reading_ends_with_the_turn() -> None:
    more = [*TURN, *events(("project.status", {"status": "stopped"}))]
    assert len(list(read(iter(more), Turn("prm_1")))) == len(TURN)
    broken = Turn()
    told = events(("project.status", {"status": "error", "error": "no disk", "hint": "free some"}), prompt=None)
    assert len(list(read(told, broken))) == 1
    assert "no disk" in broken.summary("Tea")
