"""A turn as people see it while many others are told, and Slack's limits are met: no agent, the twin of Slack and the real teller."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from doce_slack import turn_message, turnstile
from doce_slack.turn_content import CONTINUED

from .desk import Desk, play
from .house import said

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_message, "APPEND_S", 0.05)
    monkeypatch.setattr(turn_message, "EDIT_S", 0.05)
    monkeypatch.setattr(turnstile, "LOOK_S", 0.05)


def crowd(made: Desk, **waits: float) -> None:
    """From now on calls of `chat_startStream` and others have to wait so many seconds, as far as anybody can tell."""
    made.pace.soon = lambda team, method, channel=None: waits.get(method.replace(".", "_"), 0.0)  # type: ignore[method-assign]


def closed(made: Desk, method: str, seconds: float) -> None:
    """Slack takes none for so long."""
    made.pace.refused(made.slack.workspace.id, method, None, seconds)


def test_a_message_that_is_edited_too_seldom_goes_on_as_a_stream(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        crowd(made, chat_startStream=10)
        made.sent()
        made.say("Look:\n\n```html\n<p>one</p>\n")
        await made.shows("one")
        assert made.seen()[1].stream == ""
        crowd(made, chat_update=20)
        made.tool("bash", command="ls")
        made.say("<p>two</p>\n```\nThat was it.")
        await made.shows("That was it.")
        made.completed()
        await made.over()
        first, second = made.seen()[1:]
        assert (first.stream, second.stream) == ("", "complete")
        assert said(first).endswith(CONTINUED)
        assert "_working_" not in first.shown
        assert not first.controls
        assert said(second) == "```html\n<p>two</p>\n```\nThat was it."
        await made.told()

    play(tmp_path, scenario)


def test_it_stays_as_it_is_when_a_stream_would_not_be_quicker(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        crowd(made, chat_startStream=10)
        made.sent()
        made.say("One.")
        await made.shows("One.")
        crowd(made, chat_update=20, chat_appendStream=19)
        made.say(" Two.")
        await made.shows("Two.")
        crowd(made, chat_update=20, chat_startStream=10)
        made.say(" Three.")
        await made.shows("Three.")
        made.completed()
        await made.over()
        made.check()
        assert len(made.seen()) == 2

    play(tmp_path, scenario)


def test_how_a_turn_ended_is_said_before_its_stream_may_end(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        made.sent()
        made.say("One.")
        await made.shows("One.")
        closed(made, "chat.stopStream", 2.0)
        made.say(" Two.")
        made.completed()
        (turn,) = await made.over()
        assert turn.stream == "streaming"
        made.check()
        await made.until(lambda: made.seen()[1].stream == "complete")
        assert made.seen()[1].shown.count("✅") == 1
        assert len([one for one in made.seen()[1].controls if one.action_id == "doce:details"]) == 1
        made.check()
        await made.told()

    play(tmp_path, scenario)


def test_a_stream_that_cannot_be_ended_after_all_was_said_keeps_nothing_waiting(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        made.sent()
        made.say("One.")
        await made.shows("One.")
        closed(made, "chat.stopStream", 1.5)
        made.completed()
        await made.over()
        made.slack.streams = False
        await made.told()
        made.check()

    play(tmp_path, scenario)


def test_the_end_of_a_turn_does_not_wait_behind_others(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        made.slack.streams = False
        made.sent()
        made.say("One.")
        await made.shows("One.")
        closed(made, "chat.update", 1.5)
        order: list[str] = []
        others = [made.pace.ask(made.slack.workspace.id, "chat.update") for _ in range(3)]
        for one in others:
            one.add_done_callback(lambda _: order.append("other"))
        asked, ask = asyncio.Event(), made.pace.ask

        def noted(*arguments: Any, **named: Any) -> asyncio.Future[None]:
            turn = ask(*arguments, **named)
            if arguments[1] == "chat.update" and not asked.is_set():
                turn.add_done_callback(lambda _: order.append("end"))
                asked.set()
            return turn

        made.pace.ask = noted  # type: ignore[method-assign]
        made.say(" Two.")
        # It waits for its turn by now, as one of many.
        await asyncio.wait_for(asked.wait(), 5)
        made.completed()
        await made.over()
        assert order[0] == "end"

    play(tmp_path, scenario)
