"""What Slack delivers, as values: what it is about, and what makes it this one and no other. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from doce_slack.text import unescaped

#: Subtypes of messages that are somebody's words.
SPOKEN = (None, "file_share", "thread_broadcast", "me_message")
#: Events that tell that doce may no longer be in a workspace.
REMOVED = ("app_uninstalled", "tokens_revoked")
#: Buttons that only open something in Slack: nothing to be claimed. `modals` opens them.
OPENERS = ("other", "deny_say", "details", "rollback", "new", "rename", "model", "delete")
#: Shortcuts by kind and callback id, with their names.
SHORTCUTS = {
    ("global", "doce:new"): "New site", ("message", "doce:send"): "Send to doce", ("message", "doce:rollback"): "Roll back to here",
}  # fmt: skip
#: Buttons that only lead somewhere.
LINKS = ("preview", "open", "visit", "thread")
_LINK = re.compile(r"<((?:https?|mailto)[^|>]*)(?:\|([^>]*))?>")
_CHANNEL = re.compile(r"<#[CG][A-Z0-9]+(?:\|([^>]*))?>")
_SPECIAL = re.compile(r"<!([^|>]+)(?:\|([^>]*))?>")
USER = re.compile(r"<@([UW][A-Z0-9]+)(?:\|([^>]*))?>")


@dataclass(frozen=True, slots=True)
class Arrived:
    """Something to claim: see `doce.chats.claims`. `fuller`: it holds more than another delivery of the same may."""

    team: str
    channel: str
    key: str
    lane: str
    place: str
    payload: dict[str, Any] = field(repr=False)
    fuller: bool = False


def arrived(body: dict[str, Any]) -> Arrived | None:
    """What is to be claimed of a request of Slack's; None for what only looks or opens something."""
    if body.get("type") == "event_callback":
        return _event(body)
    team = str(body.get("team_id") or (body.get("team") or {}).get("id") or (body.get("user") or {}).get("team_id") or "")
    if "command" in body:
        trigger = str(body.get("trigger_id") or body.get("response_url"))
        return Arrived(team, str(body.get("channel_id")), f"slash:{trigger}", f"{team}:slash:{body.get('user_id')}", "", body)
    if body.get("type") == "block_actions":
        return _click(body, team)
    if body.get("type") == "view_submission":
        view = body["view"]
        return Arrived(team, "", f"view:{view['id']}:{view.get('hash', '')}", f"{team}:view:{view['id']}", "", body)
    return None


def _event(body: dict[str, Any]) -> Arrived | None:
    event, team = body.get("event") or {}, str(body.get("team_id", ""))
    kind, channel = event.get("type"), str(event.get("channel") or "")
    if kind in ("message", "app_mention"):
        return _message(body, event, team, channel)
    if kind == "reaction_added" and (event.get("item") or {}).get("type") == "message":
        item = event["item"]
        key = f"reaction:{item['ts']}:{event.get('user')}:{event.get('reaction')}:{event.get('event_ts')}"
        return Arrived(team, item["channel"], key, f"{team}:{item['channel']}:{item['ts']}", _place(event.get("event_ts")), body)
    if kind == "agent_session_stopped":
        thread = str(event.get("thread_ts") or "")
        at = event.get("event_ts") or body.get("event_id")
        return Arrived(team, channel, f"stopped:{thread}:{at}", f"{team}:{channel}:{thread}", _place(event.get("event_ts")), body)
    if kind in REMOVED:
        return Arrived(team, "", f"removed:{body.get('event_id')}", f"{team}:removed", "", body)
    return None


def _message(body: dict[str, Any], event: dict[str, Any], team: str, channel: str) -> Arrived | None:
    subtype = event.get("subtype")
    if subtype == "message_changed":
        now, before = event.get("message") or {}, event.get("previous_message") or {}
        if now.get("bot_id") or (now.get("text") == before.get("text") and not removed(event)):
            return None  # an unfurl of Slack's own
        at = (now.get("edited") or {}).get("ts") or event.get("event_ts")
        return Arrived(team, channel, f"edit:{now.get('ts')}:{at}", _lane(team, channel, now), _place(event.get("event_ts")), body)
    if subtype == "message_deleted":
        gone = event.get("previous_message") or {}
        key = f"delete:{event.get('deleted_ts')}"
        return Arrived(
            team, channel, key, _lane(team, channel, {"ts": event.get("deleted_ts"), **gone}), _place(event.get("event_ts")), body
        )
    if subtype not in SPOKEN or event.get("bot_id") or event.get("hidden") or not event.get("user"):
        return None
    ts = str(event["ts"])
    return Arrived(team, channel, ts, _lane(team, channel, event), _place(ts), body, fuller=bool(event.get("files")))


def removed(event: dict[str, Any]) -> bool:
    """A message with answers leaves a stone where it was: that is a change, too."""
    return (event.get("message") or {}).get("subtype") == "tombstone"


def _click(body: dict[str, Any], team: str) -> Arrived | None:
    if not body.get("actions"):
        return None
    name, _ = action(body)
    if name in OPENERS or name in LINKS:
        return None
    container = body.get("container") or {}
    channel = str((body.get("channel") or {}).get("id") or container.get("channel_id") or "")
    root = str(container.get("thread_ts") or (body.get("message") or {}).get("thread_ts") or container.get("message_ts") or "")
    at = str(body["actions"][0].get("action_ts") or "")
    view = (body.get("view") or {}).get("id")
    lane = f"{team}:{channel}:{root}" if root else f"{team}:view:{view}" if view else f"{team}:click:{body.get('trigger_id')}"
    return Arrived(team, channel, f"click:{body.get('trigger_id') or at}", lane, _place(at), body)


def action(body: dict[str, Any]) -> tuple[str, str]:
    """(name of the button without its prefix, its value) of a click."""
    first = body["actions"][0]
    name = str(first.get("action_id", "")).removeprefix("doce:")
    chosen = first.get("selected_option") or {}
    value = str(chosen.get("value") or first.get("value") or "")
    if name == "menu":
        # What is chosen in a menu is a button like any other.
        name, _, value = value.partition(":")
    return name, value


def _lane(team: str, channel: str, message: dict[str, Any]) -> str:
    return f"{team}:{channel}:{message.get('thread_ts') or message.get('ts')}"


def _place(ts: Any) -> str:
    """Time stamps of Slack's in their order as text."""
    whole, _, rest = str(ts or "").partition(".")
    return f"{whole:0>12}.{rest:0<6}"


def spoken(text: str, *, bot_user: str, names: dict[str, str] | None = None) -> str:
    """What a person said: without the mention of doce at its beginning, links and people as they would be read."""
    text = re.sub(rf"^\s*<@{re.escape(bot_user)}(?:\|[^>]*)?>[\s:,]*", "", text)
    text = USER.sub(lambda found: f"@{(names or {}).get(found[1]) or found[2] or found[1]}", text)
    text = _LINK.sub(
        lambda found: found[1].removeprefix("mailto:") if found[2] in (None, "", found[1]) else f"{found[2]} ({found[1]})", text
    )
    text = _CHANNEL.sub(lambda found: f"#{found[1] or 'channel'}", text)
    text = _SPECIAL.sub(lambda found: found[2] or f"@{found[1].split('^')[0]}", text)
    return unescaped(text).strip()


def mentions(text: str, bot_user: str) -> bool:
    """Whether it names doce, anywhere."""
    return re.search(rf"<@{re.escape(bot_user)}[|>]", text) is not None
