"""Commands that need no running doce: doctor, settings, completion, opencode normalize."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class
from pydantic import SecretStr
from pydantic.alias_generators import to_camel

from doce.cli.group import Subwords
from doce.cli.screen import put_json, screen
from doce.settings import PREFIX, Settings, load


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> int:
    """Say what is present, what is missing, and how to get it."""
    from doce.doctor import examine

    findings = examine(load())
    if as_json:
        put_json({"ok": all(found.ok for found in findings), "findings": [found.as_dict() for found in findings]})
    else:
        shown = screen()
        for found in findings:
            shown.line(f"{found.mark} {found.name}: {found.said}", found.style)
            if found.hint:
                shown.line(f"    {found.hint}")
        missing = sum(not found.ok for found in findings)
        shown.line()
        shown.line("Ready." if not missing else f"{missing} required {'thing is' if missing == 1 else 'things are'} missing.")
    return 0 if all(found.ok for found in findings) else 1


@click.group(cls=Subwords, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def settings(context: click.Context, as_json: bool) -> int | None:
    """List the settings as `doce serve` would read them here; `set` and `now` ask the doce that runs."""
    if context.invoked_subcommand:
        return None
    found = load()
    fields = {name: field for name, field in Settings.model_fields.items() if name != "fault"}
    if as_json:
        put_json({PREFIX + name.upper(): _json(getattr(found, name)) for name in fields})
        return 0
    shown = screen()
    for name, field in fields.items():
        value = getattr(found, name)
        shown.line(f"{PREFIX}{name.upper()}={_shown(value)}", "bold" if value != field.default else "")
        shown.line(f"    {field.description}", "dim")
    return 0


@settings.command(
    "set", epilog="\b\nExamples:\n  doce settings set template astro-starter\n  doce settings set model default    (as doce was started)"
)
@click.argument("name")
@click.argument("value")
def change(name: str, value: str) -> int:
    """Change a setting of the doce that runs, at once; `default` goes back to what it was started with."""
    from doce.client import Doce

    field = name.lower().removeprefix(PREFIX.lower()).replace("-", "_")
    with Doce() as doce:
        doce.change_settings(**{to_camel(field): None if value == "default" else _typed(value)})
    click.echo(f"{field} is {'as doce was started' if value == 'default' else value}.")
    return 0


@settings.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def now(as_json: bool) -> int:
    """List the settings of the doce that runs, and which of them can be changed."""
    from doce.client import Doce

    with Doce() as doce:
        items = doce.settings()["items"]
    if as_json:
        put_json(items)
        return 0
    shown = screen()
    for one in items:
        mark = " (changed)" if one["changed"] else " (can be changed)" if one["changeable"] else ""
        shown.line(f"{one['name']}={one['value']}{mark}", "bold" if one["changed"] else "")
    return 0


def _typed(text: str) -> str | int | float:
    """A number where it is one: what doce takes at its type."""
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


def _json(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return "***"
    return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(str(part) for part in value)
    return "" if value is None else str(_json(value))


@click.command(epilog='\b\nExamples:\n  eval "$(doce completion bash)"\n  doce completion fish > ~/.config/fish/completions/doce.fish')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print what makes a shell complete doce's commands, flags and projects."""
    from doce.cli.main import doce

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(doce, {}, "doce", "_DOCE_COMPLETE").source())
    return 0


@click.group()
def opencode() -> None:
    """Look at what OpenCode says."""


@opencode.command(epilog="\b\nExamples:\n  doce opencode normalize recording.sse")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--workspace", help="The agent's directory; left out: what the recording says.")
def normalize(file: Path, workspace: str | None) -> int:
    """Print the normalised events of a recorded event stream, one JSON object a line."""
    from doce.opencode.recording import normalize_file

    for event in normalize_file(file, workspace):
        put_json(event)
    return 0
