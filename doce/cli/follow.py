"""Commands that stay and watch: after `new` and `chat`, `events -f`, `logs -f`."""

from __future__ import annotations

import contextlib
import sys
import webbrowser
from collections.abc import Iterable, Iterator
from typing import Any

import click

from doce.cli.asking import Asking
from doce.cli.printable import printable
from doce.cli.screen import Nowhere, Screen, put_json, screen
from doce.cli.watch import Turn, Watch
from doce.client import Doce, Event

#: Actions that a project settles after, and the state it is in then.
SETTLED = {"projects.start": "running", "projects.restart": "running", "projects.halt": "stopped", "projects.delete": "deleted"}
#: Actions that a deployment settles after, and what it is then when all went well.
DEPLOYED = {"productions.deploy": "running", "productions.rollback": "running", "productions.stop": "stopped"}
#: Actions whose work can be watched.
FOLLOWED = {"projects.create", "prompts.add", *SETTLED, *DEPLOYED}
FOLLOW = click.Option(
    ["-f/-d", "--follow/--no-follow", "follow_it"],
    default=None,
    help="Watch until it is done, or return at once [default: watch on a terminal]",
)


@contextlib.contextmanager
def leaving(project: str) -> Iterator[None]:
    """Ctrl-C ends the watching, not the work."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\nThe work goes on. `doce events {project} -f` watches again, `doce stop {project}` stops it.", file=sys.stderr)
        raise click.exceptions.Exit(130) from None


def work(doce: Doce, action: str, answer: dict[str, Any], *, follow_it: bool | None, as_json: bool) -> int:
    """Watch what a new project or prompt becomes; returns the exit code."""
    follow_it = sys.stdout.isatty() and not as_json if follow_it is None else follow_it
    if action in SETTLED:
        return _settle(doce, answer, SETTLED[action], follow_it=follow_it, as_json=as_json)
    if action in DEPLOYED:
        return _deployed(doce, action, answer, follow_it=follow_it, as_json=as_json)
    made = action == "projects.create"
    project = answer if made else doce.project(answer["projectId"])
    name = str(project["slug"])
    if as_json:
        put_json(answer)
    elif made:
        print(printable(f"Making {project['name']} ({name}) with {project['model']}."), flush=True)
    else:
        print(f"Asked {name} (prompt {answer['id']}).", flush=True)
    if not follow_it:
        if not as_json:
            print(f"`doce events {name} -f` watches.")
        return 0
    with leaving(name), contextlib.closing(doce.events(str(project["id"]), after=0 if made else answer["seq"] - 1)) as stream:
        if as_json:
            return _as_json(None if made else answer["id"], stream)
        watch = Watch(screen(), Asking(doce, name, screen()))
        turn = watch.until(None if made else answer["id"], stream)
    if turn is not None and turn.state == "completed" and made:
        print(f'\nChange it with: doce chat {name} "…"', flush=True)
    return code(turn)


def _settle(doce: Doce, project: dict[str, Any], wanted: str, *, follow_it: bool, as_json: bool) -> int:
    """Watch until the project is `wanted`; 1 when it ends up in an error instead."""
    name = str(project["slug"])
    if as_json:
        put_json(project)
    elif not follow_it:
        print(printable(f"{name} · {project['status']}{' · ' + project['step'] if project['step'] else ''}"))
    if not follow_it or project["status"] == wanted:
        return 0
    watch = Watch(Nowhere() if as_json else screen())
    with leaving(name), contextlib.closing(doce.events(str(project["id"]))) as stream:
        for event in stream:
            if event.time < project["updatedAt"]:
                continue
            if as_json:
                put_json(event.envelope())
            watch.take(event)
            if watch.broken:
                return 1
            if event.type == "project.deleted":
                return 0 if wanted == "deleted" else 1
            if event.type == "project.status" and event.payload["status"] == wanted == doce.project(project["id"])["status"]:
                watch.screen.line(f"{name} is {wanted}.")
                return 0
    return 1


def _deployed(doce: Doce, action: str, answer: dict[str, Any], *, follow_it: bool, as_json: bool) -> int:
    """Watch a deployment until it is as it was asked to be, line by line while it builds; 1 when it fails."""
    wanted, builds = DEPLOYED[action], action == "productions.deploy"
    project = doce.project(answer["projectId"])
    name, tell = str(project["slug"]), Nowhere() if as_json else screen()
    if as_json:
        put_json(answer)
    if wanted == answer["status"] == "stopped" and not answer["activeJob"]:
        tell.line(f"{name} is not served.")
        return 0
    if not follow_it:
        tell.line(f"{name}: {answer['step'] or answer['status']}. `doce versions {name}` shows how it goes on.")
        return 0
    with leaving(name), contextlib.closing(doce.events(str(project["id"]), after=answer["seq"])) as stream:
        # The other jobs of a deployment go on after it is live, until old visitors have left.
        if builds and answer["activeJob"]:
            _told_by_job(doce, answer["activeJob"], tell, as_json=as_json)
        for event in stream:
            if event.type != "production.status":
                continue
            if as_json:
                put_json(event.envelope())
            said = event.payload
            tell.busy(said.get("step"))
            if said["status"] == "failed":
                tell.line(f"✗ {said.get('error')}", "red")
                return 1
            if said["status"] == wanted and not said.get("step"):
                tell.line(f"✓ {name} is live: {said['url']}" if said.get("url") else f"✓ {name} is not served any more.", "green")
                return 0
    return 1


def _told_by_job(doce: Doce, job: int, tell: Screen, *, as_json: bool) -> None:
    """What the first job of a deployment writes, to its end."""
    with contextlib.closing(doce.follow_job(job)) as news:
        for one in news:
            if one.line is not None:
                put_json({"job": job, "line": one.line["message"]}) if as_json else tell.line(str(one.line["message"]), "dim")


def code(turn: Turn | None) -> int:
    """A turn's exit code: 0 only when the agent did what it was asked."""
    return 0 if turn is not None and turn.state == "completed" else 1


