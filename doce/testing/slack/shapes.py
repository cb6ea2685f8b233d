"""How things of the world look in answers and events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from doce.testing.slack.things import Channel, File, Message, Session, User, View, Workspace

if TYPE_CHECKING:
    from doce.testing.slack.twin import Slack

Raw = dict[str, Any]


def user(slack: Slack, who: User, scopes: tuple[str, ...] = ()) -> Raw:
    """As users.info answers; the mail address only with its scope."""
    profile: Raw = {
        "real_name": who.real_name, "display_name": who.name, "real_name_normalized": who.real_name, "display_name_normalized": who.name,
        "avatar_hash": "g0",  "status_text": "", "status_emoji": "", "status_expiration": 0, "title": "", "phone": "", "skype": "",
        "team": who.team,
    }  # fmt: skip
    if "users:read.email" in scopes:
        profile["email"] = who.email
    return {
        "id": who.id, "team_id": who.team, "name": who.name, "deleted": who.deleted, "real_name": who.real_name, "tz": who.tz,
        "tz_label": who.tz, "tz_offset": 3600, "profile": profile, "is_admin": who.is_admin, "is_owner": False, "is_primary_owner": False,
        "is_restricted": False, "is_ultra_restricted": False, "is_bot": who.is_bot, "is_app_user": False, "updated": 0,
    }  # fmt: skip


def channel(slack: Slack, where: Channel) -> Raw:
    """As conversations.info answers."""
    bot = slack.world.workspaces[where.team].bot_user
    raw: Raw = {
        "id": where.id, "created": where.created, "is_archived": where.archived, "is_im": where.kind == "im",
        "is_mpim": where.kind == "mpim",
        "is_channel": where.kind == "channel", "is_group": where.kind == "group", "is_private": where.kind != "channel",
        "context_team_id": where.team, "updated": where.created * 1000, "is_org_shared": False, "is_ext_shared": False,
    }  # fmt: skip
    if where.kind == "im":
        return raw | {"user": where.user, "is_user_deleted": False, "priority": 0}
    return raw | {
        "name": where.name, "name_normalized": where.name, "creator": where.creator, "is_member": bot in where.members, "is_general": False,
        "topic": {"value": where.topic, "creator": "", "last_set": 0}, "purpose": {"value": "", "creator": "", "last_set": 0},
        "num_members": len(where.members),
    }  # fmt: skip


def message(slack: Slack, seen: Message, *, metadata: bool = True) -> Raw:
    """As conversations.history answers and as events carry it."""
    raw: Raw = {"type": "message", "ts": seen.ts, "text": seen.full_text(), "team": seen.team}
    if seen.user:
        raw["user"] = seen.user
    if seen.subtype:
        raw["subtype"] = seen.subtype
    if seen.bot_id:
        raw |= {"bot_id": seen.bot_id}
    if seen.app_id:
        name = seen.username or slack.app.name
        raw |= {
            "app_id": seen.app_id,
            "bot_profile": {"id": seen.bot_id, "app_id": seen.app_id, "name": name, "deleted": False, "team_id": seen.team},
        }
    if seen.client_id:
        raw["client_msg_id"] = seen.client_id
    if seen.username:
        raw["username"] = seen.username
    if blocks := seen.shown_blocks():
        raw["blocks"] = blocks
    if seen.attachments or seen.unfurls:
        raw["attachments"] = [
            *seen.attachments,
            *({"id": n, "from_url": url, **each} for n, (url, each) in enumerate(seen.unfurls.items(), 1)),
        ]
    if seen.thread_ts:
        raw["thread_ts"] = seen.thread_ts
        if seen.thread_ts != seen.ts and (root := slack.world.posted.get(seen.channel, {}).get(seen.thread_ts)):
            raw["parent_user_id"] = root.user
    if not seen.only_for:
        raw |= thread(slack, seen)
    if seen.files:
        raw |= {"files": [file(slack, slack.world.files[each]) for each in seen.files], "upload": False}
    if seen.reactions:
        raw["reactions"] = [{"name": name, "users": list(users), "count": len(users)} for name, users in seen.reactions.items()]
    if seen.edited:
        raw["edited"] = {"user": seen.user, "ts": seen.edited}
    if seen.stream:
        raw["streaming_state"] = "in_progress" if seen.stream.state == "streaming" else "completed"
    if metadata and seen.metadata:
        raw["metadata"] = seen.metadata
    return raw


def thread(slack: Slack, root: Message) -> Raw:
    """What a root message says of the thread under it; nothing when there is none."""
    replies = slack.world.replies(root.channel, root.ts)
    if not replies:
        return {}
    users = list(dict.fromkeys(each.user or each.bot_id for each in replies))
    return {
        "thread_ts": root.ts, "reply_count": len(replies), "reply_users_count": len(users), "latest_reply": replies[-1].ts,
        "reply_users": users[:5], "is_locked": False, "subscribed": False,
    }  # fmt: skip


def file(slack: Slack, given: File) -> Raw:
    """As files.info answers. Its bytes are at `url_private_download`, for a token only."""
    kind = given.name.rpartition(".")[2].lower() if "." in given.name else "binary"
    base = f"{slack.url}/files-pri/{given.team}-{given.id}"
    return {
        "id": given.id, "created": given.created, "timestamp": given.created, "name": given.name, "title": given.title or given.name,
        "mimetype": given.mimetype, "filetype": kind, "pretty_type": kind.upper(), "user": given.user, "user_team": given.team,
        "editable": False, "size": given.size, "mode": "hosted", "is_external": False, "is_public": True, "public_url_shared": False,
        "url_private": f"{base}/{given.name}", "url_private_download": f"{base}/download/{given.name}", "alt_txt": given.alt_text,
        "permalink": f"{slack.url}/files/{given.user}/{given.id}/{given.name}", "channels": given.channels, "file_access": "visible",
        "has_rich_preview": False, "is_starred": False, "display_as_bot": False, "external_type": "", "comments_count": 0,
        "shares": shares(slack, given),
    }  # fmt: skip


def shares(slack: Slack, given: File) -> Raw:
    """Where a file was posted, by kind of channel and channel."""
    found: Raw = {}
    for channel, ts in given.posts:
        kind = "public" if slack.world.channels[channel].kind == "channel" else "private"
        message = slack.world.posted[channel].get(ts)
        post = {
            "ts": ts,
            "channel_name": slack.world.channels[channel].name,
            "team_id": given.team,
            "share_user_id": given.user,
            "source": "UNKNOWN",
        }
        if message and message.thread_ts:
            post["thread_ts"] = message.thread_ts
        found.setdefault(kind, {}).setdefault(channel, []).append(post)
    return found


def team(where: Workspace) -> Raw:
    """As interactions name the workspace."""
    return {"id": where.id, "domain": where.domain}


def actor(who: User) -> Raw:
    """As interactions name who acted."""
    return {"id": who.id, "username": who.name, "name": who.name, "team_id": who.team}


def view(slack: Slack, seen: View) -> Raw:
    """As views.open answers and as submissions carry it."""
    raw = {
        "callback_id": "",
        "private_metadata": "",
        "clear_on_close": False,
        "notify_on_close": False,
        "close": None,
        "submit": None,
        "external_id": "",
    }
    return raw | seen.raw | {
        "id": seen.id, "team_id": seen.team, "state": {"values": seen.inputs}, "hash": seen.hash, "app_id": slack.app.id,
        "root_view_id": seen.root, "previous_view_id": seen.previous or None, "app_installed_team_id": seen.team,
        "bot_id": slack.world.workspaces[seen.team].bot_id,
    }  # fmt: skip


def session(seen: Session) -> Raw:
    """An agent session in an answer."""
    return {
        "channel_id": seen.channel,
        "thread_ts": seen.thread_ts,
        "status": seen.status,
        "title": seen.title,
        "initiator_user_id": seen.initiator,
    }
