"""What an app's manifest asks for: checked as Slack does, and then all that the app gets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from doce.testing.slack.app import App

Raw = Mapping[str, Any]

#: The scope that an event needs; empty: none.
EVENTS = {
    "app_mention": "app_mentions:read", "message.channels": "channels:history", "message.groups": "groups:history",
    "message.im": "im:history",
    "message.mpim": "mpim:history", "app_home_opened": "", "agent_session_stopped": "", "app_context_changed": "",
    "assistant_thread_started": "assistant:write", "assistant_thread_context_changed": "assistant:write",
    "reaction_added": "reactions:read",
    "reaction_removed": "reactions:read", "member_joined_channel": "channels:read groups:read",
    "member_left_channel": "channels:read groups:read",
    "channel_left": "channels:read", "group_left": "groups:read", "channel_archive": "channels:read", "channel_unarchive": "channels:read",
    "channel_deleted": "channels:read", "channel_rename": "channels:read", "channel_created": "channels:read", "file_shared": "files:read",
    "file_deleted": "files:read", "link_shared": "links:read", "app_uninstalled": "", "tokens_revoked": "", "team_join": "users:read",
    "user_change": "users:read",
}  # fmt: skip
SCOPES = {
    "app_mentions:read", "assistant:write", "bookmarks:read", "bookmarks:write", "canvases:read", "canvases:write", "channels:history",
    "channels:join", "channels:manage", "channels:read", "chat:write", "chat:write.customize", "chat:write.public", "code_channels:manage",
    "commands",
    "emoji:read", "files:read", "files:write", "groups:history", "groups:read", "groups:write", "im:history", "im:read", "im:write",
    "incoming-webhook", "links.embed:write", "links:read", "links:write", "metadata.message:read", "mpim:history", "mpim:read",
    "mpim:write",
    "pins:read", "pins:write", "reactions:read", "reactions:write", "remote_files:read", "remote_files:share", "remote_files:write",
    "team:read",
    "usergroups:read", "usergroups:write", "users.profile:read", "users:read", "users:read.email", "users:write",
    "channels:write.invites", "channels:write.topic", "groups:write.invites", "groups:write.topic", "im:write.topic", "mpim:write.topic",
    "dnd:read",
}  # fmt: skip
#: What may stand where; `[]` for what a list holds.
KEYS = {
    "": "_metadata display_information features oauth_config settings",
    "_metadata": "major_version minor_version",
    "display_information": "name description long_description background_color",
    "features": "app_home bot_user shortcuts slash_commands unfurl_domains assistant_view agent_view rich_previews",
    "features.app_home": "home_tab_enabled messages_tab_enabled messages_tab_read_only_enabled",
    "features.bot_user": "display_name always_online",
    "features.shortcuts[]": "name type callback_id description",
    "features.slash_commands[]": "command description url usage_hint should_escape",
    "features.agent_view": "agent_description suggested_prompts actions",
    "features.assistant_view": "assistant_description suggested_prompts",
    "oauth_config": "redirect_urls scopes token_management_enabled pkce_enabled",
    "oauth_config.scopes": "bot user bot_optional user_optional",
    "settings": "allowed_ip_address_ranges event_subscriptions interactivity org_deploy_enabled socket_mode_enabled token_rotation_enabled "
    "is_hosted function_runtime is_mcp_enabled",
    "settings.event_subscriptions": "request_url bot_events user_events metadata_subscriptions",
    "settings.interactivity": "is_enabled request_url message_menu_options_url",
}
#: How long, at least and at most.
LENGTHS = {
    "display_information.name": (1, 35), "display_information.description": (1, 140), "display_information.long_description": (174, 4000),
    "features.bot_user.display_name": (1, 80), "features.slash_commands[].command": (2, 32),
    "features.slash_commands[].description": (1, 2000),
    "features.slash_commands[].usage_hint": (1, 1000), "features.shortcuts[].name": (1, 24), "features.shortcuts[].callback_id": (1, 255),
    "features.shortcuts[].description": (1, 150), "features.agent_view.agent_description": (1, 300),
    "features.assistant_view.assistant_description": (1, 300),
}  # fmt: skip
MANY = {
    "features.slash_commands": 50, "features.shortcuts": 10, "features.unfurl_domains": 5, "settings.event_subscriptions.bot_events": 100,
    "oauth_config.scopes.bot": 255, "oauth_config.redirect_urls": 1000, "features.agent_view.suggested_prompts": 4,
    "features.assistant_view.suggested_prompts": 4,
}  # fmt: skip
NEEDED = (
    "display_information.name", "features.slash_commands[].command", "features.slash_commands[].description", "features.shortcuts[].name",
    "features.shortcuts[].type", "features.shortcuts[].callback_id", "features.shortcuts[].description", "features.bot_user.display_name",
)  # fmt: skip


class BadManifest(AssertionError):
    """Slack would not take this manifest; says everything that is wrong with it."""


def check(manifest: Raw) -> list[str]:
    """What is wrong, a sentence each."""
    wrong: list[str] = []
    _walk(manifest, "", "", wrong)
    if not wrong:
        _agree(manifest, wrong)
    return wrong


def _walk(value: Any, path: str, pattern: str, wrong: list[str]) -> None:
    """`pattern`: the path with `[]` in place of numbers."""
    if pattern in KEYS:
        if not isinstance(value, Mapping):
            wrong.append(f"{path or 'the manifest'} must be an object")
            return
        wrong.extend(f"{path or 'the manifest'} has no field {name}" for name in value if name not in KEYS[pattern].split())
        inside = f"{pattern}." if pattern else ""
        wrong.extend(
            f"{path}.{each[len(inside) :]} is missing"
            for each in NEEDED
            if each.startswith(inside) and "." not in each[len(inside) :] and each[len(inside) :] not in value
        )
        for name, each in value.items():
            _walk(each, f"{path}.{name}".lstrip("."), f"{inside}{name}", wrong)
    elif isinstance(value, list | tuple):
        if len(value) > MANY.get(pattern, 1000):
            wrong.append(f"{path} has more than {MANY[pattern]} items")
        for number, each in enumerate(value):
            _walk(each, f"{path}[{number}]", f"{pattern}[]", wrong)
    elif pattern in LENGTHS:
        least, most = LENGTHS[pattern]
        if not isinstance(value, str) or not least <= len(value) <= most:
            wrong.append(f"{path} must be {least} to {most} characters")
    elif pattern.endswith(("_enabled", "is_enabled", "should_escape", "always_online")) and not isinstance(value, bool):
        wrong.append(f"{path} must be true or false")
    elif pattern.endswith(("url", "redirect_urls[]")) and not re.match(r"https?://", str(value)):
        wrong.append(f"{path} must be an address")


def _agree(manifest: Raw, wrong: list[str]) -> None:
    """Whether its parts fit together: each thing with the scope and the address that it needs."""
    features, settings = manifest.get("features", {}), manifest.get("settings", {})
    scopes = set(manifest.get("oauth_config", {}).get("scopes", {}).get("bot", ()))
    events = settings.get("event_subscriptions", {}).get("bot_events", ())
    socket = settings.get("socket_mode_enabled", False)
    wrong += [f"there is no bot scope {each}" for each in sorted(scopes - SCOPES)]
    for event in events:
        if event not in EVENTS:
            wrong.append(f"there is no bot event {event}")
        elif EVENTS[event] and not scopes & set(EVENTS[event].split()):
            wrong.append(f"the event {event} needs the scope {EVENTS[event].replace(' ', ' or ')}")
    needs = [("slash_commands", "commands"), ("shortcuts", "commands"), ("unfurl_domains", "links:read")]
    needs += [("agent_view", "assistant:write"), ("assistant_view", "assistant:write")]
    wrong += [f"features.{name} needs the scope {scope}" for name, scope in needs if features.get(name) and scope not in scopes]
    if features.get("agent_view") and features.get("assistant_view"):
        wrong.append("features.agent_view and features.assistant_view exclude each other")
    for command in features.get("slash_commands", ()):
        if not re.fullmatch(r"/[a-z0-9_-]+", command["command"]):
            wrong.append(f"{command['command']} is not a command: a slash and lower-case letters")
        if not socket and not command.get("url"):
            wrong.append(f"{command['command']} needs an url, or socket mode")
    wrong += [
        f"a shortcut is global or message, not {each['type']}"
        for each in features.get("shortcuts", ())
        if each["type"] not in ("global", "message")
    ]
    for name, used in (("event_subscriptions", events), ("interactivity", settings.get("interactivity", {}).get("is_enabled"))):
        if used and not socket and not settings.get(name, {}).get("request_url"):
            wrong.append(f"settings.{name} needs a request_url, or socket mode")
    if features.get("shortcuts") and not settings.get("interactivity", {}).get("is_enabled"):
        wrong.append("shortcuts need settings.interactivity.is_enabled")
    if scopes and not features.get("bot_user"):
        wrong.append("bot scopes need features.bot_user")


def apply(app: App, manifest: Raw) -> None:
    """Give the app what the manifest asks for, and nothing else. Raises BadManifest."""
    if wrong := check(manifest):
        raise BadManifest("; ".join(wrong))
    features, settings = manifest.get("features", {}), manifest.get("settings", {})
    oauth = manifest.get("oauth_config", {})
    app.name = features.get("bot_user", {}).get("display_name", app.name)
    app.scopes = tuple(oauth.get("scopes", {}).get("bot", ()))
    app.redirect_urls = tuple(oauth.get("redirect_urls", ()))
    app.events = frozenset(settings.get("event_subscriptions", {}).get("bot_events", ()))
    app.commands = {each["command"]: bool(each.get("should_escape")) for each in features.get("slash_commands", ())}
    app.shortcuts = {(each["type"], each["callback_id"]): each["name"] for each in features.get("shortcuts", ())}
    app.unfurls = tuple(features.get("unfurl_domains", ()))
    app.home = bool(features.get("app_home", {}).get("home_tab_enabled"))
    app.messages = bool(features.get("app_home", {}).get("messages_tab_enabled", True)) or bool(features.get("agent_view"))
    app.interactive = bool(settings.get("interactivity", {}).get("is_enabled"))
