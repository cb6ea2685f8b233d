from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doce_slack.pace import METHODS, POST, TIERS, Pace


class Time:
    """Passes when everybody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.given: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def most_in_a_minute(times: list[float]) -> int:
    return max((sum(begin <= time < begin + 60 for time in times) for begin in times), default=0)


async def call(pace: Pace, time: Time, method: str, gaps: list[float], channel: str | None = None) -> list[float]:
    given_at = []
    for gap in gaps:
        time.now += gap
        await pace.turn("T1", method, channel)
        given_at.append(time.now)
    return given_at


@settings(max_examples=20, deadline=None)
@given(method=st.sampled_from(sorted(METHODS)), gaps=st.lists(st.floats(0, 20), min_size=1, max_size=120), late=st.floats(0, 2))
def test_no_minute_has_more_calls_than_slack_allows_even_when_one_is_late(method: str, gaps: list[float], late: float) -> None:
    time = Time()
    times = asyncio.run(call(Pace(monotonic=time.monotonic, sleep=time.sleep), time, method, gaps))
    allowed = TIERS[METHODS[method]]
    assert most_in_a_minute(times) <= allowed
    arrived = sorted([times[0] + late, *times[1:]])
    assert most_in_a_minute(arrived) <= allowed


@settings(max_examples=15, deadline=None)
@given(gaps=st.lists(st.floats(0, 5), min_size=30, max_size=150), killed=st.integers(1, 29))
def test_a_doce_that_was_killed_a_moment_ago_does_not_count_twice(gaps: list[float], killed: int) -> None:
    time = Time()

    async def run() -> list[float]:
        first = await call(Pace(monotonic=time.monotonic, sleep=time.sleep), time, "chat.update", gaps[:killed])
        return first + await call(Pace(monotonic=time.monotonic, sleep=time.sleep), time, "chat.update", gaps[killed:])

    assert most_in_a_minute(asyncio.run(run())) <= TIERS[3]


@settings(max_examples=15, deadline=None)
@given(gaps=st.lists(st.floats(0, 3), min_size=2, max_size=60))
def test_a_channel_gets_one_post_a_second(gaps: list[float]) -> None:
    time = Time()
    times = asyncio.run(call(Pace(monotonic=time.monotonic, sleep=time.sleep), time, POST, gaps, "C1"))
    assert all(later - earlier > 0.999 for earlier, later in itertools.pairwise(times))


def test_channels_workspaces_and_methods_do_not_wait_for_each_other() -> None:
    async def run() -> None:
        time = Time()
        pace = Pace(monotonic=time.monotonic, sleep=time.sleep)
        for team in ("T1", "T2"):
            for channel in ("C1", "C2"):
                await pace.turn(team, POST, channel)
            await pace.turn(team, "chat.update")
            await pace.turn(team, "chat.appendStream")
        assert time.now == 0

    asyncio.run(run())


def test_urgent_ones_go_first_and_the_others_in_their_order() -> None:
    async def run() -> list[str]:
        time, order = Time(), []
        pace = Pace(monotonic=time.monotonic, sleep=time.sleep)
        await pace.turn("T1", "chat.update")

        async def wait(name: str, urgent: bool) -> None:
            await pace.turn("T1", "chat.update", urgent=urgent)
            order.append(name)

        await asyncio.gather(wait("a", False), wait("b", False), wait("c", True), wait("d", False))
        return order

    assert asyncio.run(run()) == ["c", "a", "b", "d"]


def test_what_becomes_urgent_goes_before_those_that_asked_earlier() -> None:
    async def run() -> list[str]:
        time, order = Time(), []
        pace = Pace(monotonic=time.monotonic, sleep=time.sleep)
        await pace.turn("T1", "chat.update")
        turns = {name: pace.ask("T1", "chat.update") for name in "abc"}
        for name, turn in turns.items():
            turn.add_done_callback(lambda _, name=name: order.append(name))
        pace.hurry("T1", "chat.update", None, turns["c"])
        await asyncio.gather(*turns.values())
        await pace.turn("T1", "chat.update")
        return order

    assert asyncio.run(run()) == ["c", "a", "b"]


def test_somebody_who_no_longer_waits_takes_no_turn() -> None:
    async def run() -> float:
        time = Time()
        pace = Pace(monotonic=time.monotonic, sleep=time.sleep)
        await pace.turn("T1", "chat.update")
        gone = asyncio.ensure_future(pace.turn("T1", "chat.update"))
        stays = asyncio.ensure_future(pace.turn("T1", "chat.update"))
        gone.cancel()
        await stays
        return time.now

    assert asyncio.run(run()) < 2


def test_after_a_refusal_nothing_is_called_before_its_time() -> None:
    async def run() -> float:
        time = Time()
        pace = Pace(monotonic=time.monotonic, sleep=time.sleep)
        pace.refused("T1", "chat.update", None, 30)
        await pace.turn("T1", "chat.update")
        return time.now

    assert asyncio.run(run()) >= 30


@pytest.mark.parametrize(("method", "tier"), [("chat.startStream", 2), ("chat.update", 3), ("chat.appendStream", 4)])
def test_a_tier_is_used_well(method: str, tier: int) -> None:
    """Waiting is not done for its own sake: a minute takes most of what Slack allows."""
    time = Time()
    times = asyncio.run(call(Pace(monotonic=time.monotonic, sleep=time.sleep), time, method, [0.0] * 300))
    assert sum(60 <= one < 120 for one in times) >= 0.7 * TIERS[tier]
