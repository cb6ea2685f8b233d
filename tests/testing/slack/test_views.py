"""Modals and App Home: triggers, stacks, sizes, and what the client does not let through."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk.errors import SlackApiError

from doce.testing.slack import Impossible, Slack, View

from .driven import bot, client, run, socket_mode


def plain(text: str) -> dict[str, str]:
    return {"type": "plain_text", "text": text}


def modal(title: str = "New site", *blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "modal", "title": plain(title), "submit": plain("Go"), "blocks": list(blocks), **more}


def field(action: str, **element: Any) -> dict[str, Any]:
    optional = element.pop("optional", False)
    made = {"type": "plain_text_input", "action_id": action, **element}
    return {"type": "input", "block_id": action, "label": plain(action), "optional": optional, "element": made}


def options(*values: str) -> list[dict[str, Any]]:
    return [{"text": plain(value.upper()), "value": value} for value in values]


async def refusal(call: Any) -> str:
    with pytest.raises(SlackApiError) as no:
        await call
    return str(no.value.response["error"])


def trigger(slack: Slack, who: str = "ada", view: str = "") -> str:
    return slack.people.trigger(slack.user(who), view)


def test_a_trigger_opens_one_view_within_three_seconds() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            web = client(slack)
            first = trigger(slack)
            opened = await web.views_open(trigger_id=first, view=modal("One", field("name", initial_value="x"), private_metadata="{}"))
            assert opened["view"]["state"]["values"] == {"name": {"name": {"type": "plain_text_input", "value": "x"}}}
            assert (opened["view"]["private_metadata"], opened["view"]["root_view_id"]) == ("{}", opened["view"]["id"])
            assert await refusal(web.views_open(trigger_id=first, view=modal())) == "exchanged_trigger_id"
            late = trigger(slack)
            slack.clock.advance(4)
            assert await refusal(web.views_open(trigger_id=late, view=modal())) == "expired_trigger_id"
            assert await refusal(web.views_open(trigger_id="1.2.3", view=modal())) == "invalid_trigger_id"
            assert slack.modal("ada").title == "One"  # type: ignore[union-attr]
            assert slack.modal("ben") is None

    run(scenario)


@pytest.mark.parametrize(
    "view",
    [
        modal("x" * 25),
        modal("x", {"type": "section"}),
        modal("x", *[{"type": "divider"}] * 101),
        modal("x", private_metadata="x" * 3001),
        modal("x", callback_id="x" * 256),
        {"type": "modal", "title": plain("x"), "blocks": [field("name")]},
        {"type": "home", "blocks": []},
        modal("x", field("name", initial_value="x" * 3001)),
        {"type": "modal", "title": plain("x")},
    ],
)
def test_a_view_that_slack_would_not_take(view: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            assert await refusal(client(slack).views_open(trigger_id=trigger(slack), view=view)) == "invalid_arguments"
            assert slack.modal("ada") is None

    run(scenario)


def test_a_view_is_updated_where_its_hash_still_holds_and_keeps_what_was_typed() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            web = client(slack)
            opened = await web.views_open(trigger_id=trigger(slack), view=modal("One", field("name")))
            view = slack.modal("ada")
            assert view
            slack.people.fill(view, {"name": "bakery"})
            await web.views_update(
                view_id=view.id, hash=opened["view"]["hash"], view=modal("Two", field("name"), field("other", optional=True))
            )
            assert (view.title, view.inputs["name"]["name"]["value"]) == ("Two", "bakery")
            assert await refusal(web.views_update(view_id=view.id, hash=opened["view"]["hash"], view=modal("Three"))) == "hash_conflict"
            assert await refusal(web.views_update(view_id="V0", view=modal("Three"))) == "not_found"

    run(scenario)


def test_three_views_lie_on_one_another_and_not_four() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            web = client(slack)
            await web.views_open(trigger_id=trigger(slack), view=modal("1"))
            for title in ("2", "3"):
                below = slack.modal("ada")
                assert below
                await web.views_push(trigger_id=trigger(slack, view=below.id), view=modal(title))
            top = slack.modal("ada")
            assert top
            assert top.title == "3"
            assert await refusal(web.views_push(trigger_id=trigger(slack, view=top.id), view=modal("4"))) == "push_limit_reached"
            await slack.close("ada", top)
            assert slack.modal("ada").title == "2"  # type: ignore[union-attr]

    run(scenario)


def test_the_client_lets_only_full_and_possible_forms_through() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            app, got = bot(slack), []

            @app.view("make")
            async def made(ack: Any, view: Any) -> None:
                got.append(view["state"]["values"])
                await ack(response_action="update", view=modal("Done", callback_id="make"))

            choice = {"type": "static_select", "action_id": "template", "options": options("static", "vite")}
            boxes = {"type": "checkboxes", "action_id": "more", "options": options("private", "fast")}
            form = modal(
                "New", field("name", max_length=5), field("note", optional=True),
                {"type": "input", "block_id": "template", "label": plain("Template"), "element": choice},
                {"type": "input", "block_id": "more", "label": plain("More"), "optional": True, "element": boxes}, callback_id="make",
            )  # fmt: skip
            async with socket_mode(slack, app):
                await client(slack).views_open(trigger_id=trigger(slack), view=form)
                view = slack.modal("ada")
                assert view
                with pytest.raises(Impossible, match="must be filled in"):
                    await slack.submit("ada", view, {"name": "a"})
                with pytest.raises(Impossible, match="no option"):
                    await slack.submit("ada", view, {"name": "a", "template": "rails"})
                with pytest.raises(Impossible, match="takes 5 characters"):
                    await slack.submit("ada", view, {"name": "abcdef", "template": "vite"})
                with pytest.raises(Impossible, match="no field"):
                    await slack.submit("ada", view, {"colour": "blue"})
                with pytest.raises(Impossible, match="not open"):
                    await slack.submit("ben", view, {})
                await slack.submit("ada", view, {"name": "abc", "template": "VITE", "more": ["fast"]})
                assert got[0]["name"]["name"]["value"] == "abc"
                assert got[0]["note"]["note"]["value"] is None
                assert got[0]["template"]["template"]["selected_option"]["value"] == "vite"
                assert [each["value"] for each in got[0]["more"]["more"]["selected_options"]] == ["fast"]
                assert view.title == "Done"

    run(scenario)


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ({"response_action": "clear"}, None),
        ({"response_action": "push", "view": modal("Next")}, "Next"),
        ({"response_action": "update", "view": modal("x" * 25)}, "Top"),
        ({"response_action": "errors", "errors": {"nowhere": "no"}}, "Top"),
        ({}, "Bottom"),
    ],
)
def test_what_an_acknowledgement_does_with_the_dialog(answer: dict[str, Any], left: str | None) -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            app = bot(slack)

            @app.view("top")
            async def made(ack: Any) -> None:
                await ack(**answer)

            async with socket_mode(slack, app):
                web = client(slack)
                await web.views_open(trigger_id=trigger(slack), view=modal("Bottom"))
                below = slack.modal("ada")
                assert below
                await web.views_push(trigger_id=trigger(slack, view=below.id), view=modal("Top", callback_id="top"))
                top = slack.modal("ada")
                assert top
                done = await slack.submit("ada", top)
                now = slack.modal("ada")
                assert (now.title if now else None) == left
                assert bool(done.error) == (left == "Top")

    run(scenario)


def test_a_home_is_published_to_one_person_and_its_buttons_work() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            app, pressed = bot(slack), []
            button = {"type": "button", "action_id": "open", "text": plain("Open"), "value": "bakery"}

            @app.event("app_home_opened")
            async def opened(event: Any, client: Any) -> None:
                view = {"type": "home", "blocks": [{"type": "actions", "elements": [button]}]}
                await client.views_publish(user_id=event["user"], view=view)

            @app.action("open")
            async def press(ack: Any, body: Any) -> None:
                await ack()
                pressed.append((body["view"]["type"], body["actions"][0]["value"], body["container"]["type"]))

            async with socket_mode(slack, app):
                assert await slack.open_home("ada") is None
                home: View = await slack.until(lambda _: slack.home("ada"))  # type: ignore[assignment]
                assert slack.home("ben") is None
                await slack.click("ada", home, "open")
                assert pressed == [("home", "bakery", "view")]
                await slack.open_home("ada")
                await slack.settled()
                assert slack.delivered("app_home_opened")[1].event["view"]["id"] == home.id

    run(scenario)


def test_a_closed_view_is_told_to_an_app_that_asked() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            app, closed = bot(slack), []

            @app.view_closed("ask")
            async def gone(ack: Any, view: Any) -> None:
                await ack()
                closed.append(view["callback_id"])

            async with socket_mode(slack, app):
                await client(slack).views_open(trigger_id=trigger(slack), view=modal("x", callback_id="ask", notify_on_close=True))
                view = slack.modal("ada")
                assert view
                await slack.close("ada", view)
                assert closed == ["ask"]

    run(scenario)
