"""What actions work with; the composition root fills it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from doce.auth.attempts import Attempts
from doce.auth.identities import Identities
from doce.auth.sessions import Sessions
from doce.auth.users import ApiTokens, Users
from doce.chats.chats import Chats
from doce.clock import Clock
from doce.events.feed import Feed
from doce.llm.catalog import Catalog
from doce.llm.providers import Providers
from doce.opencode.client import OpenCode
from doce.presence.presence import Presence
from doce.productions.deployments import Productions
from doce.projects.arrivals import Arrivals
from doce.projects.incoming import Incoming
from doce.projects.lifecycle import Projects
from doce.projects.members import Members
from doce.projects.prompts import PromptStore
from doce.projects.requests import Requests
from doce.projects.views import ProjectView
from doce.settings import Settings
from doce.upkeep.monitor import Monitor


@dataclass(frozen=True)
class Services:
    """Everything an action may use."""

    settings: Settings
    clock: Clock
    users: Users
    tokens: ApiTokens
    sessions: Sessions
    identities: Identities
    attempts: Attempts
    projects: Projects
    members: Members
    prompts: PromptStore
    requests: Requests
    catalog: Catalog
    providers: Providers
    feed: Feed
    presence: Presence
    monitor: Monitor
    productions: Productions
    incoming: Incoming
    arrivals: Arrivals
    chats: Chats
    #: A client of a project's agent.
    agent: Callable[[ProjectView], OpenCode]
