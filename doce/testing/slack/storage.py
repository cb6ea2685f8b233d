"""The bytes of files: where they are put, and where an app with a token fetches them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from doce.testing.slack.twin import Slack


class Storage:
    """Upload and download addresses."""

    def __init__(self, slack: Slack) -> None:
        self.slack = slack

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """The bytes of a file, raw or as the first part of a form."""
        file = self.slack.world.files.get(request.match_info["file"])
        if file is None or file.content is not None:
            return web.Response(status=404, text="no such upload")
        if request.content_type == "multipart/form-data":
            parts = [each.file.read() for each in (await request.post()).values() if isinstance(each, web.FileField)]
            content = parts[0] if parts else b""
        else:
            content = await request.read()
        if len(content) != file.size:
            return web.Response(status=400, text=f"said {file.size} bytes, sent {len(content)}")
        file.content = content
        self.slack.world.changed()
        return web.Response(text=f"OK - {len(content)}")

    async def download(self, request: web.Request) -> web.StreamResponse:
        """A file's bytes for a token that may read it, or what a browser without a session would get."""
        team, _, id_ = request.match_info["file"].partition("-")
        file = self.slack.world.files.get(id_)
        token = self.slack.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer ").strip())
        readable = token is not None and not token.revoked and token.team == team and "files:read" in token.scopes
        if not readable and request.query.get("seen") != self.slack.page_key:
            return web.Response(
                text="<!DOCTYPE html><html><title>Sign in | Slack</title><body>Sign in to your workspace</body></html>",
                content_type="text/html",
            )
        if file is None or file.team != team or file.content is None or file.deleted:
            return web.Response(status=404, text="not found")
        return web.Response(body=file.content, content_type=file.mimetype)
