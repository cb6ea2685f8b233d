"""The page: what a person sees of messages, and that pressing, typing and filling in work; in Chromium."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright, expect

from doce.testing.slack import Slack

from .driven import EVERYTHING, bot, client, run, socket_mode

pytestmark = pytest.mark.system


@asynccontextmanager
async def browser(slack: Slack, channel: str, thread: str = "") -> AsyncIterator[Page]:
    """The page in a browser; fails for anything that it complains about."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("NOT TESTED: there is no Chromium here (apt-get install chromium)")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page, wrong = await chromium.new_page(viewport={"width": 1400, "height": 900}), []
        page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        await page.goto(f"{slack.url}/?channel={channel}&thread={thread}")
        yield page
        await chromium.close()
        assert wrong == []


def plain(text: str) -> dict[str, str]:
    return {"type": "plain_text", "text": text}


def options(*values: str) -> list[dict[str, Any]]:
    return [{"text": plain(value.capitalize()), "value": value} for value in values]


def asked(name: str, label: str, **element: Any) -> dict[str, Any]:
    """A field of a dialog."""
    made = {"type": "input", "block_id": name, "label": plain(label), "optional": name == "c"}
    return {**made, "element": {"action_id": name, **element}}


HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
WORDS = "*bakery* · :rocket: `code`\n&gt; quoted <https://example.com|words>\n```\nnpm run build\n```"
CONFIRM = {"title": plain("Replace v2?"), "text": {"type": "mrkdwn", "text": "*v3* goes live"}, "confirm": plain("Replace")}
MENU = {"type": "overflow", "action_id": "menu", "options": options("rename", "delete")}
BUTTON = {"type": "button", "action_id": "deploy", "text": plain("Deploy"), "value": "v3", "style": "primary", "confirm": CONFIRM}
MODELS = {"type": "static_select", "action_id": "model", "placeholder": plain("Model"), "options": options("fast", "slow")}
CARD = [
    {"type": "header", "text": plain("bakery")},
    {"type": "section", "text": {"type": "mrkdwn", "text": WORDS}, "accessory": MENU},
    {"type": "context", "elements": [{"type": "mrkdwn", "text": "by somebody"}]},
    {"type": "divider"},
    {"type": "actions", "elements": [BUTTON, MODELS]},
    {"type": "plan", "title": "Build it", "tasks": [{"task_id": "1", "title": "First", "status": "complete"}]},
]
FIELDS = [
    asked("prompt", "Prompt", type="plain_text_input", multiline=True),
    asked("t", "Template", type="static_select", options=options("static", "vite")),
    asked("r", "Who", type="radio_buttons", options=options("me", "all")),
    asked("c", "More", type="checkboxes", options=options("private")),
]
MODAL = {"type": "modal", "callback_id": "make", "title": plain("New site"), "submit": plain("Create"), "blocks": FIELDS}
PICTURE = b"<svg xmlns='http://www.w3.org/2000/svg' width='80' height='40'><rect width='80' height='40' fill='teal'/></svg>"
#: Screenshots for whoever looks at a run; an ignored folder.
ARTIFACTS = Path(__file__).parents[3] / "artifacts"


