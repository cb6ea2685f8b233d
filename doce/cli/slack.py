"""doce slack: the app's manifest, whether all is well, the workspaces doce is in."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import click

from doce.cli.group import Subwords
from doce.cli.printable import printable
from doce.cli.screen import put_json, screen
from doce.client import Call, Doce
from doce.client.calls import Wire, at
from doce.errors import Unavailable
from doce.settings import load

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
MARKS = {"right": ("✓", "green"), "wrong": ("✗", "bold red"), "off": ("–", "yellow")}


def _bot(module: str) -> Any:
    """A module of the bot. Raises Unavailable where its libraries are missing."""
    try:
        return import_module(f"doce_slack.{module}")
    except ImportError as error:
        raise Unavailable(
            f"The libraries for Slack are not installed ({error.name} is missing).", hint="Install them: pip install 'doce[slack]'."
        ) from None


@click.group(cls=Subwords)
def slack() -> None:
    """doce in Slack: make its app, see that all is well."""


@slack.command(
    epilog="\b\nExamples:\n  doce slack manifest > manifest.json\n  DOCE_PUBLIC_URL=https://doce.example.com doce slack manifest --http"
)
@click.option("--http", is_flag=True, help="Slack sends requests to DOCE_PUBLIC_URL, in place of Socket Mode.")
@click.option("--no-agent", is_flag=True, help="Without Slack's own places for agents, for a workspace that does not have them.")
@click.option("--json", "as_json", is_flag=True, help="On one line, for a program.")
def manifest(http: bool, no_agent: bool, as_json: bool) -> int:
    """Print the app's manifest (JSON), to paste at api.slack.com/apps: Create New App, From a manifest."""
    made = _bot("manifest").manifest(load(), http=http, agent=not no_agent)
    if as_json:
        put_json(made)
    else:
        click.echo(json.dumps(made, indent=2, ensure_ascii=False))
    return 0


@slack.command(epilog="\b\nExamples:\n  doce slack check\n  doce slack check --json | jq -r '.found[] | select(.state == \"wrong\").said'")
@JSON
def check(as_json: bool) -> int:
    """Ask Slack whether tokens, scopes and the connection are right; says what to do. Needs no running doce."""
    from doce.doctor import slack_findings

    found = slack_findings(load())
    good = all(one.state != "wrong" for one in found)
    if as_json:
        put_json({"ok": good, "found": [one.as_dict() for one in found]})
        return 0 if good else 1
    shown = screen()
    for one in found:
        mark, style = MARKS[one.state]
        shown.line(f"{mark} {one.name}: {one.said}", style)
        if one.hint:
            shown.line(f"    {one.hint}")
    wrong = sum(one.state == "wrong" for one in found)
    shown.line()
    shown.line("Ready." if good else f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong.")
    return 0 if good else 1


@slack.group(cls=Subwords, invoke_without_command=True)
@JSON
@click.pass_context
def workspaces(context: click.Context, as_json: bool) -> int | None:
    """List the workspaces that doce was installed in; forget one."""
    if context.invoked_subcommand:
        return None
    items = _send("GET", "/api/workspaces")["items"]
    if as_json:
        put_json(items)
        return 0
    for one in items:
        print(printable(f"{one['team']} · {one['name']} · {len(one['scopes'])} scopes · installed by {one['installedBy'] or '?'}"))
    if not items:
        print(
            "None was installed over the web. An admin begins at /slack/install; the workspace of DOCE_SLACK_BOT_TOKEN needs no installing."
        )
    return 0


@workspaces.command()
@click.argument("team")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@JSON
def remove(team: str, yes: bool, as_json: bool) -> int:
    """Forget a workspace: its token is deleted, its threads are told nothing more. Projects stay."""
    if not yes:
        click.confirm(f"Forget {team}?", abort=True)
    answer = _send("DELETE", "/api/workspaces/{team}", team=team)
    if as_json:
        put_json(answer)
    else:
        print(printable(answer["message"]))
    return 0


def _send(method: str, path: str, **ids: str) -> Wire:
    with Doce() as doce:
        return doce.send(Call[Wire](method, at(path, **ids)))
