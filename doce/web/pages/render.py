"""Templates to pages, each with the headers that keep a browser from running or framing anything that is not doce's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from starlette.responses import HTMLResponse

from doce import __version__
from doce.web.pages.static import StaticFiles

#: What a page may load: its own files only. No inline script, no inline style, no other host.
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data: blob:",
    "connect-src": "'self'",
    "frame-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
}


class Renderer:
    """Renders the templates of this package."""

    def __init__(self, static: StaticFiles, *, ancestors: Sequence[str] = ()) -> None:
        """`ancestors`: origins whose pages may show these in a frame."""
        self._ancestors = ancestors
        self._environment = Environment(
            loader=PackageLoader("doce.web.pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._environment.globals.update(static=static.url, version=__version__)
        self._environment.filters.update(wire=wire, time=time_element, bytes=size, count="{:,}".format, money=money, camel=to_camel)

    def page(self, name: str, status: int = 200, *, frames: Sequence[str] = (), framed: bool = False, **values: Any) -> HTMLResponse:
        """The template `name` with `values`. `frames`: origins it may show in frames; `framed`: doce may show it in one."""
        # Browsers that know this ignore the older X-Frame-Options, which knows no list.
        policy = {**POLICY, "frame-ancestors": " ".join([*(["'self'"] if framed else []), *self._ancestors]) or "'none'"}
        headers = {"referrer-policy": "same-origin"}
        if frames:
            policy["frame-src"] = " ".join(frames)
        if framed:
            headers["x-frame-options"] = "SAMEORIGIN"
        headers["content-security-policy"] = "; ".join(f"{name} {value}" for name, value in policy.items())
        return HTMLResponse(self._environment.get_template(name).render(values), status, headers)


def wire(value: Any) -> str:
    """What the API would answer, as text for a `data-` attribute; escaped there like any other text."""
    return value.model_dump_json(by_alias=True) if isinstance(value, BaseModel) else json.dumps(value, ensure_ascii=False)


def time_element(at_ms: int | None) -> Markup:
    """A moment: UTC for a browser without scripts, told in words and local time by them."""
    if at_ms is None:
        return Markup("–")
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(timespec="seconds"), at.strftime("%Y-%m-%d %H:%M UTC"))


def size(count: int) -> str:
    """Bytes in words."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def money(dollars: float) -> str:
    return f"${dollars:.2f}" if dollars >= 0.01 or not dollars else f"${dollars:.4f}"
