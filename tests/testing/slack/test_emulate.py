"""The twin beside what others wrote: npm's `emulate` gets the same calls, and what both answer has the same shape."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from doce.settings import load, machine_path
from doce.testing.slack import Slack
from doce.toolchain import Toolchain

from .driven import EVERYTHING

# slack_sdk sends the client's secret in a way that aiohttp means to drop.
pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.filterwarnings("ignore:BasicAuth is deprecated")]

PACKAGE = "emulate@0.12.2"
CLIENT, SECRET, BACK = "1000.2000", "a-secret", "http://127.0.0.1:9/back"
SCOPES = [
    "channels:history", "channels:join", "channels:read", "chat:write", "files:read", "files:write", "reactions:read", "reactions:write",
    "users:read",
]  # fmt: skip

MODAL = {"type": "modal", "title": {"type": "plain_text", "text": "x"}, "blocks": []}

#: What `emulate` says and the twin does not. Slack answers the end of an upload before the message exists, keeps mail addresses
#: for those with that scope, and says the rest in some answers and not in others.
ONLY_THERE = (
    r"^files\.completeUploadExternal\.files\[\]\.shares", r"\.profile\.(email|image_\d+|huddle_.*)$", r"^auth\.test\.app_",
    r"\.(is_open|last_read)$",
    r"^files\..*\.(thread_ts|initial_comment|is_silent_share|reply_count|reply_users_count)$",
)  # fmt: skip


class FormClient(AsyncWebClient):
    """Every call posted, its arguments in the body: `emulate` reads nothing else."""

    async def api_call(self, api_method: str, *, params: Any = None, **more: Any) -> Any:  # type: ignore[override]
        if params is not None:
            more["data"] = {**(more.get("data") or {}), **params}
        return await super().api_call(api_method, **(more | {"http_verb": "POST"}))


class FirstForm(HTMLParser):
    """What a person sends who presses the first button of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action, self.fields, self._done = "", {}, False  # type: tuple[str, dict[str, str], bool]
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        got = {name: value or "" for name, value in attrs}
        if self._done:
            return
        if tag == "form":
            self.action = got.get("action", "")
        elif tag == "select":
            self._select = got["name"]
        elif tag == "option" and self._select not in self.fields:
            self.fields[self._select] = got["value"]
        elif tag in ("input", "button"):
            if got.get("name"):
                self.fields[got["name"]] = got.get("value", "")
            self._done = tag == "button"


@asynccontextmanager
async def emulate(folder: Path) -> AsyncIterator[str]:
    """Its address while it runs."""
    tools = Toolchain(load().cache, path=machine_path()).ensure("node", "npm")
    # A fetched npm is a launcher that only works where it was made; its script works anywhere.
    script = tools["npm"].path.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    npm = [str(tools["node"].path), str(script)] if script.exists() else [str(tools["npm"].path)]
    install = [*npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), PACKAGE]
    await asyncio.to_thread(subprocess.run, install, check=True, capture_output=True, timeout=100)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = {"client_id": CLIENT, "client_secret": SECRET, "app_id": "A00000001", "name": "doce", "redirect_uris": [BACK], "scopes": SCOPES}
    seed = {
        "team": {"name": "Acme", "domain": "acme"}, "users": [{"name": "ada", "real_name": "Ada", "email": "ada@example.com"}],
        "channels": [{"name": "general"}, {"name": "sites"}], "bots": [{"name": "doce"}], "oauth_apps": [app],
    }  # fmt: skip
    (folder / "seed.json").write_text(json.dumps({"slack": seed}), "utf-8")
    script = folder / "node_modules" / "emulate" / "dist" / "index.js"
    argv = [str(tools["node"].path), str(script), "start", "-s", "slack", "-p", str(port), "--seed", str(folder / "seed.json")]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    try:
        assert process.stdout
        async with asyncio.timeout(30):
            while b"Ready" not in (line := await process.stdout.readline()):
                assert line, "emulate ended"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.communicate()


@asynccontextmanager
async def twin() -> AsyncIterator[str]:
    async with Slack(rate=EVERYTHING) as slack:
        slack.app.client_id, slack.app.client_secret, slack.app.redirect_urls = CLIENT, SECRET, (BACK,)
        yield slack.url


async def install(url: str) -> dict[str, Any]:
    """Agree on the page, come back with a code and the state, exchange the code; what that answers."""
    query = {"client_id": CLIENT, "scope": ",".join(SCOPES), "state": "a-state", "redirect_uri": BACK}
    async with aiohttp.ClientSession() as browser:
        async with browser.get(f"{url}/oauth/v2/authorize", params=query) as page:
            assert page.status == 200
            form = FirstForm(await page.text())
        async with browser.post(urljoin(str(page.url), form.action), data=form.fields, allow_redirects=False) as back:
            assert back.status == 302
            came = parse_qs(urlsplit(back.headers["Location"]).query)
    assert came["state"] == ["a-state"]
    web = FormClient(base_url=f"{url}/api/")
    exchange = {"client_id": CLIENT, "client_secret": SECRET, "code": came["code"][0], "redirect_uri": BACK}
    answer = await web.oauth_v2_access(**exchange)
    with pytest.raises(SlackApiError, match="invalid_code"):
        await web.oauth_v2_access(**exchange)
    return dict(answer.data)


