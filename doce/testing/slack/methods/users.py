"""People of the workspace."""

from __future__ import annotations

from doce.testing.slack import shapes
from doce.testing.slack.call import Call, Raw, method
from doce.testing.slack.methods.pages import kinds, page
from doce.testing.slack.refusal import Refused


@method("users.info", scopes="users:read", tier=4, json=False)
def info(call: Call) -> Raw:
    return {"user": shapes.user(call.slack, call.user(), call.token.scopes)}


@method("users.list", scopes="users:read", tier=2, json=False)
def list_(call: Call) -> Raw:
    everybody = [user for user in call.slack.world.users.values() if user.team == call.token.team]
    shown, cursor = page(call, everybody)
    members = [shapes.user(call.slack, user, call.token.scopes) for user in shown]
    return {"members": members, "cache_ts": int(call.slack.clock.now()), "response_metadata": {"next_cursor": cursor}}


@method("users.lookupByEmail", scopes="users:read.email", tier=3, json=False)
def by_email(call: Call) -> Raw:
    for user in call.slack.world.users.values():
        if user.team == call.token.team and user.email == call.text("email"):
            return {"user": shapes.user(call.slack, user, call.token.scopes)}
    raise Refused("users_not_found")


@method("users.conversations", scopes="channels:read groups:read im:read mpim:read", tier=3, json=False)
def conversations(call: Call) -> Raw:
    """Where somebody is, by default the bot."""
    who = call.user().id if call.text("user") else call.workspace.bot_user
    bot = call.workspace.bot_user
    found = [
        channel
        for channel in call.slack.world.channels.values()
        if who in channel.members and channel.kind in kinds(call) and (channel.kind == "channel" or bot in channel.members)
    ]
    shown, cursor = page(call, found)
    return {"channels": [shapes.channel(call.slack, each) for each in shown], "response_metadata": {"next_cursor": cursor}}


@method("team.info", scopes="team:read", tier=3, json=False)
def team(call: Call) -> Raw:
    where = call.workspace
    return {"team": {"id": where.id, "name": where.name, "domain": where.domain, "url": f"{call.slack.url}/"}}


@method("bots.info", scopes="users:read", tier=3, json=False)
def bot(call: Call) -> Raw:
    where = call.workspace
    if call.text("bot", where.bot_id) != where.bot_id:
        raise Refused("bot_not_found")
    app = call.slack.app
    return {"bot": {"id": where.bot_id, "app_id": app.id, "user_id": where.bot_user, "name": app.name, "deleted": not where.installed}}
