"""What an image registry has: pulled, and put there. The engine does the talking, with the credentials of ``docker login``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from doce.docker.debian import Report
from doce.docker.engine import AWAY, Engine, answering
from doce.errors import Unavailable

NO_IMAGE = "`doce images build` makes doce's own images with no registry; DOCE_NODE_IMAGE and the like name others."
_PUSH = "Is DOCE_REGISTRY right, is it up, and are you logged in (`docker login`)?"
#: Steps of a layer that are told; the hundreds between them are not.
_TOLD = ("Download complete", "Pull complete", "Pushed", "Layer already exists")


def pull(engine: Engine, tag: str, report: Report) -> None:
    """Raises Unavailable with what to do."""
    from docker import errors

    report(f"pulling the image {tag}")
    try:
        with answering():
            _follow(engine.client.api.pull(tag, stream=True, decode=True), f"pulling the image {tag}", report)
            engine.client.images.get(tag)
    except (errors.NotFound, Unavailable) as error:
        raise _not("The image is not there and could not be pulled", tag, error, NO_IMAGE) from error


def push(engine: Engine, tag: str, report: Report) -> None:
    """Raises Unavailable with what to do."""
    from docker import errors

    report(f"pushing the image {tag}")
    try:
        with answering():
            _follow(engine.client.api.push(tag, stream=True, decode=True), f"pushing the image {tag}", report)
    except (errors.NotFound, Unavailable) as error:
        raise _not("The image could not be pushed", tag, error, _PUSH) from error


def _follow(steps: Iterable[dict[str, Any]], what: str, report: Report) -> None:
    for step in steps:
        if step.get("status") in _TOLD:
            report(f"{what}: {step.get('id', '')} {step['status'].lower()}")
        if "error" in step:
            raise Unavailable(str(step["error"])[:300])


def _not(what: str, tag: str, error: Exception, hint: str) -> Unavailable:
    # The engine may have gone away in the middle.
    gone = isinstance(error, Unavailable) and error.hint == AWAY
    reason = error.message if isinstance(error, Unavailable) else error
    return Unavailable(f"{what.replace('The image', f'The image {tag}')}: {reason}", hint=AWAY if gone else hint)
