"""A turn as people see it in a thread, whatever happens on the way: the twin of Slack and the real teller, no agent."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from doce.events import log
from doce.events import vocabulary as told
from doce.testing.slack import hang, limited, refused, reset, server_error
from doce_slack import calls, project_reporter, reporter, turn_message
from doce_slack.turn_content import CONTINUED

from .desk import Clock, Desk, play
from .house import said

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to watch."""
    monkeypatch.setattr(turn_message, "APPEND_S", 0.05)
    monkeypatch.setattr(turn_message, "EDIT_S", 0.05)
    monkeypatch.setattr(project_reporter, "CARD_S", 0.05)
    monkeypatch.setattr(reporter, "MAX_REST_S", 0.1)
    monkeypatch.setattr(reporter, "REST_S", 0.05)
    monkeypatch.setattr(calls, "REST_S", 0.01)


async def begun(made: Desk, text: str = "Let me look.") -> None:
    """A turn that has said something that can be seen."""
    made.sent()
    made.say(text)
    await made.shows(text)


async def ended(made: Desk) -> None:
    made.completed()
    await made.over()
    made.check()


def test_a_turn_is_streamed(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        await begun(made)
        made.tool("bash", command="npm install")
        made.say(" It is a bakery.\n\n")
        await made.shows("bakery")
        made.say("Done.", part="prt_2", message="msg_2")
        await ended(made)
        (turn,) = made.seen()[1:]
        assert turn.stream == "complete"
        assert "Run npm install" in [task.title for task in turn.tasks]
        assert not made.slack.called("chat.update")[1:] or all("blocks" in one.arguments for one in made.slack.called("chat.update"))

    play(tmp_path, scenario)


def test_without_streams_a_message_is_edited(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        made.slack.streams = made.slack.agents = False
        await begun(made)
        made.say(" It is a bakery.")
        await made.shows("bakery")
        await ended(made)
        assert len(made.slack.called("chat.startStream")) == 1, "Slack is not asked again for what it does not have"
        assert len(made.slack.called("agents.sessions.setStatus")) == 1

    play(tmp_path, scenario)


def test_a_stream_that_dies_is_written_on_as_a_message(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        await begun(made)
        made.slack.clock.advance(301)
        made.say(" It is a bakery.")
        await made.shows("bakery")
        await ended(made)
        assert len(made.seen()) == 2

    play(tmp_path, scenario)


@pytest.mark.parametrize("open_block", [False, True])
def test_a_stream_goes_on_in_a_next_part_in_time(tmp_path: Path, open_block: bool) -> None:
    async def scenario(made: Desk) -> None:
        await begun(made, "Look:\n\n```html\n<p>one</p>\n" if open_block else "Look, one.")
        made.tool("bash", command="ls")
        await made.until(lambda: CONTINUED in made.shown())
        made.say("<p>two</p>\n```\nThat was it." if open_block else " Two.")
        await made.shows("two" if open_block else "Two")
        made.completed()
        await made.over()
        turns = [one for one in made.seen()[1:] if said(one)]
        assert len(turns) >= 2
        if open_block:
            assert all(said(one).count("```") % 2 == 0 for one in turns), [said(one) for one in turns]
            assert "```html\n<p>two</p>" in said(turns[-1])
        else:
            made.check()
        assert sum("Run ls" in one.shown for one in turns) == 1, "what is done is not told again"

    play(tmp_path, scenario, slack_roll_s=0.6)


CALLS = ("chat.postMessage", "chat.startStream", "chat.appendStream", "chat.stopStream", "chat.update")


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize(
    "fault",
    [reset(), reset(took_effect=False), server_error(), server_error(took_effect=True), limited(1), refused("fatal_error")],
    ids=str,
)
def test_trouble_with_a_call_loses_and_doubles_nothing(tmp_path: Path, method: str, fault: Any, streams: bool) -> None:
    async def scenario(made: Desk) -> None:
        made.slack.streams = streams
        made.slack.faults.add(method, fault)
        await begun(made)
        made.say(" It is a bakery.")
        await made.shows("bakery")
        made.slack.faults.add(method, fault)
        made.say(" Done.")
        await ended(made)
        assert len([one for one in made.seen()[1:] if said(one)]) == 1

    play(tmp_path, scenario)


def test_slack_is_away_for_a_while(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        await begun(made)
        for method in (*CALLS, "conversations.replies", "agents.sessions.setStatus", "reactions.add"):
            made.slack.faults.add(method, server_error(503), times=9)
        made.say(" It is a bakery.")
        await ended(made)

    play(tmp_path, scenario)


def test_a_card_whose_edit_was_lost_is_edited_when_slack_is_back(tmp_path: Path) -> None:
    """Although nothing else happens."""

    async def scenario(made: Desk) -> None:
        await begun(made)
        await ended(made)
        await made.told()
        made.slack.faults.add("chat.update", server_error(503), times=5)
        made.services.projects.rename(made.project.id, "Fornada")
        await made.until(lambda: "Fornada" in made.seen()[0].shown)

    play(tmp_path, scenario)


class Rested(Clock):
    """A clock on which resting takes no time: it is moved on by it. `at` a time something happens."""

    def __init__(self) -> None:
        self._rested = 0.0
        self._at, self._then = float("inf"), list[Callable[[], None]]()

    def at(self, seconds: float, then: Callable[[], None]) -> None:
        self._at, self._then = self.monotonic() + seconds, [then]

    def monotonic(self) -> float:
        return super().monotonic() + self._rested

    async def sleep(self, seconds: float) -> None:
        self._rested += seconds
        if self.monotonic() >= self._at and self._then:
            self._then.pop()()
        await asyncio.sleep(0)


@pytest.mark.parametrize("streams", [True, False])
def test_slack_is_away_for_a_whole_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streams: bool) -> None:
    """Nothing is lost or doubled, the card too is right in the end, and Slack is not asked all the time meanwhile."""
    for place, name, seconds in ((reporter, "REST_S", 1.0), (reporter, "MAX_REST_S", 60.0), (calls, "REST_S", 1.0)):
        monkeypatch.setattr(place, name, seconds)
    clock = Rested()

    async def scenario(made: Desk) -> None:
        made.slack.streams = streams
        await begun(made)
        back, asked = asyncio.Event(), made.slack.calls
        for method in (*CALLS, "conversations.replies", "agents.sessions.setStatus", "reactions.add", "auth.test"):
            made.slack.faults.add(method, server_error(503), times=10_000)
        before = len(asked)

        def again() -> None:
            made.slack.faults.clear()
            back.set()

        clock.at(60, again)
        made.services.projects.rename(made.project.id, "Fornada")
        made.say(" It is a bakery.")
        await asyncio.wait_for(back.wait(), 20)
        assert 3 <= len(asked) - before <= 40
        made.say(" With bread.")
        await ended(made)
        await made.told()
        assert "Fornada" in made.seen()[0].shown
        assert len([one for one in made.seen()[1:] if said(one)]) == 1

    play(tmp_path, scenario, clock=clock)


def test_what_slack_does_not_take_is_said_in_plain_text(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        made.slack.streams = False
        made.slack.faults.add("chat.postMessage", refused("invalid_blocks"), times=1)
        await made.until(made.seen)
        made.sent()
        made.slack.faults.add("chat.postMessage", refused("msg_blocks_too_long"), times=1)
        made.say("It is a bakery.")
        await made.until(lambda: any("It is a bakery" in one.text for one in made.seen()))
        made.completed()
        await made.over()

    play(tmp_path, scenario)


def test_a_message_that_somebody_removed_is_said_anew_at_the_end(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        made.slack.streams = False
        await begun(made)
        message = made.slack.world.message("#sites", made.seen()[1].ts)
        made.slack.removed(message)
        made.say(" It is a bakery.")
        await ended(made)

    play(tmp_path, scenario)


def test_a_card_that_somebody_removed_is_missed_by_nobody(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        await begun(made)
        made.slack.faults.add("chat.update", refused("message_not_found"), times=3)
        made.tell(told.ProjectStatusChanged(status="running"))
        made.say(" It is a bakery.")
        await ended(made)

    play(tmp_path, scenario)


def test_text_that_the_agent_takes_back_is_taken_back(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        await begun(made, "Half a sen")
        made.tell(told.MessageDiscarded(message_id="msg_1", part_id="prt_1"))
        made.say("A whole sentence.", part="prt_2")
        await made.shows("A whole sentence.")
        await ended(made)
        assert "Half" not in made.shown()

    play(tmp_path, scenario)


def test_a_long_answer_is_attached_whole(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        made.sent()
        for number in range(200):
            made.say(f"{number} " + "word " * 20)
        made.completed()
        await made.until(lambda: any(one.files for one in made.seen()))
        (turn, attached) = made.seen()[1:]
        assert 5_000 < len(said(turn)) <= 11_000
        assert "attached below" in turn.shown
        assert attached.files == ("The whole answer",)

    play(tmp_path, scenario)


def test_nothing_that_a_model_says_mentions_everybody(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        made.sent()
        for piece in ("Hello <", "!chan", "nel> and @ch", "annel, @he", "re and <", "@U0", "123>."):
            made.say(piece)
            await asyncio.sleep(0.1)
        made.completed()
        await made.over()
        sent = [str(one.arguments) for one in made.slack.calls if one.method.startswith("chat.")]
        assert not [one for one in sent if "<!channel" in one or "@channel" in one or "@here" in one or "<@U0123" in one]
        assert made.seen()[1].stream == "complete", "nothing had to be taken back"

    play(tmp_path, scenario)


@pytest.mark.parametrize("seed", range(6))
def test_restarts_and_trouble_at_any_moment(tmp_path: Path, seed: int) -> None:
    """Killed, reset and refused at random: in the end the thread says what the log says."""
    rng = random.Random(seed)

    async def scenario(made: Desk) -> None:
        made.slack.streams = rng.random() < 0.7
        made.sent()
        for number in range(25):
            made.say(f"Word {number}. ")
            if rng.random() < 0.2:
                made.tool("bash", command=f"echo {number}")
            if rng.random() < 0.3:
                made.slack.faults.add(rng.choice(CALLS), rng.choice([reset(), reset(took_effect=False), server_error(), hang(0.05)]))
            await asyncio.sleep(rng.random() * 0.12)
            if rng.random() < 0.25:
                await made.stop()
                await made.start()
        made.slack.faults.clear()
        await ended(made)

    play(tmp_path, scenario, slack_roll_s=1.0)


def test_the_card_of_a_project_that_is_deleted_says_so_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a moment after the card was edited: nothing is told in the thread from then on."""
    monkeypatch.setattr(project_reporter, "CARD_S", 600.0)

    async def scenario(made: Desk) -> None:
        await begun(made)
        made.completed()
        await made.over()
        name = made.project.name
        made.services.projects.delete(made.project.id, made.ada.id)
        made.tell(told.ProjectDeleted())
        await made.until(lambda: "deleted" in made.seen()[0].shown)
        await made.until(lambda: not made.seen()[0].controls)
        assert name in made.seen()[0].shown


def test_the_card_of_a_project_that_is_being_deleted_does_not_say_that_it_is_gone(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        await begun(made)
        made.completed()
        await made.over()
        made.services.projects.delete(made.project.id, made.ada.id)
        await made.until(lambda: "deleting" in made.seen()[0].shown and not made.seen()[0].controls)
        assert "gone" not in made.seen()[0].shown

    play(tmp_path, scenario)


@pytest.mark.parametrize("restarted", [False, True])
def test_what_was_asked_in_a_turn_that_was_ended_is_asked_no_more(tmp_path: Path, restarted: bool) -> None:
    async def scenario(made: Desk) -> None:
        await begun(made)
        made.tell(told.PermissionRequested(request_id="per_1", permission="bash", patterns=["rm"], title="rm -rf dist"))
        asked = await made.until(lambda: next((one for one in made.seen() if "rm -rf dist" in one.shown), None))
        assert {"doce:allow", "doce:deny"} <= {one.action_id for one in asked.controls}
        if restarted:
            await made.stop()
        made.tell(told.PromptStopped())
        if restarted:
            await made.start()
        await made.until(lambda: next((one for one in made.seen() if "no longer waits" in one.shown), None))
        await made.told()
        assert len([one for one in made.seen() if "rm -rf dist" in one.shown]) == 1

    play(tmp_path, scenario)


def test_the_whole_answer_is_attached_also_when_doce_died_just_before(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        made.sent()
        made.say("word " * 3000)
        await made.shows("word")
        made.slack.faults.add("files.getUploadURLExternal", hang(30))
        made.completed()
        await made.over()
        await made.stop()
        made.slack.faults.clear()
        await made.start()
        await made.until(lambda: any(one.files for one in made.seen()))
        assert len(made.seen()) == 3

    play(tmp_path, scenario)


def test_turns_are_told_in_the_order_in_which_they_began(tmp_path: Path) -> None:
    """Also when all of them are over by the time doce comes to it."""

    async def scenario(made: Desk) -> None:
        await begun(made)
        await ended(made)
        await made.stop()
        later, sooner = (made.services.prompts.add(made.project.id, made.ada.id, text) for text in ("later", "sooner"))
        for number, prompt in enumerate((sooner, later)):
            more = {"project_id": made.project.id, "prompt_id": prompt.id, "session_id": "ses_1", "at": 4_000_000_000_000 + number}
            log.append(told.PromptSent(message_id="msg_0", text=prompt.text), **more)
            log.append(told.MessagePartAdded(message_id=prompt.id, part_id="prt_1", offset=0, delta_text=prompt.text), **more)
            log.append(told.PromptCompleted(duration_ms=1), **more)
        await made.start()
        await made.until(lambda: len(made.seen()) == 4)
        await made.told()
        assert [said(one) for one in made.seen()[2:]] == ["sooner", "later"]

    play(tmp_path, scenario)


def test_a_thread_that_has_news_while_doce_stops_keeps_it_from_nothing(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        await begun(made)
        await ended(made)
        await made.told()
        for reporter_, _ in made.teller._running.values():
            reporter_.wake()
        await asyncio.wait_for(made.stop(), 5)

    play(tmp_path, scenario)


def test_turns_that_begin_and_end_while_slack_is_waited_for_are_told_in_their_order(tmp_path: Path) -> None:
    async def scenario(made: Desk) -> None:
        await begun(made)
        later, sooner = (made.services.prompts.add(made.project.id, made.ada.id, text) for text in ("later", "sooner"))
        made.slack.faults.add("chat.stopStream", hang(0.5))
        made.completed()
        await asyncio.sleep(0.2)
        for number, prompt in enumerate((sooner, later)):
            more = {"project_id": made.project.id, "prompt_id": prompt.id, "session_id": "ses_1", "at": 4_000_000_000_000 + number}
            log.append(told.PromptSent(message_id="msg_0", text=prompt.text), **more)
            log.append(told.MessagePartAdded(message_id=prompt.id, part_id="prt_1", offset=0, delta_text=prompt.text), **more)
            log.append(told.PromptCompleted(duration_ms=1), **more)
        await made.until(lambda: len(made.seen()) == 4)
        await made.told()
        assert [said(one) for one in made.seen()[2:]] == ["sooner", "later"]

    play(tmp_path, scenario)
