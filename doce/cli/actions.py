"""One command for each action, made from its declaration: words, flags, help, and what is asked over HTTP.

An action with words is ``doce WORD``; one without is ``doce NOUN VERB``, as in ``doce jobs cancel 12``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from doce.actions import render
from doce.actions.catalog import actions
from doce.actions.registry import Action, understand
from doce.cli import follow, status, tables
from doce.cli.attaching import attached
from doce.cli.fields import parameter, parsed
from doce.cli.group import LOCAL, Subwords
from doce.cli.printable import printable
from doce.cli.screen import put_json
from doce.client import Call, Doce
from doce.client.calls import at
from doce.errors import BadRequest, DoceError

#: More than the declaration says, for those who read `--help`.
EXAMPLES = {
    "new": (
        'new "a portfolio for a ceramicist"',
        'new "a café menu" --template astro-starter --no-follow',
        "echo a landing page | doce new -",
    ),
    "chat": ('chat ceramic "make it dark"', 'chat ceramic "use this logo" --attach logo.svg'),
    "list": ("list", "list --json | jq -r .items[].slug"),
    "open": ("open ceramic",),
    "deploy": ("deploy ceramic", "deploy ceramic --no-follow --json"),
    "rollback": ("rollback ceramic", "rollback ceramic v2"),
    "stop": ("stop ceramic",),
    "delete": ("delete ceramic", "delete ceramic --yes"),
    "jobs": ("jobs --state failed", "jobs cancel 12", "jobs retry 12"),
    "answer": ("answer ceramic per_123 once",),
}
JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")
YES = click.Option(["-y", "--yes"], is_flag=True, help="Do not ask.")
ATTACH = click.Option(
    ["--attach", "attach"], multiple=True, type=click.Path(exists=True, dir_okay=False), help="A file for the agent; up to five."
)


FILE = click.Argument(["file"], type=click.Path(exists=True, dir_okay=False, path_type=Path))
OUTPUT = click.Option(["-o", "--output"], type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), help="Where to; - prints it.")


def commands() -> dict[str, click.Command]:
    """Every command that asks a running doce, by its word."""
    found: dict[str, click.Command] = {"events": follow.events, "logs": follow.logs, "status": status.status}
    wordless = [one for one in actions().values() if not (one.words or one.browser) and one.name.partition(".")[0] not in LOCAL]
    for one in actions().values():
        for place, word in enumerate(one.words):
            found.setdefault(word, command(one, word, hidden=place > 0))
    for one in wordless:
        noun, _, verb = one.name.partition(".")
        group = found.get(noun)
        if not isinstance(group, click.Group):
            found[noun] = group = _grouped(noun, group)
        group.add_command(transfer(one, _kebab(verb)) if one.about_file else command(one, _kebab(verb)))
    # Words of their own, and together under their noun.
    found["production"] = group = _grouped("production", None)
    for one in actions().values():
        if one.name.startswith("productions."):
            group.add_command(command(one, _kebab(one.name.partition(".")[2])))
    return found


def command(chosen: Action, word: str, *, hidden: bool = False) -> click.Command:
    """The command `word` of an action."""
    positional = [*chosen.positional, *(name for name in chosen.placeholders if name not in chosen.positional)]
    optional = positional == ["project"] and not chosen.danger
    parameters: list[click.Parameter] = [
        parameter(name, chosen.input.model_fields[name], required=_needed(chosen, name, optional), rest=name == positional[-1])
        for name in positional
    ]  # fmt: skip
    flags = [name for name in chosen.input.model_fields if name not in positional and name != "attachments"]
    parameters += [parameter(name, chosen.input.model_fields[name], flag=True) for name in flags]
    if "attachments" in chosen.input.model_fields:
        parameters.append(ATTACH)
    if chosen.name in follow.FOLLOWED:
        parameters.append(follow.FOLLOW)
    parameters += [YES, JSON] if chosen.danger else [JSON]
    return click.Command(
        word, params=parameters, callback=_callback(chosen), help=chosen.summary, short_help=chosen.summary, epilog=_examples(word, chosen),
        hidden=hidden,
    )  # fmt: skip


def _needed(chosen: Action, name: str, optional: bool) -> bool:
    """A word that has to be given: not what the action has a default for, nor a project where the latest will do."""
    return not optional and chosen.input.model_fields[name].is_required()


def _callback(chosen: Action) -> Callable[..., int]:
    def run(as_json: bool, yes: bool = False, follow_it: bool | None = None, attach: Sequence[str] = (), **given: Any) -> int:
        values = {name: value for name, value in parsed(chosen.input, given).items() if value is not None}
        with Doce() as doce:
            if "project" in chosen.input.model_fields and chosen.about_project:
                values.setdefault("project", "") or values.update(project=_latest(doce))
            if attach:
                values["attachments"] = [attached(path) for path in attach]
            call = request(chosen, values)
            if chosen.danger and not yes:
                _confirm(doce, chosen, values)
            answer = doce.send(call)
            if chosen.name in follow.FOLLOWED:
                return follow.work(doce, chosen.name, answer, follow_it=follow_it, as_json=as_json)
            show(chosen, answer, as_json=as_json)
        return 0

    return run


def transfer(chosen: Action, word: str) -> click.Command:
    """The command `word` of an action that takes or gives a file."""
    flags = [name for name in chosen.input.model_fields if name not in chosen.placeholders and name != "path"]
    named = [*chosen.placeholders, *(["path"] if "path" in chosen.input.model_fields else [])]
    parameters: list[click.Parameter] = [parameter(name, chosen.input.model_fields[name]) for name in named]
    parameters += [FILE] if chosen.takes else [OUTPUT]
    parameters += [parameter(name, chosen.input.model_fields[name], flag=True) for name in flags]
    parameters += [JSON] if chosen.takes else []
    return click.Command(word, params=parameters, callback=partial(_transferred, chosen), help=chosen.summary, short_help=chosen.summary)


def _transferred(chosen: Action, file: Path | None = None, output: Path | None = None, as_json: bool = False, **given: Any) -> int:
    values = {name: value for name, value in parsed(chosen.input, given).items() if value is not None}
    if file and "name" in chosen.input.model_fields:
        values.setdefault("name", file.stem if chosen.name == "projects.import" else file.name)
    call = request(chosen, values)
    with Doce() as doce:
        if file:
            show(chosen, doce.send(replace(call, file=file)), as_json=as_json)
        elif output == Path("-"):
            doce.download(call, sys.stdout.buffer)
        else:
            target = output or Path(
                f"{values['project']}.zip" if chosen.name == "projects.export" else Path(list(values.values())[-1]).name
            )
            _fetched(doce, call, target)
    return 0


def _fetched(doce: Doce, call: Call[Any], target: Path) -> None:
    """Into a file beside it and one rename: a download that broke is never taken for a whole one."""
    half = target.with_name(f".{target.name}.part")
    try:
        with half.open("wb") as file:
            size = doce.download(call, file)
        half.replace(target)
    except OSError as error:
        raise DoceError(f"{target} cannot be written: {error.strerror}.", hint="Say another place with --output.") from error
    finally:
        half.unlink(missing_ok=True)
    print(f"{target}: {size:,} bytes")


def request(chosen: Action, values: dict[str, Any]) -> Call[Any]:
    """What is asked over HTTP. Raises UsageError naming the value that does not fit."""
    try:
        given = understand(chosen, values)
    except BadRequest as error:
        raise click.UsageError(printable(str(error))) from None
    said = given.model_dump(mode="json", by_alias=True, exclude_unset=True)
    path = at(chosen.path, **{name: said.pop(name) for name in chosen.placeholders})
    return Call(chosen.method, path, query=said) if chosen.in_query else Call(chosen.method, path, body=said)


def show(chosen: Action, answer: Any, *, as_json: bool) -> None:
    """The answer, as JSON, as a table on a terminal, else in words."""
    if as_json:
        put_json(answer)
        return
    value = chosen.output.model_validate(answer)
    if not (sys.stdout.isatty() and tables.table(value)):
        print(printable(render.plain(chosen.name, value)))
    if chosen.name == "projects.open":
        follow.browse(answer["previewUrl"])


def _latest(doce: Doce) -> str:
    """The project that is meant when none is named: the latest. Said on stderr, where no pipe reads it."""
    items = doce.projects(limit=1)["items"]
    if not items:
        raise BadRequest("There is no project yet.", hint='`doce new "…"` makes one.')
    print(f"(on {items[0]['slug']}, your latest project)", file=sys.stderr)
    return str(items[0]["id"])


def _confirm(doce: Doce, chosen: Action, values: dict[str, Any]) -> None:
    what = chosen.summary.rstrip(".")
    if "project" in values:
        what = f"{what.split()[0]} {printable(str(doce.project(values['project'])['name']))} with everything it has"
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what}? Say --yes: there is nobody here to ask.")
    click.confirm(f"{what}? This cannot be undone.", abort=True)


def _grouped(noun: str, listing: click.Command | None) -> click.Group:
    """The command of a noun as a group that still does by itself what it did."""
    if listing is None:
        return Subwords(noun, help=f"Commands about {noun}.", no_args_is_help=True, hidden=True)
    callback = listing.callback

    @click.pass_context
    def alone(context: click.Context, /, **given: Any) -> Any:
        return None if context.invoked_subcommand or callback is None else callback(**given)

    return Subwords(
        noun, params=listing.params, callback=alone, help=listing.help, epilog=listing.epilog, invoke_without_command=True,
    )  # fmt: skip


def _examples(word: str, chosen: Action) -> str | None:
    lines = EXAMPLES.get(word) or chosen.examples
    if not lines:
        return None
    return "\b\nExamples:\n" + "\n".join(f"  {line}" if "| doce" in line else f"  doce {line}" for line in lines)


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: f"-{found[1].lower()}", name)


def slugs(incomplete: str) -> list[str]:
    """Names of projects that begin so, for shell completion; none when doce is away."""
    try:
        with Doce(timeout_s=1) as doce:
            return [item["slug"] for item in doce.projects(limit=200)["items"] if item["slug"].startswith(incomplete)]
    except DoceError:
        return []
