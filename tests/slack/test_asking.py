"""What the agent asks, in Slack: buttons, plain replies, a restart between, two people at once."""

from __future__ import annotations

import pytest

from .house import Office, said

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]
ASK, QUESTION = "[[rehearse ask]]", "[[rehearse question]]"


def test_a_permission_is_given_by_its_button_and_the_late_click_is_told(acme: Office) -> None:
    root = acme.begin()
    message = acme.say(ASK, root)
    asked = acme.shows(root, "doce wants to use", timeout_s=60)
    acme.until(lambda: "raised_hand" in acme.town.thread("#sites", root)[2].reactions)
    acme.until(lambda: acme.town.world.sessions[acme.town.channel("#sites").id, root].status == "suspended")
    assert acme.click(asked, "doce:allow").acked
    answered = acme.shows(root, "✅ Allowed once by <@")
    assert not answered.controls
    acme.ended(root, 2)
    acme.until(lambda: acme.town.world.message("#sites", message.ts).reactions.keys() == {"white_check_mark"})


def test_a_permission_is_answered_after_a_restart(acme: Office) -> None:
    root = acme.begin()
    acme.say(ASK, root)
    asked = acme.shows(root, "doce wants to use", timeout_s=60)
    acme.restart()
    acme.click(asked, "doce:deny")
    acme.shows(root, "⛔ Denied by <@", timeout_s=45)
    acme.ended(root, 2)
    assert len([one for one in acme.thread(root) if "doce wants to use" in one.shown or "Denied" in one.shown]) == 1


def test_a_question_is_answered_by_a_button(acme: Office) -> None:
    root = acme.begin()
    acme.say(QUESTION, root)
    asked = acme.shows(root, ":raised_hand:", timeout_s=60)
    acme.click(asked, "doce:choose0")
    acme.shows(root, "✅ Answered: ")
    assert said(acme.ended(root, 2)[1])


def test_a_question_is_answered_by_a_reply(acme: Office) -> None:
    root = acme.begin()
    acme.say(QUESTION, root)
    asked = acme.shows(root, ":raised_hand:", timeout_s=60)
    acme.say("Something else: mauve", root)
    acme.shows(root, "mauve by <@")
    acme.ended(root, 2)
    assert len(acme.prompts(root)) == 2, "the answer is no prompt"
    # Another click finds the buttons gone; one that was on its way is told.
    assert not next(one for one in acme.thread(root) if one.ts == asked.ts).controls


def test_two_answers_at_once_are_one_and_the_other_is_told(acme: Office) -> None:
    root = acme.begin()
    acme.say(ASK, root)
    asked = acme.shows(root, "doce wants to use", timeout_s=60)
    before = acme.look(lambda: len(acme.town.ephemeral("ada")))
    acme.click(asked, "doce:allow")
    stale = acme.look(lambda: [one for one in acme.town.delivered("block_actions") if one.acked])[-1]

    async def again() -> None:
        """A second click that was on its way."""
        from doce.testing.slack import Delivery

        payload = {**stale.payload, "trigger_id": "another"}
        payload["actions"] = [{**payload["actions"][0], "action_ts": f"{float(payload['actions'][0]['action_ts']) + 1:.6f}"}]
        acme.town.courier.send(Delivery("interactive", payload, stale.team))

    acme.run(again())
    acme.until(lambda: [one for one in acme.town.ephemeral("ada")[before:] if "already answered" in one.shown], 20)
    acme.ended(root, 2)
