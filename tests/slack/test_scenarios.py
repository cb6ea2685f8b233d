"""What people do in Slack, with the real doce behind it, real agents and the rehearsal model."""

from __future__ import annotations

import random
import time
from urllib.parse import urlsplit

import pytest

from .house import Backwards, Office, said

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]
HANG = "[[rehearse hang]]"


def only(text: str) -> str:
    return f"[[rehearse only: {text}]]"


def texts(acme: Office, root: str) -> list[str]:
    return [prompt["text"] for prompt in acme.prompts(root)]


def states(acme: Office, root: str) -> list[str]:
    return [prompt["state"] for prompt in acme.prompts(root)]


def check_acks(acme: Office) -> None:
    """Everything that was delivered was acknowledged the first time, within a second."""
    late = acme.look(
        lambda: [
            (one.kind, one.event.get("type"), one.event.get("subtype"), [(tried.outcome, tried.seconds) for tried in one.attempts])
            for one in acme.town.courier.sent
            if one.over and (len(one.attempts) != 1 or one.seconds >= 1 or one.error)
        ]
    )
    assert not late


def test_a_site_is_asked_for_changed_and_deployed(acme: Office) -> None:
    root = acme.new()
    assert len(acme.thread(root)) == 2
    acme.say("make it dark", root)
    second = acme.ended(root, 2)[1]
    assert second.stream == "complete"
    acme.say("deploy", root)
    live = acme.shows(root, "Live", timeout_s=60)
    assert "v1" in live.shown
    acme.check_text(root)
    check_acks(acme)


def test_the_same_event_twice_is_one_turn(acme: Office) -> None:
    root = acme.begin()
    said_ = acme.say(only("once"), root)
    delivery = acme.until(lambda: [one for one in acme.town.courier.sent if one.event.get("ts") == said_.ts and one.acked])[0]
    acme.look(lambda: [acme.town.courier.again(delivery) for _ in range(3)])
    acme.ended(root, 2)
    acme.run(acme.town.settled())
    assert texts(acme, root)[1:] == [only("once")]


def test_addresses_have_the_port_that_was_really_taken(acme: Office) -> None:
    """The office begins with DOCE_PORT=0."""
    root = acme.begin()
    (link,) = [one for one in acme.thread(root)[0].controls if one.text == "Open in doce"]
    assert urlsplit(link.url).port == acme.home.port


def test_a_mention_is_told_twice_and_is_one_turn(acme: Office) -> None:
    message = acme.say(f"@doce new {only('hello')}")
    acme.ended(message.ts, 1)
    assert len(acme.look(lambda: [one for one in acme.town.courier.sent if one.event.get("ts") == message.ts])) == 2
    acme.until(lambda: "white_check_mark" in acme.town.thread("#sites", message.ts)[0].reactions)
    thread = acme.thread(message.ts)
    (card,) = [one for one in thread if "Open in doce" in one.shown]
    assert len(acme.home.doce.prompts(card.text.removeprefix("doce · ").partition(" ")[0])["items"]) == 1


def test_two_replies_at_once_are_done_in_order_though_delivered_the_other_way_round(acme: Office) -> None:
    root = acme.begin()
    weather = acme.town.courier.weather
    weather.shuffle, weather.rng = 2, Backwards()
    try:
        first, second = acme.say(only("one"), root), acme.say(only("two"), root)
        acme.ended(root, 3)
    finally:
        weather.shuffle, weather.rng = 0, random.Random(0)
    came = acme.look(lambda: [one.event["ts"] for one in acme.town.courier.sent if one.event.get("ts") in (first.ts, second.ts)])
    assert set(came) == {first.ts, second.ts}
    assert texts(acme, root)[1:] == [only("one"), only("two")]


def test_a_reply_while_it_works_waits_and_changes_with_its_message(acme: Office) -> None:
    root = acme.begin()
    acme.say(HANG, root)
    acme.busy(root)
    waiting, unwanted = acme.say(only("later"), root), acme.say(only("never"), root)
    acme.told("ada", "Queued")
    acme.until(lambda: len([one for one in acme.town.ephemeral("ada") if "Queued" in one.shown and one.thread_ts == root]) == 2)
    acme.run(acme.town.edit("ada", waiting, only("changed")))
    acme.run(acme.town.delete("ada", unwanted))
    acme.run(acme.town.settled())
    project = acme.project(root)
    acme.home.until(project, lambda event: event.type == "chat.prompt.edited" and "text" not in event.payload)
    assert texts(acme, root)[2:] == [only("changed"), only("never")]
    assert states(acme, root)[3] == "removed"
    began = time.monotonic()
    acme.say("stop", root)
    acme.ended(root, 2)
    assert time.monotonic() - began < 4
    turns = acme.ended(root, 3)
    assert "🛑 stopped by <@" in turns[1].shown
    assert "changed" in said(turns[2])


