"""The app that is tried out: its secrets, what it asked for, and where Slack reaches it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

#: What a bot is given when no manifest says otherwise.
SCOPES = (
    "app_mentions:read", "assistant:write", "channels:history", "channels:join", "channels:read", "chat:write", "chat:write.public",
    "commands",
    "files:read", "files:write", "groups:history", "groups:read", "im:history", "im:read", "im:write", "links:read", "links:write",
    "mpim:history",
    "mpim:read", "reactions:read", "reactions:write", "users:read", "users:read.email",
)  # fmt: skip


@dataclass
class Token:
    """`kind`: bot (of one workspace) or app (level `connections:write`)."""

    value: str
    kind: str
    team: str = ""
    user: str = ""
    scopes: tuple[str, ...] = ()
    revoked: bool = False


@dataclass
class App:
    """One app, installed in any number of workspaces. None: everything is delivered, whether asked for or not."""

    id: str = "A00000001"
    name: str = "doce"
    client_id: str = "1000000000.2000000000"
    client_secret: str = field(default_factory=lambda: secrets.token_hex(16))
    signing_secret: str = field(default_factory=lambda: secrets.token_hex(16))
    verification_token: str = field(default_factory=lambda: secrets.token_hex(12))
    app_token: str = field(default_factory=lambda: f"xapp-1-A00000001-{secrets.token_hex(16)}")
    scopes: tuple[str, ...] = SCOPES
    events: frozenset[str] | None = None
    #: Command → whether users and channels in its text arrive as ids.
    commands: dict[str, bool] | None = None
    #: (type, callback id) → name.
    shortcuts: dict[tuple[str, str], str] | None = None
    unfurls: tuple[str, ...] = ()
    #: Whether it has a home, takes direct messages, and hears of clicks.
    home: bool = True
    messages: bool = True
    interactive: bool = True
    #: Where it is reached over HTTP. Empty: over Socket Mode.
    events_url: str = ""
    commands_url: str = ""
    interactivity_url: str = ""
    redirect_urls: tuple[str, ...] = ()

    @property
    def socket(self) -> bool:
        """Whether it is reached over Socket Mode."""
        return not self.events_url

    def wants(self, event: str) -> bool:
        """Whether it subscribed to an event, by the manifest's name of it."""
        return self.events is None or event in self.events