async def shot(page: Page, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    await page.screenshot(path=ARTIFACTS / f"slack-{name}.png")


def test_messages_look_like_slacks_and_nothing_in_them_runs() -> None:
    async def scenario() -> None:
        async with Slack(rate=EVERYTHING) as slack:
            web, channel = client(slack), slack.channel("#sites").id
            root = await web.chat_postMessage(channel=channel, text="card", blocks=CARD)
            await slack.say(
                "ben",
                channel,
                f"{HOSTILE} *bold* @doce",
                thread=root["ts"],
                files=[("a.svg", PICTURE)],
            )
            stream = await web.chat_startStream(
                channel=channel, thread_ts=root["ts"], recipient_team_id=slack.workspace.id, recipient_user_id=slack.user("ben").id,
                chunks=[
                    {"type": "task_update", "id": "1", "title": "Edit index.html", "status": "in_progress", "details": "+3"},
                    {"type": "markdown_text", "text": f"## Plan\n\n- **one** `a`\n- two\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n{HOSTILE}"},
                ],
            )  # fmt: skip
            await slack.react("ada", slack.world.message(channel, root["ts"]), "eyes")
            async with browser(slack, channel, root["ts"]) as page:
                card, replies = page.locator("#messages article").first, page.locator("#replies")
                await expect(card.locator(".header")).to_have_text("bakery")
                await expect(card.locator("pre")).to_contain_text("npm run build")
                await expect(card.locator("blockquote a")).to_have_attribute("href", "https://example.com")
                await expect(card.locator(".reactions")).to_contain_text("👀 1")
                await expect(card.get_by_text("2 replies")).to_be_visible()
                await expect(replies.get_by_text(HOSTILE).first).to_be_visible()
                await expect(replies.locator(".task")).to_contain_text(["First", "Edit index.html"])
                await expect(replies.locator("h2, li b, td")).to_contain_text(["Plan", "one", "1", "2"])
                await expect(replies.locator(".working")).to_be_visible()
                await expect(replies.locator(".file img")).to_be_attached()
                await shot(page, "thread")
                assert await page.locator("script:not([src])").count() == 0
                await web.chat_stopStream(channel=channel, ts=stream["ts"], markdown_text=" The end.")
                await expect(replies.get_by_text("The end.")).to_be_visible()
                await expect(replies.locator(".working")).to_have_count(0)

    run(scenario)


def test_a_person_types_presses_and_fills_in() -> None:
    async def scenario() -> None:
        async with Slack(rate=EVERYTHING) as slack:
            app, got = bot(slack), {}

            @app.command("/doce")
            async def command(ack: Any, body: Any, client: Any) -> None:
                await ack("one moment")
                await client.views_open(trigger_id=body["trigger_id"], view=MODAL)

            @app.view("make")
            async def made(ack: Any, view: Any) -> None:
                got["values"] = view["state"]["values"]
                if view["state"]["values"]["prompt"]["prompt"]["value"] == "bad":
                    await ack(response_action="errors", errors={"prompt": f"not {HOSTILE}"})
                else:
                    await ack()

            @app.action("deploy")
            @app.action("model")
            async def pressed(ack: Any, action: Any) -> None:
                await ack()
                got[action["action_id"]] = action.get("value") or action["selected_option"]["value"]

            @app.event("app_home_opened")
            async def home(event: Any, client: Any) -> None:
                await client.views_publish(
                    user_id=event["user"], view={"type": "home", "blocks": [{"type": "header", "text": plain("Your projects")}]}
                )

            @app.event("message")
            async def message() -> None: ...

            async with socket_mode(slack, app):
                channel = slack.channel("#sites").id
                await client(slack).chat_postMessage(channel=channel, text="card", blocks=CARD)
                async with browser(slack, channel) as page:
                    words = page.get_by_role("textbox", name="Message")
                    await words.fill("hello from the page")
                    await words.press("Enter")
                    await expect(page.locator("#messages article").last).to_contain_text("hello from the page")
                    await page.get_by_role("button", name="Deploy").click()
                    await expect(page.locator("#confirm")).to_contain_text("v3 goes live")
                    await page.get_by_role("button", name="Replace").click()
                    await page.get_by_label("Model").select_option("slow")
                    await slack.until(lambda _: got.get("deploy") == "v3" and got.get("model") == "slow")
                    await words.fill("/doce new a bakery")
                    await words.press("Enter")
                    dialog = page.locator("#modal")
                    await expect(page.get_by_text("Only visible to you")).to_be_visible()
                    await dialog.get_by_label("Prompt").fill("bad")
                    await dialog.get_by_role("combobox").select_option("vite")
                    await dialog.get_by_role("button", name="Create").click()
                    await expect(dialog.get_by_role("alert")).to_contain_text("'Who' must be filled in")
                    await dialog.get_by_text("All").click()
                    await dialog.get_by_text("Private").click()
                    await dialog.get_by_role("button", name="Create").click()
                    await expect(dialog.get_by_text(f"not {HOSTILE}")).to_be_visible()
                    await shot(page, "dialog")
                    await dialog.get_by_label("Prompt").fill("a bakery")
                    await dialog.get_by_role("button", name="Create").click()
                    await expect(dialog).to_be_hidden()
                    values = got["values"]
                    assert values["prompt"]["prompt"]["value"] == "a bakery"
                    assert values["t"]["t"]["selected_option"]["value"] == "vite"
                    assert values["r"]["r"]["selected_option"]["value"] == "all"
                    assert [each["value"] for each in values["c"]["c"]["selected_options"]] == ["private"]
                    await page.get_by_role("button", name="doce — Home").click()
                    await expect(page.get_by_text("Your projects")).to_be_visible()

    run(scenario)
