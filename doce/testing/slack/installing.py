"""How an app comes into a workspace: the page on which a person agrees, and the code that it leads to."""

from __future__ import annotations

import html
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aiohttp import web

if TYPE_CHECKING:
    from doce.testing.slack.twin import Slack

Raw = dict[str, Any]


class Installing:
    """``/oauth/v2/authorize``."""

    def __init__(self, slack: Slack) -> None:
        self.slack = slack

    async def authorize(self, request: web.Request) -> web.StreamResponse:
        """The page on which a person lets the app into a workspace; agreeing sends them back with a code and the state."""
        asked = {**request.query, **{name: str(value) for name, value in (await request.post()).items()}}
        app = self.slack.app
        redirect = asked.get("redirect_uri") or (app.redirect_urls[0] if app.redirect_urls else "")
        if asked.get("client_id") != app.client_id:
            return web.Response(status=400, text="Invalid client_id parameter")
        if not redirect or (app.redirect_urls and not any(redirect.startswith(each) for each in app.redirect_urls)):
            return web.Response(status=400, text="redirect_uri did not match any configured URIs.")
        scopes = tuple(each for each in asked.get("scope", "").replace(" ", ",").split(",") if each)
        if bad := sorted(set(scopes) - set(app.scopes)):
            return web.Response(status=400, text=f"Invalid permissions requested: {', '.join(bad)}")
        answer = {"state": asked["state"]} if asked.get("state") else {}
        if request.method == "GET" and not asked.get("agree"):
            return web.Response(text=_consent(self.slack, asked, scopes), content_type="text/html")
        if asked.get("agree") == "no":
            answer |= {"error": "access_denied"}
        else:
            team = asked.get("team") or next(iter(self.slack.world.workspaces))
            answer |= {"code": self.slack.grant(team, asked.get("user", ""), scopes or app.scopes, redirect)}
        return web.Response(status=302, headers={"Location": f"{redirect}{'&' if '?' in redirect else '?'}{urlencode(answer)}"})


def _consent(slack: Slack, asked: Raw, scopes: tuple[str, ...]) -> str:
    hidden = "".join(
        f'<input type=hidden name="{html.escape(name)}" value="{html.escape(value)}">' for name, value in asked.items() if name != "team"
    )
    teams = "".join(
        f'<option value="{each.id}"{" selected" if each.id == asked.get("team") else ""}>{html.escape(each.name)}</option>'
        for each in slack.world.workspaces.values()
    )
    wants = "".join(f"<li>{html.escape(each)}</li>" for each in scopes)
    name = html.escape(slack.app.name)
    return (
        f"<!DOCTYPE html><meta charset=utf-8><title>Install {name}</title><body style='font-family:sans-serif;margin:3em'>"
        f"<h1>{name} asks to join a workspace</h1><ul>{wants}</ul><form method=post><select name=team>{teams}</select>{hidden}"
        "<button name=agree value=yes>Allow</button><button name=agree value=no>Cancel</button></form>"
    )


def new_code() -> str:
    """What is given for an agreement, for one exchange."""
    return f"{secrets.randbelow(10**10)}.{secrets.token_hex(16)}"