def _as_json(prompt: str | None, events: Iterable[Event]) -> int:
    def told() -> Iterator[Event]:
        for event in events:
            put_json(event.envelope())
            yield event

    return code(Watch(Nowhere()).until(prompt, told()))


@click.command(epilog="\b\nExamples:\n  doce events ceramic -f\n  doce events ceramic --after 120 --json | jq .type")
@click.argument("project")
@click.option("-f", "--follow", "follow_it", is_flag=True, help="Wait for more until Ctrl-C.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only what comes after this number.", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print each event as one line of JSON.")
def events(project: str, follow_it: bool, after: int, as_json: bool) -> int:
    """Show what happened in a project, and with -f what happens."""
    with Doce() as doce:
        found = doce.project(project)
        watch = Watch(screen())
        with leaving(str(found["slug"])), contextlib.closing(doce.events(str(found["id"]), after, follow_it)) as stream:
            for event in stream:
                if as_json:
                    put_json(event.envelope())
                else:
                    watch.take(event)
        watch.screen.busy(None)
    return 0


@click.command(epilog="\b\nExamples:\n  doce logs ceramic\n  doce logs ceramic -f")
@click.argument("project")
@click.option("-f", "--follow", "follow_it", is_flag=True, help="Wait for more until Ctrl-C.")
@click.option("--offset", type=click.IntRange(min=0), help="From this byte on; left out: the last 64,000 bytes.")
@click.option("--json", "as_json", is_flag=True, help="Print each piece as one line of JSON.")
def logs(project: str, follow_it: bool, offset: int | None, as_json: bool) -> int:
    """Show the log of a project's services."""
    with Doce() as doce:
        found = doce.project(project)
        with leaving(str(found["slug"])), contextlib.closing(doce.logs(str(found["id"]), offset, follow_it)) as stream:
            for piece in stream:
                if as_json:
                    put_json({"offset": piece.offset, "nextOffset": piece.next_offset, "text": piece.text, "truncated": piece.truncated})
                else:
                    sys.stdout.write(printable(piece.text))
                    sys.stdout.flush()
    return 0


def browse(url: str) -> None:
    """Show `url` in the browser of a desktop; a console browser would take the terminal, so it is left alone."""
    if not sys.stdout.isatty():
        return
    with contextlib.suppress(webbrowser.Error):
        browser = webbrowser.get()
        if type(browser) is not webbrowser.GenericBrowser:
            browser.open(url)
