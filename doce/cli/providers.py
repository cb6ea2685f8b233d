"""Providers of models. A key is asked for where nobody sees it, or read from a pipe; never from the command itself."""

from __future__ import annotations

import sys

import click

from doce.cli.group import Subwords
from doce.cli.printable import printable
from doce.cli.screen import put_json
from doce.client import Call, Doce
from doce.client.calls import Wire, at

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _send(method: str, path: str, body: Wire | None = None, **ids: str) -> Wire:
    with Doce() as doce:
        return doce.send(Call[Wire](method, at(path, **ids), body=body))


@click.group(cls=Subwords, invoke_without_command=True)
@JSON
@click.pass_context
def providers(context: click.Context, as_json: bool) -> int | None:
    """List the providers of models; set one up, test it, remove it."""
    if context.invoked_subcommand:
        return None
    items = _send("GET", "/api/providers")["items"]
    if as_json:
        put_json(items)
        return 0
    for one in items:
        key = "key set" if one["hasKey"] else "no key"
        print(printable(" · ".join(part for part in (one["name"], one["baseUrl"] or "", one["source"], key) if part)))
    return 0


@providers.command(
    "set",
    epilog="\b\nExamples:\n  doce providers set openrouter\n  doce providers set ollama --base-url http://localhost:11434/v1 --no-key"
    "\n  doce providers set anthropic < key.txt",
)
@click.argument("name")
@click.option("--base-url", help="Its OpenAI-compatible address; known of openrouter and anthropic.")
@click.option("--no-key", is_flag=True, help="It wants none.")
@JSON
def set_up(name: str, base_url: str | None, no_key: bool, as_json: bool) -> int:
    """Set up a provider; it is asked first whether it takes the key."""
    key = None if no_key else click.prompt("Key", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline().strip()
    body = {"key": key or None, "baseUrl": base_url}
    return _say(_send("POST", "/api/providers/{provider}", body, provider=name), as_json)


@providers.command()
@click.argument("name")
@JSON
def test(name: str, as_json: bool) -> int:
    """Ask a provider whether it still takes its key."""
    return _say(_send("POST", "/api/providers/{provider}/test", provider=name), as_json)


@providers.command()
@click.argument("name")
@JSON
def remove(name: str, as_json: bool) -> int:
    """Forget a provider and its key."""
    return _say(_send("DELETE", "/api/providers/{provider}", provider=name), as_json)


def _say(answer: Wire, as_json: bool) -> int:
    if as_json:
        put_json(answer)
    else:
        print(printable(answer["message"]))
    return 0
