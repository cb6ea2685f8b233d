"""argv → command → exit code: 0 done, 1 failed, 2 asked wrongly, 130 left with Ctrl-C."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import click

from doce.cli import screen
from doce.cli.group import Words
from doce.errors import DoceError

FAILED, USAGE, INTERRUPTED = 1, 2, 130


@click.group(cls=Words, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, no_args_is_help=True)
@click.version_option(package_name="doce", prog_name="doce")
def doce() -> None:
    """A sentence becomes a running website that an agent edits while you watch.

    \b
    doce demo                                   see it work, nothing to set up
    doce serve                                  start doce on this machine
    doce new "a portfolio for a ceramicist"     make a site and watch
    doce chat ceramicist "make it dark"         change it
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    # What a command has to say it says itself; `serve` and `worker` turn the log on.
    logging.getLogger("doce").addHandler(logging.NullHandler())
    try:
        code = doce.main(words, prog_name="doce", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        error.show()
        return USAGE
    except click.Abort:
        print(file=sys.stderr)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return FAILED
    except DoceError as error:
        screen.fail(error, as_json="--json" in words)
        return FAILED
