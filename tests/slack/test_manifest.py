"""The manifest asks for what the code uses: nothing less, or doce fails in Slack; nothing more, or nobody should install it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doce.cli.main import main
from doce.errors import BadRequest
from doce.events.vocabulary import PAYLOADS
from doce.settings import Settings, load
from doce.testing.slack import call as twin
from doce.testing.slack import manifest as slacks
from doce.testing.slack import methods as twins_methods
from doce_slack import heard
from doce_slack.manifest import BESIDES, EVENTS, METHODS, SHORTCUTS, UNFURLING, domain, manifest, scopes

assert twins_methods
PACKAGE = Path(heard.__file__).parent
#: Tables that know methods which are not called, or not yet.
TABLES = {"manifest.py", "pace.py", "calls.py"}
METHOD = re.compile(
    r"(agents|api|apps|assistant|auth|bookmarks|bots|canvases|chat|conversations|dnd|emoji|files|oauth|openid|pins|reactions|reminders|"
    r"search|stars|team|usergroups|users|views)(\.[a-zA-Z0-9]+)+"
)
PUBLIC = Settings(public_url="https://doce.example.com")


def constants() -> Iterator[tuple[str, str]]:
    """(file, text) of every text in the bot's source that is not a docstring."""
    for path in sorted(PACKAGE.glob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                yield path.name, node.value


def called() -> set[str]:
    """Methods of the Web API that the source names, and those it calls by slack_sdk's names for them."""
    ours = {*scopes(PUBLIC), *PAYLOADS}
    found = {text for file, text in constants() if file not in TABLES and METHOD.fullmatch(text) and text not in ours}
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                spelled = {name.replace(".", "_"): name for name in {*twin.METHODS, *METHODS}}
                found |= {spelled[node.attr]} if node.attr in spelled else set()
    return found


def test_every_method_that_is_called_is_in_the_table_and_no_other() -> None:
    # Bolt exchanges the code of an installation.
    assert called() | {"oauth.v2.access"} == set(METHODS), "the table METHODS in doce_slack/manifest.py has to say what is called"


def test_every_event_that_is_heard_is_in_the_table_and_no_other() -> None:
    """Slack's names of events, wherever the source compares something with them."""
    names = {name.partition(".")[0]: name for name in slacks.EVENTS}
    said = {text for file, text in constants() if file not in TABLES and text in names}
    # What only the Slack of another time sends, or what is the name of something else as well.
    assert {name.partition(".")[0] for name in EVENTS} == said, "the table EVENTS in doce_slack/manifest.py has to say what is heard"


def test_every_shortcut_that_is_heard_is_in_the_manifest_and_no_other() -> None:
    made = manifest(PUBLIC)["features"]["shortcuts"]
    assert {(one["type"], one["callback_id"]): one["name"] for one in made} == heard.SHORTCUTS
    assert set(SHORTCUTS) == {callback for _, callback in heard.SHORTCUTS}


def test_the_scopes_are_those_that_slack_asks_for() -> None:
    """The twin's tables were written from Slack's documentation, for themselves."""
    for name, kept in METHODS.items():
        found = twin.METHODS.get(name)
        if found is None:
            continue
        asked = set(found.scopes) if found.level == "bot" else set()
        assert set(kept) == asked if len(asked) < 2 else set(kept) & asked, name
    for name, needed in EVENTS.items():
        asked = set(slacks.EVENTS[name].split())
        assert asked <= set(needed) or name == "member_joined_channel", name
    assert set(scopes(PUBLIC)) <= slacks.SCOPES
    assert set(BESIDES) <= set(scopes(Settings()))


@pytest.mark.parametrize("http", [False, True])
@pytest.mark.parametrize("agent", [False, True])
def test_slack_takes_it(http: bool, agent: bool) -> None:
    made = manifest(PUBLIC, http=http, agent=agent)
    assert slacks.check(made) == []
    assert made["settings"]["socket_mode_enabled"] is not http
    assert ("agent_view" in made["features"]) == agent
    urls = set(re.findall(r"https://[^\"]+", json.dumps(made)))
    assert urls == {"https://doce.example.com/slack/oauth_redirect", *(["https://doce.example.com/slack/events"] if http else [])}


def test_over_http_it_needs_an_address() -> None:
    for settings in (Settings(), Settings(public_url="http://doce.example.com")):
        with pytest.raises(BadRequest, match="only over https") as caught:
            manifest(settings, http=True)
        assert "DOCE_PUBLIC_URL" in str(caught.value.hint)


def test_links_are_shown_as_cards_only_where_doce_has_a_name() -> None:
    assert domain(Settings()) is None
    assert domain(Settings(public_url="http://10.0.0.5:8420")) is None
    assert domain(Settings(public_url="http://[::1]:8420")) is None
    assert domain(Settings(public_url="http://doce:8420")) is None
    assert domain(PUBLIC) == "doce.example.com"
    without = manifest(Settings())
    assert "unfurl_domains" not in without["features"]
    assert not set(without["settings"]["event_subscriptions"]["bot_events"]) & set(UNFURLING)
    assert not [one for one in scopes(Settings()) if one.startswith("links:")]


def test_the_command_prints_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DOCE_PUBLIC_URL", "https://doce.example.com")
    assert main(["slack", "manifest"]) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert printed == manifest(load())
    assert main(["slack", "manifest", "--http", "--no-agent", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == manifest(load(), http=True, agent=False)
    monkeypatch.delenv("DOCE_PUBLIC_URL")
    assert main(["slack", "manifest", "--http"]) == 1
    assert "DOCE_PUBLIC_URL" in capsys.readouterr().err
