"""Models to choose from, as far as they are known: providers may take long to say which they have, and nobody waits for that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from doce.actions.account import ModelListing
from doce.actions.registry import ACTIONS, perform
from doce.actions.services import Services
from doce.auth import preferences
from doce.auth.users import Person
from doce.errors import DoceError
from doce_slack.forms import Choices
from doce_slack.workspaces import Do

logger = logging.getLogger(__name__)


class Models:
    """One for all who ask; `look_up` first, then `choices`."""

    def __init__(self, services: Services, do: Do) -> None:
        self._services, self._do = services, do
        #: (id, words) of the models that were there when last looked.
        self._known: list[tuple[str, str]] = []
        self._looking: asyncio.Task[None] | None = None

    async def look_up(self, person: Person, within_s: float, later: Callable[[], None] | None = None) -> None:
        """Ask the providers, waiting so many seconds at most; `later` is called when their answer comes after that."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(person), name="slack-models")
        looking = self._looking
        done, _ = await asyncio.wait({looking}, timeout=within_s)
        if later and not done:
            looking.add_done_callback(lambda _: later())

    async def _look(self, person: Person) -> None:
        try:
            found = await self._do(perform, ACTIONS["models.list"], self._services, person, ModelListing(limit=1000))
        except DoceError as error:
            logger.warning("the models cannot be listed: %s", error.message)
            return
        self._known = [(one.id, f"{one.name} · {one.provider}" if one.name != one.id else one.id) for one in found.items]

    def choices(self, person: Person, chosen: str = "") -> Choices:
        """All that are known; `chosen` or what new projects get is the one to begin with."""
        chosen = chosen or preferences.of(person.id).model or self._services.projects.default_model()
        options = self._known if any(id == chosen for id, _ in self._known) else [(chosen, chosen), *self._known]
        return Choices(options, chosen)
