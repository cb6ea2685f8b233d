from __future__ import annotations

import peewee
import pytest

from doce.chats.claims import ATTEMPTS, KEPT_MS, Claims
from doce.clock import ManualClock

KIND, TEAM, CHANNEL = "slack", "T1", "C1"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def claims(db: peewee.SqliteDatabase, clock: ManualClock) -> Claims:
    return Claims(clock)


def take(claims: Claims, key: str, *, lane: str = "lane", place: str = "", fuller: bool = False, **payload: str) -> bool:
    return claims.take(KIND, TEAM, CHANNEL, key, lane=lane, place=place, payload=payload, fuller=fuller)


def test_something_is_taken_once(claims: Claims) -> None:
    assert take(claims, "1", text="hello")
    assert not take(claims, "1", text="hello again")
    assert claims.take(KIND, TEAM, "C2", "1", lane="other", place="", payload={})
    found = claims.next("lane")
    assert found
    assert found.payload == {"text": "hello"}


def test_a_fuller_delivery_replaces_what_still_waits(claims: Claims) -> None:
    take(claims, "1", text="without files")
    assert not take(claims, "1", fuller=True, text="with files")
    found = claims.next("lane")
    assert found
    assert found.payload == {"text": "with files"}
    with claims.settling(found) as mine:
        assert mine
    take(claims, "1", fuller=True, text="late")
    assert claims.next("lane") is None


def test_a_lane_is_worked_off_in_its_order_whatever_came_first(claims: Claims) -> None:
    for place in ("3", "1", "2"):
        take(claims, place, place=place)
    take(claims, "elsewhere", lane="another")
    seen = []
    while found := claims.next("lane"):
        seen.append(found.key)
        with claims.settling(found):
            pass
    assert seen == ["1", "2", "3"]
    assert claims.lanes() == ["another"]


def test_a_claim_is_settled_once_and_with_what_follows_from_it(claims: Claims) -> None:
    take(claims, "1")
    found = claims.next("lane")
    assert found
    with pytest.raises(RuntimeError), claims.settling(found):
        raise RuntimeError("what follows broke")
    assert claims.next("lane") == found
    with claims.settling(found, "done") as mine:
        assert mine
    with claims.settling(found) as mine:
        assert not mine


def test_a_claim_is_tried_so_often_and_then_given_up(claims: Claims) -> None:
    take(claims, "1")
    tries = 0
    while (found := claims.next("lane")) and claims.try_(found):
        tries += 1
    assert tries == ATTEMPTS
    assert found
    claims.give_up(found, "it breaks")
    assert claims.next("lane") is None


def test_a_try_that_does_not_count_is_not_counted(claims: Claims) -> None:
    take(claims, "1")
    for _ in range(3 * ATTEMPTS):
        found = claims.next("lane")
        assert found
        assert claims.try_(found)
        claims.untried(found)


def test_what_was_settled_long_ago_is_forgotten_and_nothing_else(claims: Claims, clock: ManualClock) -> None:
    take(claims, "old")
    take(claims, "waits", lane="other")
    found = claims.next("lane")
    assert found
    claims.give_up(found, "because")
    clock.advance(ms=KEPT_MS - 1)
    assert claims.sweep() == 0
    assert not take(claims, "old"), "it is still remembered"
    clock.advance(ms=2)
    assert claims.sweep() == 1
    assert claims.lanes() == ["other"]
