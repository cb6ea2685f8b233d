"""Who a token is, the address of a socket, installing and leaving."""

from __future__ import annotations

import secrets

from doce.testing.slack.call import Call, Raw, method
from doce.testing.slack.refusal import Refused


@method("api.test", level="none")
def test(call: Call) -> Raw:
    if error := call.text("error"):
        raise Refused(error, args=dict(call.arguments))
    return {"args": dict(call.arguments)}


@method("auth.test")
def whoami(call: Call) -> Raw:
    where = call.workspace
    bot = call.slack.world.users[where.bot_user]
    return {
        "url": f"{call.slack.url}/", "team": where.name, "user": bot.name, "team_id": where.id, "user_id": bot.id, "bot_id": where.bot_id,
        "is_enterprise_install": False,
    }  # fmt: skip


@method("apps.connections.open", scopes="connections:write", level="app")
def connect(call: Call) -> Raw:
    return {"url": call.slack.sockets.address()}


@method("auth.revoke", json=False)
def revoke(call: Call) -> Raw:
    if call.flag("test"):
        return {"revoked": False}
    call.slack.uninstall(call.workspace, told=False)
    return {"revoked": True}


@method("apps.uninstall", level="bot")
def leave(call: Call) -> Raw:
    if (call.text("client_id"), call.text("client_secret")) != (call.slack.app.client_id, call.slack.app.client_secret):
        raise Refused("invalid_client_id")
    call.slack.uninstall(call.workspace)
    return {}


@method("oauth.v2.access", level="none", json=False)
def exchange(call: Call) -> Raw:
    app = call.slack.app
    if call.text("client_id") != app.client_id:
        raise Refused("invalid_client_id")
    if not secrets.compare_digest(call.text("client_secret"), app.client_secret):
        raise Refused("bad_client_secret")
    grant = call.slack.grants.pop(call.text("code"), None)
    if grant is None or call.slack.clock.now() - grant.at > 600:
        raise Refused("invalid_code")
    if grant.redirect and call.text("redirect_uri") not in ("", grant.redirect):
        raise Refused("bad_redirect_uri")
    token = call.slack.install(call.slack.world.workspaces[grant.team], scopes=grant.scopes)
    where = call.slack.world.workspaces[grant.team]
    return {
        "access_token": token, "token_type": "bot", "scope": ",".join(grant.scopes), "bot_user_id": where.bot_user, "app_id": app.id,
        "team": {"id": where.id, "name": where.name}, "enterprise": None, "authed_user": {"id": grant.user}, "is_enterprise_install": False,
    }  # fmt: skip
