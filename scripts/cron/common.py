"""What the cron scripts share: quiet on success, one line and exit code 1 on failure, never twice at a time.

They need `doce` installed and DOCE_URL and DOCE_TOKEN set (`doce tokens create --name cron` makes a token); on the machine of doce itself,
with its data folder, neither is needed.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, NoReturn

from doce.client import Doce
from doce.errors import DoceError, Unavailable
from doce.settings import load

#: Work that does it: the parsed words, and the client. Returns what is wrong, in a sentence; None when all is well.
Work = Callable[[Doce, argparse.Namespace], str | None]


def arguments(script: str, text: str | None) -> argparse.ArgumentParser:
    """The words of a script, explained by its docstring; each has `--timeout`."""
    made = argparse.ArgumentParser(
        prog=Path(script).name, description=text, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    made.add_argument("--timeout", type=_minutes, default=60, metavar="MINUTES", help="give up waiting after this long [60]")
    return made


def run(words: argparse.ArgumentParser, work: Work) -> NoReturn:
    """Do `work` and exit: 0 in silence, also when the same work is under way already; 1 with one line on stderr; 2 for wrong words."""
    given = words.parse_args()
    if not (held := _alone(words.prog, sys.argv[1:])):
        sys.exit(0)
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(given.timeout * 60)
    try:
        with held, Doce() as doce:
            wrong = work(doce, given)
    except _TooLong:
        wrong = f"it did not end within {given.timeout} min. The work goes on in doce; `doce jobs` shows it."
    except (DoceError, OSError) as error:
        wrong = str(error)
    except KeyboardInterrupt:
        sys.exit(130)
    if wrong:
        print(f"{words.prog}: {' '.join(wrong.split())}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


def deployed(doce: Doce, project: str) -> str | None:
    """Deploy and wait: None once the new version is live. One that is under way already is waited for first."""
    view = doce.production(project)
    if view["activeJob"]:
        _settled(doce, view["projectId"], view["seq"])
    view = doce.deploy(project)
    error = _settled(doce, view["projectId"], view["seq"])
    return f"{project} was not deployed: {error}" if error else None


def asked(doce: Doce, project: str, text: str, model: str | None) -> str | None:
    """Ask and wait: None once the agent has done it."""
    prompt = doce.chat(project, text, model=model)
    for event in doce.events(prompt["projectId"], after=prompt["seq"] - 1):
        if event.prompt_id != prompt["id"]:
            continue
        if event.type == "chat.prompt.completed":
            return None
        if event.type in ("chat.prompt.failed", "chat.prompt.stopped", "chat.prompt.interrupted", "chat.prompt.removed"):
            how, why = event.type.rpartition(".")[2], event.payload.get("error") or ""
            return f"the prompt to {project} was {how}. {why}" if how != "failed" else f"the prompt to {project} failed. {why}"
    raise Unavailable(f"{project} is gone.")


def _settled(doce: Doce, project_id: str, seq: int) -> str | None:
    """Wait for a pipeline; what went wrong, None when its version is live."""
    for event in doce.events(project_id, after=seq):
        if event.type == "production.status":
            if event.payload["status"] == "failed":
                return str(event.payload.get("error") or "it failed.")
            if event.payload["status"] in ("running", "stopped") and not event.payload.get("step"):
                return None if event.payload["status"] == "running" else "it was taken off meanwhile."
    raise Unavailable("The project is gone.")


def _alone(name: str, words: list[str]) -> IO[str] | None:
    """A lock on this script with these words against this doce, kept while the file is open; None when somebody has it."""
    place = load().cache / "locks"
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    which = "\0".join([name, os.environ.get("DOCE_URL", ""), *words])
    file = (place / f"{name}-{hashlib.sha256(which.encode()).hexdigest()[:16]}.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


class _TooLong(Exception):
    """The time is up."""


def _too_long(_number: int, _frame: object) -> NoReturn:
    raise _TooLong


def _minutes(word: str) -> int:
    if not (word.isascii() and word.isdigit() and 1 <= int(word) <= 24 * 60):
        raise argparse.ArgumentTypeError("a number of minutes between 1 and 1440")
    return int(word)
