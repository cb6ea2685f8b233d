"""serve, worker, setup: doce itself on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from doce.errors import DoceError
from doce.settings import load

DATA = click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Folder of everything doce keeps (DOCE_DATA).")

RUNTIME = click.option("--runtime", type=click.Choice(["docker", "process"]), help="What runs projects (DOCE_RUNTIME).")


@click.command(epilog="\b\nExamples:\n  doce serve\n  doce serve --port 9000 --data /srv/doce")
@DATA
@click.option("--port", type=click.IntRange(0, 65535), help="Port of doce; 0 takes a free one (DOCE_PORT).")
@click.option("--bind", help="Address to listen on (DOCE_BIND).")
@click.option("--workers", type=click.IntRange(0, 20), help="Jobs at a time; 0 leaves them to `doce worker` (DOCE_WORKERS).")
@RUNTIME
@click.option("--leave-running/--leave-nothing", default=None, help="Sites and agents go on while doce is stopped (DOCE_LEAVE_RUNNING).")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Least important log line (DOCE_LOG_LEVEL).")
def serve(**overrides: Any) -> int:
    """Run doce: HTTP, agents, and the queue's workers, until Ctrl-C."""
    from doce.app import serve as run

    return run(load(**overrides))


@click.command(epilog="\b\nExamples:\n  DOCE_WORKERS=0 doce serve &\n  doce worker --workers 4")
@DATA
@click.option("--workers", type=click.IntRange(1, 20), help="Jobs at a time (DOCE_WORKERS).")
@RUNTIME
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Least important log line (DOCE_LOG_LEVEL).")
def worker(**overrides: Any) -> int:
    """Work on jobs beside a `doce serve` that has the same data folder."""
    from doce.app import work

    return work(load(**overrides))


@click.command(epilog="\b\nExamples:\n  doce setup\n  doce setup --name ada")
@DATA
@click.option("--name", help="Name of the first admin.", default="admin", show_default=True)
@click.option("--password", is_flag=True, help="Ask for a password to sign in with; a token needs none.")
def setup(data: Path | None, name: str, password: bool) -> int:
    """Make the first admin, and a token for the commands of this machine."""
    from doce.app import set_up

    settings = load(data=data)
    secret = click.prompt("Password", hide_input=True, confirmation_prompt=True) if password else None
    try:
        made = set_up(settings, name, secret)
    except OSError as error:
        raise DoceError(f"{settings.data} cannot be written: {error.strerror}.", hint="Set DOCE_DATA to a folder of yours.") from error
    click.echo(f"{made} is the admin of this doce. The token of this machine's commands is in {settings.data / 'cli.json'}.")
    click.echo('Next: `doce serve`, and in another terminal `doce new "a portfolio for a ceramicist"`.')
    return 0
