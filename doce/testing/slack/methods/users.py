"""People of the workspace."""

from __future__ import annotations

from doce.testing.slack import shapes
from doce.testing.slack.call import Call, Raw, method
from doce.testing.slack.methods.pages import page


@method("users.info", scopes="users:read", tier=4)
def info(call: Call) -> Raw:
    return {"user": shapes.user(call.slack, call.user(), call.token.scopes)}


@method("users.list", scopes="users:read", tier=2)
def list_(call: Call) -> Raw:
    everybody = [user for user in call.slack.world.users.values() if user.team == call.token.team]
    shown, cursor = page(call, everybody)
    members = [shapes.user(call.slack, user, call.token.scopes) for user in shown]
    return {"members": members, "cache_ts": int(call.slack.clock.now()), "response_metadata": {"next_cursor": cursor}}
