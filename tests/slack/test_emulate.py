"""doce's installing and uploading against a Slack that others wrote: npm `emulate`, a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import peewee
import pytest

from doce.settings import Settings, load
from doce.toolchain import Toolchain
from doce_slack.files import upload_text
from doce_slack.manifest import REDIRECT_PATH, scopes
from doce_slack.posting import Place as Thread
from tests.actions.conftest import running

from .served_door import PUBLIC, Place, placed
from .test_install import begin

PACKAGE = "emulate@0.12.2"
CLIENT, SECRET = "12345.67890", "0123456789abcdef" * 2
pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.system]


@pytest.fixture(scope="module")
def emulate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where it answers."""
    folder = tmp_path_factory.mktemp("emulate")
    chain = Toolchain(load().cache, path="")
    chain.ensure("node")
    environment = {**os.environ, "PATH": f"{chain.bin_path()}{os.pathsep}{os.environ['PATH']}"}
    (folder / "package.json").write_text("{}")
    # By its own path: what npm's link leads to looks for its parts beside itself.
    subprocess.run(
        [*chain._npm(), "install", "--no-audit", "--no-fund", PACKAGE], cwd=folder, env=environment, check=True, capture_output=True
    )
    app = {
        "client_id": CLIENT, "client_secret": SECRET, "app_id": "A000000001", "name": "doce", "redirect_uris": [PUBLIC + REDIRECT_PATH],
        "scopes": scopes(Settings(public_url=PUBLIC)), "bot_name": "doce",
    }  # fmt: skip
    seed = {"team": {"name": "Acme", "domain": "acme"}, "users": [{"name": "developer"}], "channels": [{"name": "general"}]}
    (folder / "seed.json").write_text(json.dumps({"slack": {**seed, "oauth_apps": [app], "strict_scopes": True}}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["node", "node_modules/emulate/dist/index.js", "start", "-p", str(port), "-s", "slack", "--seed", "seed.json"]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                if "Ready" in line:
                    break
            assert said, "it ended"
            assert "Ready" in said[-1], "".join(said)
            yield f"http://localhost:{port}"
        finally:
            process.terminate()


@contextlib.contextmanager
def doce(folder: Path, url: str) -> Iterator[Place]:
    with placed(folder, slack_client_id=CLIENT, slack_client_secret=SECRET, token=False, slack_api_url=f"{url}/api/") as place:
        yield place


def agree(link: str) -> str:
    """Choose the one person there is; where the browser is sent back to: path and query."""
    with httpx.Client(trust_env=False) as browser:
        page = browser.get(link)
        assert page.status_code == 200, page.text
        form = re.search(r"<form[^>]*action=\"([^\"]+)\".*?</form>", page.text, re.DOTALL)
        assert form, page.text
        fields = dict(re.findall(r"<input[^>]*name=\"([^\"]+)\"[^>]*value=\"([^\"]*)\"", form[0]))
        to = unescape(form[1])
        answer = browser.post(
            to if to.startswith("http") else link.split("/oauth")[0] + to, data={name: unescape(value) for name, value in fields.items()}
        )
    assert answer.status_code == 302, answer.text
    back = answer.headers["location"]
    assert back.startswith(PUBLIC + REDIRECT_PATH)
    return str(back.removeprefix(PUBLIC))


def test_installing_and_uploading(db: peewee.SqliteDatabase, tmp_path: Path, emulate: str) -> None:
    with doce(tmp_path, emulate) as place:
        root = place.sign_in("root", "admin")
        link = begin(root)
        assert link.startswith(f"{emulate}/oauth/v2/authorize?")
        back = agree(link)
        done = root.get(back)
        assert done.status_code == 200, done.text
        assert "doce is in Acme" in done.text
        (made,) = place.house.services.chats.installations.list("slack")
        assert made.name == "Acme"
        assert made.token.get_secret_value().startswith("xoxb-")
        assert made.bot_user
        assert made.bot_id
        assert set(made.scopes) == set(scopes(place.house.settings))
        again = root.get(back)
        assert again.status_code == 400, "a code and a state are good once"
        _upload(place, made.team, root)


def _upload(place: Place, team: str, root: httpx.Client) -> None:
    """A whole answer as a file in a thread, put there once however often it is asked."""

    async def do() -> dict[str, Any]:
        workspace = await place.door.workspaces.of(team)
        assert workspace
        channels = (await workspace.client.api_call("conversations.list", data={}))["channels"]
        channel = channels[0]["id"]
        await workspace.call("conversations.join", channel=channel)
        card = await workspace.call("chat.postMessage", channel=channel, text="the card of a project")
        chats = place.house.services.chats
        user = place.house.services.users.find("root")
        project = running(place.house, user.id, "a teahouse")
        thread = chats.threads.begin(
            "slack", team, channel, card["ts"], project_id=project.id, user_id=user.id, external_user="U1"
        )  # fmt: skip
        for _ in range(2):
            where = Thread(thread, workspace, chats.messages, place.house.listener.config.app.state.office.do)  # type: ignore[union-attr]
            await where.open()
            await upload_text(where, "answer:prm_1", "answer.md", "# All of it\n" * 500, "The whole answer")
        return dict(await workspace.call("conversations.replies", channel=channel, ts=card["ts"]))

    found = place.run(do())
    files = [file for message in found["messages"] for file in message.get("files", [])]
    assert len(files) == 1, found
    assert files[0]["name"].startswith("answer-")
    assert files[0]["title"] == "The whole answer"
    assert urlsplit(files[0]["url_private"]).path
