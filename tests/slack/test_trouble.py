"""Long answers, broken streams, dead agents, and Slack in trouble, with the real doce and real agents."""

from __future__ import annotations

import pytest

from doce.testing.slack import server_error

from .house import Office, said

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]


def only(text: str) -> str:
    return f"[[rehearse only: {text}]]"


def test_a_long_answer_is_shown_in_part_and_attached_whole(acme: Office) -> None:
    root = acme.begin("[[rehearse long 20000]]")
    turn = acme.ended(root, 1)[0]
    assert 8_000 < len(said(turn)) <= 12_000
    acme.until(lambda: [one for one in acme.town.thread("#sites", root) if "The whole answer" in one.files])


def test_text_of_a_broken_model_stream_is_taken_back(acme: Office) -> None:
    root = acme.begin()
    acme.say("make it dark [[rehearse break]]", root)
    acme.ended(root, 2)
    acme.check_text(root)


def test_no_model_pings_a_channel(acme: Office) -> None:
    root = acme.begin()
    acme.say(only("<!channel> and @here"), root)
    acme.ended(root, 2)
    sent = acme.look(lambda: [str(one.arguments) for one in acme.town.calls if one.method.startswith("chat.")])
    assert not [one for one in sent if "<!channel>" in one or "@here" in one]


def test_an_agent_that_dies_in_the_middle_of_a_turn(acme: Office) -> None:
    root = acme.begin()
    acme.say("[[rehearse run: sleep 60]]", root)
    acme.shows(root, "Run sleep 60", timeout_s=60)
    for process in acme.home.agents(acme.project(root)):
        process.kill()
    turn = acme.ended(root, 2)[1]
    assert "❌" in turn.shown
    assert {"Resume", "Retry"} & {one.text for one in turn.controls}
    acme.click(turn, "doce:again")
    acme.until(lambda: len([one for one in acme.town.thread("#sites", root) if "doce:details" in str(one.controls)]) >= 3, 90)


@pytest.mark.nightly
def test_slack_is_away_and_comes_back(acme: Office) -> None:
    root = acme.begin()
    for method in ("chat.startStream", "chat.appendStream", "chat.stopStream", "chat.update", "chat.postMessage", "conversations.replies"):
        acme.town.faults.add(method, server_error(503), times=5)
    acme.say(only("still there"), root)
    assert said(acme.ended(root, 2, timeout_s=150)[1]) == "still there"
    acme.town.faults.clear()
    acme.check_text(root)


def test_a_socket_that_is_dropped_or_refreshed(acme: Office) -> None:
    root = acme.begin()
    acme.run(acme.town.sockets.refresh())
    acme.say(only("refreshed"), root)
    acme.ended(root, 2)
    acme.look(acme.town.sockets.drop)
    acme.say(only("dropped"), root)
    assert [said(one) for one in acme.ended(root, 3)] == ["here", "refreshed", "dropped"]


def test_a_restart_in_the_middle_of_a_real_turn(acme: Office) -> None:
    root = acme.begin()
    acme.say("make it blue [[rehearse slow 50]]", root)
    acme.busy(root)
    acme.restart()
    acme.ended(root, 2)
    acme.check_text(root)
    assert len(acme.prompts(root)) == 2


def test_the_token_is_revoked_and_made_anew(acme: Office) -> None:
    root = acme.begin()
    for token in acme.town.tokens.values():
        token.revoked = token.kind == "bot"
    acme.say(only("unheard"), root)
    acme.until(lambda: [one for one in acme.town.calls if one.error == "token_revoked"], 30)
    fresh = acme.look(lambda: acme.town.install(acme.town.workspace))
    acme.home.environment["DOCE_SLACK_BOT_TOKEN"] = fresh
    acme.restart()
    assert said(acme.ended(root, 2)[1]) == "unheard"
