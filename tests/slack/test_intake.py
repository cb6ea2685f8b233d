"""What arrives is claimed, kept in order and worked off, also when the database or Slack is in trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import peewee
import pytest

from doce.chats.claims import ATTEMPTS, Claim, Claims
from doce.clock import SystemClock
from doce_slack import intake as intake_module
from doce_slack.calls import Lost
from doce_slack.intake import Intake, NotYet

from .desk import do


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "REST_S", 0.01)
    monkeypatch.setattr(intake_module, "MAX_REST_S", 0.02)
    monkeypatch.setattr(intake_module, "HOLD_MS", 40)
    monkeypatch.setattr(intake_module, "CATCH_UP_MS", 80)


@pytest.fixture
def claims(db: peewee.SqliteDatabase) -> Claims:
    return Claims(SystemClock())


def message(ts: str, text: str = "hello", **more: Any) -> dict[str, Any]:
    event = {"type": "message", "channel": "C1", "user": "U1", "ts": ts, "text": text, "thread_ts": "1.0", **more}
    return {"type": "event_callback", "team_id": "T1", "event_id": f"Ev{ts}", "event": event}


class Desk:
    """An intake that does with claims what `handle` says, and notes it."""

    def __init__(self, claims: Claims, handle: Callable[[Claim], None] = lambda claim: None) -> None:
        self.done: list[str] = []
        self.gave_up: list[str] = []
        self.claims, self._handle = claims, handle
        self.intake = Intake(claims, do, self._work, self._check, gave_up=self._tell)
        self.changed = asyncio.Event()

    async def _check(self, body: dict[str, Any]) -> dict[str, str]:
        return {}

    async def _work(self, claim: Claim) -> None:
        self._handle(claim)
        with self.claims.settling(claim) as mine:
            if mine:
                self.done.append(claim.payload["event"]["text"])
        self.changed.set()

    async def _tell(self, claim: Claim) -> None:
        self.gave_up.append(claim.key)
        self.changed.set()

    async def hear(self, body: dict[str, Any]) -> int:
        async def nobody() -> None:
            return None

        answer = await self.intake.claim(body, nobody)
        return answer.status if answer else 0

    async def until(self, so: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not so():
                self.changed.clear()
                await self.changed.wait()


def play(desk: Desk, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        desk.changed = asyncio.Event()
        task = asyncio.create_task(desk.intake.run())
        try:
            await scenario()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_messages_are_done_in_the_order_in_which_they_were_written(claims: Claims) -> None:
    desk = Desk(claims)

    async def scenario() -> None:
        for ts in ("3.0", "1.5", "2.0"):
            assert await desk.hear(message(ts, ts)) == 200
            assert await desk.hear(message(ts, ts)) == 200
        await desk.until(lambda: len(desk.done) == 3)
        assert desk.done == ["1.5", "2.0", "3.0"]

    play(desk, scenario)


def test_what_comes_while_a_lane_ends_is_not_left_lying(claims: Claims) -> None:
    desk = Desk(claims)

    async def scenario() -> None:
        for number in range(60):
            await desk.hear(message(f"{number + 1}.0", str(number)))
            if number % 3 == 0:
                await desk.until(lambda number=number: len(desk.done) == number + 1)  # type: ignore[misc]
        await desk.until(lambda: len(desk.done) == 60)

    play(desk, scenario)


def test_a_database_that_cannot_be_read_for_a_while_ends_no_lane(claims: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, real, left = Desk(claims), claims.next, [5]

    def broken(lane: str) -> Claim | None:
        left[0] -= 1
        if left[0] >= 0:
            raise peewee.OperationalError("disk I/O error")
        return real(lane)

    monkeypatch.setattr(claims, "next", broken)

    async def scenario() -> None:
        await desk.hear(message("1.0", "kept"))
        await desk.until(lambda: desk.done == ["kept"])

    play(desk, scenario)
    assert left[0] < 0


def test_slack_being_away_is_no_fault_of_what_was_said(claims: Claims) -> None:
    tries = [0]

    def away(claim: Claim) -> None:
        tries[0] += 1
        if tries[0] <= 2 * ATTEMPTS:
            raise Lost("Slack is away.")

    desk = Desk(claims, away)

    async def scenario() -> None:
        await desk.hear(message("1.0", "kept"))
        await desk.until(lambda: desk.done == ["kept"])

    play(desk, scenario)


def test_what_breaks_is_given_up_in_the_end_and_the_next_is_done(claims: Claims) -> None:
    def breaks(claim: Claim) -> None:
        if claim.payload["event"]["text"] == "bad":
            raise RuntimeError("a mistake of ours")

    desk = Desk(claims, breaks)

    async def scenario() -> None:
        await desk.hear(message("1.0", "bad"))
        await desk.hear(message("2.0", "good"))
        await desk.until(lambda: desk.done == ["good"])
        assert desk.gave_up == ["1.0"]

    play(desk, scenario)


def test_an_answer_waits_for_what_it_answers(claims: Claims) -> None:
    tries = [0]

    def early(claim: Claim) -> None:
        tries[0] += 1
        if tries[0] <= ATTEMPTS + 2:
            raise NotYet("it is being posted")

    desk = Desk(claims, early)

    async def scenario() -> None:
        await desk.hear(message("1.0", "reply"))
        await desk.until(lambda: desk.done == ["reply"])

    play(desk, scenario)


def test_what_waited_when_doce_died_is_worked_off(claims: Claims) -> None:
    first = Desk(claims)
    first.intake._open = False
    asyncio.run(first.hear(message("1.0", "before")))
    desk = Desk(claims)

    async def scenario() -> None:
        await desk.until(lambda: desk.done == ["before"])

    play(desk, scenario)


@pytest.mark.parametrize(
    "body",
    [
        {}, {"type": "event_callback"}, {"type": "event_callback", "event": {}}, {"type": "block_actions", "actions": []},
        {"type": "event_callback", "event": {"type": "message"}},
        {"type": "event_callback", "event": {"type": "reaction_added", "item": {}}},
        {"type": "event_callback", "team_id": "T1", "event": {"type": "message", "subtype": "message_changed"}},
        message("1.0", bot_id="B2"), message("1.0", hidden=True), message("1.0", subtype="channel_join"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_for_nobody_is_passed_on(claims: Claims, body: dict[str, Any]) -> None:
    desk = Desk(claims)
    assert asyncio.run(desk.hear(body)) == 0
    assert claims.lanes() == []
