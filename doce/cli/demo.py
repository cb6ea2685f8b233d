"""`doce demo`: runs the story and turns its end into an exit code."""

from __future__ import annotations

import signal
from types import FrameType

import click

from doce.cli.screen import fail, put_json, screen
from doce.demo.run import PROMPT, SECOND, Demo, Wishes
from doce.demo.telling import ToMachine, ToPerson
from doce.errors import DoceError

EXAMPLES = """\b
Examples:
  doce demo
  doce demo "a café menu" --template astro-starter --keep
  doce demo --docker
  doce demo --json | jq -r .step
"""


@click.command(epilog=EXAMPLES)
@click.argument("prompt", default=PROMPT)
@click.option("--prompt2", default=SECOND, show_default=True, help="The change that is asked for afterwards.")
@click.option("--template", help="What to start from: static, astro-starter.")
@click.option("--model", help="Model, as provider/model; the rehearsal when no provider is configured.")
@click.option("--docker", is_flag=True, help="Run the project in containers, as for real use.")
@click.option("--keep", is_flag=True, help="Leave it running, and say where and how to stop it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, and nothing else.")
def demo(prompt: str, prompt2: str, template: str | None, model: str | None, docker: bool, keep: bool, as_json: bool) -> int:
    """See a sentence become a site: real agent, real files, nothing to set up, nothing left behind.

    Without a provider's key the model is the built-in rehearsal: a script, no AI, that edits the site for real.
    """
    telling = ToMachine() if as_json else ToPerson(screen())
    signal.signal(signal.SIGTERM, _interrupt)
    story = Demo(Wishes(prompt, prompt2, template, model, docker, keep), telling)
    code = _told(story, as_json)
    # From here on nothing may cut the cleaning short.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        story.end(kept=keep and code == 0)
    except DoceError as error:
        fail(error, as_json=as_json)
        code = code or 1
    return code


def _told(story: Demo, as_json: bool) -> int:
    try:
        story.run()
    except KeyboardInterrupt:
        put_json({"step": "interrupted"}) if as_json else click.echo("\nInterrupted.", err=True)
        return 130
    except DoceError as error:
        words = story.last_words()
        if as_json:
            put_json({"step": "failed", **error.as_dict(), **({"log": words.splitlines()} if words else {})})
        else:
            fail(error)
            if words:
                click.echo(f"\nThe last lines of its log:\n{words}", err=True)
        return 1
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