async def played(url: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The answers to the same calls, and the codes of the same refusals."""
    answers = {"oauth.v2.access": await install(url)}
    web = FormClient(base_url=f"{url}/api/", token=answers["oauth.v2.access"]["access_token"])

    async def say(name: str, call: Any) -> dict[str, Any]:
        answers[name] = dict((await call).data)
        return answers[name]

    who = await say("auth.test", web.auth_test())
    channels = (await say("conversations.list", web.conversations_list()))["channels"]
    channel = next(each["id"] for each in channels if each["name"] == "sites")
    await say("conversations.join", web.conversations_join(channel=channel))
    await say("conversations.info", web.conversations_info(channel=channel))
    await say("conversations.members", web.conversations_members(channel=channel))
    await say("users.info", web.users_info(user=who["user_id"]))
    await say("users.list", web.users_list())
    root = await say("chat.postMessage", web.chat_postMessage(channel=channel, text="hello"))
    reply = await web.chat_postMessage(channel=channel, text="reply", thread_ts=root["ts"])
    await say("chat.update", web.chat_update(channel=channel, ts=root["ts"], text="hello again"))
    await say("chat.getPermalink", web.chat_getPermalink(channel=channel, message_ts=root["ts"]))
    await say("reactions.add", web.reactions_add(channel=channel, timestamp=root["ts"], name="eyes"))
    await say("reactions.get", web.reactions_get(channel=channel, timestamp=root["ts"]))
    await say("conversations.replies", web.conversations_replies(channel=channel, ts=root["ts"]))
    await say("conversations.history", web.conversations_history(channel=channel))
    begun = await say("files.getUploadURLExternal", web.files_getUploadURLExternal(filename="a.txt", length=5))
    async with aiohttp.ClientSession() as session, session.post(begun["upload_url"], data=b"hello") as put:
        assert put.status == 200
    given: Any = {
        "files": [{"id": begun["file_id"], "title": "A"}],
        "channel_id": channel,
        "thread_ts": root["ts"],
        "initial_comment": "see",
    }
    await say("files.completeUploadExternal", web.files_completeUploadExternal(**given))
    file = await say("files.info", web.files_info(file=begun["file_id"]))
    bearer, address = {"Authorization": f"Bearer {web.token}"}, file["file"]["url_private_download"]
    async with aiohttp.ClientSession(headers=bearer) as session, session.get(address) as got:
        assert (got.status, await got.read()) == (200, b"hello")
    thread = await web.conversations_replies(channel=channel, ts=root["ts"])
    assert [each.get("text") for each in thread["messages"]] == ["hello again", "reply", "see"]

    async def code(call: Any) -> str:
        with pytest.raises(SlackApiError) as no:
            await call
        return str(no.value.response["error"])

    refusals = {
        "no such channel": await code(web.chat_postMessage(channel="C0NOPE", text="x")),
        "no text": await code(web.api_call("chat.postMessage", data={"channel": channel})),
        "no such message": await code(web.chat_update(channel=channel, ts="1.000001", text="x")),
        "reacted already": await code(web.reactions_add(channel=channel, timestamp=root["ts"], name="eyes")),
        "no such reaction": await code(web.reactions_remove(channel=channel, timestamp=root["ts"], name="tada")),
        "no such user": await code(web.users_info(user="U0NOPE")),
        "no such file": await code(web.files_info(file="F0NOPE")),
        "no such trigger": await code(web.views_open(trigger_id="1.2.3", view=MODAL)),
        "no token": await code(FormClient(base_url=f"{url}/api/").auth_test()),
    }  # fmt: skip
    await say("chat.delete", web.chat_delete(channel=channel, ts=reply["ts"]))
    return answers, refusals


def shape(value: Any, path: str = "") -> dict[str, str]:
    """The type at every place; of a list, its first item's."""
    if isinstance(value, dict):
        named = {re.sub(r"^[CDGTUF][0-9A-Z]{7,}$", "*", name): each for name, each in value.items()}
        return {place: kind for name, each in named.items() for place, kind in shape(each, f"{path}.{name}").items()}
    if isinstance(value, list):
        return shape(value[0], f"{path}[]") if value else {}
    return {path: "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__}


@pytest.mark.timeout(180)
def test_the_same_calls_have_answers_of_the_same_shape(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with emulate(tmp_path) as theirs, twin() as ours:
            answers, refusals = await played(ours)
            other, others = await played(theirs)
            assert refusals == others
            mine = {f"{name}{place}": kind for name, each in answers.items() for place, kind in shape(each).items()}
            them = {f"{name}{place}": kind for name, each in other.items() for place, kind in shape(each).items()}
            assert [place for place in sorted(them.keys() - mine.keys()) if not re.search("|".join(ONLY_THERE), place)] == []
            assert {place: (mine[place], them[place]) for place in mine.keys() & them.keys() if mine[place] != them[place]} == {}

    asyncio.run(scenario())