def test_now_ends_what_goes_on(acme: Office) -> None:
    root = acme.begin()
    acme.say(HANG, root)
    acme.busy(root)
    acme.say(f"now: {only('at once')}", root)
    turns = acme.ended(root, 3)
    assert ["🛑" in one.shown for one in turns] == [False, True, False]
    assert "at once" in said(turns[2])


def test_a_queued_prompt_is_sent_now_by_its_button(acme: Office) -> None:
    root = acme.begin()
    acme.say(HANG, root)
    acme.busy(root)
    acme.say(only("last"), root)
    acme.say(only("first"), root)
    queued = acme.until(
        lambda: len(found := [one for one in acme.town.ephemeral("ada") if "Queued" in one.shown and one.thread_ts == root]) == 2 and found
    )
    acme.click(queued[1], "Send now")
    turns = acme.ended(root, 4)
    assert [said(one) for one in turns[2:]] == ["first", "last"]


def test_a_turn_is_stopped_in_the_middle_of_a_tool(acme: Office) -> None:
    root = acme.begin()
    acme.say("[[rehearse run: sleep 60]]", root)
    acme.shows(root, "Run sleep 60")
    began = time.monotonic()
    acme.say("stop", root)
    stopped = acme.ended(root, 2)[1]
    assert time.monotonic() - began < 3
    assert "🛑 stopped by" in stopped.shown
    assert stopped.control("Continue")


def test_slacks_own_stop_button_stops_the_turn(acme: Office) -> None:
    root = acme.begin()
    acme.say("[[rehearse run: sleep 60]]", root)
    acme.shows(root, "Run sleep 60")
    acme.run(acme.town.stop_stream("ada", "#sites", root))
    stopped = acme.ended(root, 2)[1]
    assert "🛑 stopped by" in stopped.shown
    place = (acme.town.channel("#sites").id, root)
    acme.until(lambda: acme.town.world.sessions[place].status == "active")
    acme.say(only("and on"), root)
    assert said(acme.ended(root, 3)[2]) == "and on"


def test_the_stop_button_of_a_turn(acme: Office) -> None:
    root = acme.begin()
    acme.town.streams = False
    try:
        acme.say(HANG, root)
        message = acme.until(
            lambda: [one for one in acme.town.thread("#sites", root) if "doce:stop" in {c.action_id for c in one.controls}]
        )
        acme.click(message[-1], "doce:stop")
        assert "🛑 stopped by" in acme.ended(root, 2)[1].shown
    finally:
        acme.town.streams = True


def test_who_may_not_is_told_and_nothing_happens(acme: Office) -> None:
    root = acme.begin()
    acme.say("make it red", root, who="cleo")
    acme.told("cleo", "who you are in doce")
    acme.say("make it red, please", root, who="cleo")
    acme.say("make it red", root, who="ben")
    acme.told("ben", "somebody else's")
    done = acme.thread(root)[0]
    acme.click(done, "doce:deploy", who="ben")
    acme.until(lambda: len([one for one in acme.town.ephemeral("ben") if "somebody else's" in one.shown]) >= 2)
    acme.click(done, "doce:deploy", who="cleo")
    acme.run(acme.town.settled())
    assert texts(acme, root) == [only("here")]
    assert acme.home.doce.production(acme.project(root))["status"] != "building"
    assert acme.look(lambda: len([one for one in acme.town.ephemeral("cleo") if one.thread_ts == root])) <= 2


def test_two_people_in_a_thread_are_told_apart(acme: Office) -> None:
    root = acme.new(only("here"))
    acme.home.doce.request("POST", f"/api/projects/{acme.project(root)}/members/ben", body={"role": "editor"})
    acme.say(only("by ben"), root, who="ben")
    turn = acme.ended(root, 2)[1]
    assert said(turn) == "by ben"
    assert texts(acme, root)[1] == f"ben: {only('by ben')}"
