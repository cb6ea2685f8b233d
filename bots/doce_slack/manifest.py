"""The app's manifest: what Slack has to give doce, from what the code calls and hears. A test holds the tables against the source."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from doce import addresses
from doce.errors import BadRequest
from doce.settings import Settings
from doce_slack import heard

EVENTS_PATH, INSTALL_PATH, REDIRECT_PATH = "/slack/events", "/slack/install", "/slack/oauth_redirect"

#: The scope of Slack's own places for agents, which not every workspace has: doce works without.
AGENT = "assistant:write"
_POST = ("chat:write",)
_HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")
#: Methods of the Web API that doce calls → bot scopes they take.
METHODS: dict[str, tuple[str, ...]] = {
    "agents.sessions.setStatus": (AGENT,),
    "apps.connections.open": (),
    "assistant.threads.setSuggestedPrompts": (AGENT,),
    "auth.test": (),
    "chat.appendStream": _POST,
    "chat.getPermalink": (),
    "chat.postEphemeral": _POST,
    "chat.postMessage": _POST,
    "chat.startStream": _POST,
    "chat.stopStream": _POST,
    "chat.unfurl": ("links:write",),
    "chat.update": _POST,
    "conversations.history": _HISTORY,
    "conversations.info": ("channels:read", "groups:read", "im:read", "mpim:read"),
    "conversations.join": ("channels:join",),
    "conversations.open": ("im:write",),
    "conversations.replies": _HISTORY,
    "files.completeUploadExternal": ("files:write",),
    "files.getUploadURLExternal": ("files:write",),
    "files.info": ("files:read",),
    "oauth.v2.access": (),
    "reactions.add": ("reactions:write",),
    "reactions.remove": ("reactions:write",),
    "users.info": ("users:read",),
    "views.open": (),
    "views.publish": (),
}
#: Bot events that doce listens to → scopes they take.
EVENTS: dict[str, tuple[str, ...]] = {
    "agent_session_stopped": (AGENT,),
    "app_home_opened": (),
    "app_mention": ("app_mentions:read",),
    "app_uninstalled": (),
    "link_shared": ("links:read",),
    "message.channels": ("channels:history",),
    "message.groups": ("groups:history",),
    "message.im": ("im:history",),
    "message.mpim": ("mpim:history",),
    "reaction_added": ("reactions:read",),
    "tokens_revoked": (),
}
#: What is no method and no event: the slash command, and files that come with messages.
BESIDES = ("commands", "files:read")
#: What stands in Slack's menus → what it says below.
SHORTCUTS = {
    "doce:new": "Make a site from a sentence",
    "doce:send": "Give this message to doce, as a new site or for one that is there",
    "doce:rollback": "Put the version of this message online again",
}
#: Methods and events that only make sense for a doce with a domain.
UNFURLING = ("chat.unfurl", "link_shared")

DESCRIPTION = "A sentence becomes a running website that an agent edits while you watch."
LONG = (
    "Type /doce new and what you want. doce makes a site from a template, gives your words to a coding agent, and tells in the thread "
    "what it says and does. Reply to change it, press Deploy to put it online, Rollback to take that back. This doce runs on a machine "
    "of your own."
)


def scopes(settings: Settings) -> list[str]:
    """What a bot token of doce has to be allowed."""
    tables = ({name: kept for name, kept in table.items() if domain(settings) or name not in UNFURLING} for table in (METHODS, EVENTS))
    return sorted({scope for table in tables for needed in table.values() for scope in needed} | set(BESIDES))


def domain(settings: Settings) -> str | None:
    """The host whose links Slack can show as cards; None while doce has no name of its own."""
    host = urlsplit(settings.public_url or "").hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host if "." in host else None
    return None


def manifest(settings: Settings, *, http: bool = False, agent: bool = True) -> dict[str, Any]:
    """The manifest, for Socket Mode unless `http`. `agent`: with Slack's own places for agents, its stop button say.

    Raises BadRequest for `http` without an address that Slack can reach.
    """
    asked = {"request_url": _address(settings) + EVENTS_PATH} if http else {}
    features: dict[str, Any] = {
        "app_home": {
            "home_tab_enabled": True, "messages_tab_enabled": True, "messages_tab_read_only_enabled": False,
        },
        "bot_user": {"display_name": "doce", "always_online": True},
        "slash_commands": [
            {
                "command": "/doce", "description": "Make a site, look at yours, deploy", "usage_hint": "new a portfolio for a ceramicist",
                # People and channels in it come as ids: `/doce allow @ada`.
                "should_escape": True, **({"url": asked["request_url"]} if asked else {}),
            }
        ],
    }  # fmt: skip
    features["shortcuts"] = [
        {"type": kind, "callback_id": callback, "name": name, "description": SHORTCUTS[callback]}
        for (kind, callback), name in heard.SHORTCUTS.items()
    ]
    if agent:
        features["agent_view"] = {"agent_description": DESCRIPTION}
    if host := domain(settings):
        features["unfurl_domains"] = [host]
    events = [name for name in sorted(EVENTS) if _wanted(settings, name, agent)]
    oauth: dict[str, Any] = {"scopes": {"bot": [one for one in scopes(settings) if agent or one != AGENT]}}
    if urlsplit(addresses.doce_url(settings)).scheme == "https":
        oauth = {"redirect_urls": [addresses.doce_url(settings) + REDIRECT_PATH], **oauth}
    return {
        "display_information": {"name": "doce", "description": DESCRIPTION, "long_description": LONG, "background_color": "#24211e"},
        "features": features,
        "oauth_config": oauth,
        "settings": {
            "event_subscriptions": {**asked, "bot_events": events},
            "interactivity": {"is_enabled": True, **asked},
            "org_deploy_enabled": False,
            "socket_mode_enabled": not http,
            "token_rotation_enabled": False,
        },
    }


def _wanted(settings: Settings, event: str, agent: bool) -> bool:
    return (agent or event != "agent_session_stopped") and (event not in UNFURLING or domain(settings) is not None)


def _address(settings: Settings) -> str:
    url = addresses.doce_url(settings)
    if urlsplit(url).scheme != "https":
        raise BadRequest(
            f"Slack reaches doce only over https, and its address is {url}.",
            hint="Set DOCE_PUBLIC_URL to the https:// address of this doce; or leave out --http: Socket Mode needs none.",
        )
    return url
