"""A project's card and its deploys, told: the card is one message that is edited, so is each deploy."""

from __future__ import annotations

from doce.chats.messages import CARD
from doce.errors import NotFound
from doce.events import vocabulary as said
from doce.events.log import Event
from doce.projects.status import ProjectStatus
from doce_slack import build_logs
from doce_slack.blocks import Block
from doce_slack.calls import Lost
from doce_slack.card import card, going, gone
from doce_slack.deploys import UNDER_WAY, Deploy
from doce_slack.request_reporter import RequestReporter
from doce_slack.telling import Telling

#: Between two edits of the card and of a deploy's message, seconds.
CARD_S, DEPLOY_S = 2.0, 1.5
#: The card is not edited while it would wait longer than this and a turn goes on in the thread, seconds.
PATIENCE_S = 1.0


class CardReporter:
    """The card. `due`: it may be out of date."""

    def __init__(self, on: Telling, requests: RequestReporter) -> None:
        self._on, self._requests = on, requests
        self.due, self.deleted = True, False
        self._at = float("-inf")
        self._card: tuple[str, list[Block]] | None = None
        #: what the project was called when it was last seen
        self._name = "The project"

    @property
    def now(self) -> bool:
        """It is due, and may be told."""
        return self.due and (self.deleted or (self._on.monotonic() >= self._at + CARD_S and not self._behind_turns))

    @property
    def _behind_turns(self) -> bool:
        """Turns go on here, and edits have to wait: theirs come first, they say more."""
        place = self._on.place
        return bool(self._on.shown) and place.workspace.calls.pace.soon(place.thread.team, "chat.update") > PATIENCE_S

    def pauses(self) -> list[float]:
        """Seconds until it may be told, if it is due."""
        if not self.due:
            return []
        return [max(PATIENCE_S if self._behind_turns else 0.05, self._at + CARD_S - self._on.monotonic())]

    async def tell(self) -> None:
        """Post it, or edit it when it shows something else now. Raises Refused, Lost."""
        self.due = False
        try:
            text, body = await self._on.do(self._shown)
        except NotFound:
            self.deleted = True
            text, body = gone(self._name)
        if self._card == (text, body):
            return
        message = self._on.place.last(CARD)
        try:
            if message is None or message.ts is None:
                await self._on.place.post(CARD, text, body)
            elif message.state != "closed" and not await self._on.place.update(message, text, body):
                # Somebody removed it: the thread goes on without.
                await self._on.place.closed(message)
        except Lost:
            self.due = True
            raise
        self._card, self._at = (text, body), self._on.monotonic()

    def _shown(self) -> tuple[str, list[Block]]:
        project = self._on.services.projects.get(self._on.thread.project_id)
        self._name = project.name
        if self.deleted:
            return gone(project.name)
        if project.status is ProjectStatus.DELETING:
            return going(project.name)
        production = self._on.services.productions.view(project.id)
        by, asks = self._on.thread.external_user, self._requests.waiting
        return card(self._on.services.settings, project, production, by=by, asks=asks, prompt=project.prompt)


class DeployReporter:
    """Deploys and rollbacks."""

    def __init__(self, on: Telling) -> None:
        self._on = on
        self._now: Deploy | None = None
        self._deploys: list[Deploy] = []
        #: what was shown last of each
        self._last: dict[str, said.ProductionStatus] = {}
        self._at = float("-inf")

    def take(self, payload: said.ProductionStatus, event: Event) -> None:
        """What an event says of one, or that one begins."""
        if self._now is None:
            if payload.status not in UNDER_WAY and not payload.step:
                return
            begun = Deploy(event.seq, event.time, payload)
            known = self._on.place.last(begun.about)
            self._now = begun
            if not (known and known.state == "closed"):
                self._deploys.append(begun)
                self._on.open[begun.about] = event.seq
        self._now.take(payload, event.time)
        if self._now.over:
            self._now = None

    def pauses(self) -> list[float]:
        """Seconds until more may be told, if there is more."""
        behind = any(self._last.get(one.about) is not one.last for one in self._deploys)
        return [max(0.05, self._at + DEPLOY_S - self._on.monotonic())] if behind else []

    async def tell(self) -> None:
        """Post or edit what is due of each. Raises Refused, Lost."""
        for deploy in list(self._deploys):
            if self._last.get(deploy.about) is deploy.last:
                continue
            if not deploy.over and self._on.monotonic() < self._at + DEPLOY_S:
                continue
            last, over = deploy.last, deploy.over
            production = await self._on.do(self._on.services.productions.view, self._on.thread.project_id)
            reason = await self._on.do(build_logs.failed, self._on.thread.project_id) if over and last.status == "failed" else None
            text, body = deploy.shown(production, self._on.thread.project_id, reason)
            message = self._on.place.last(deploy.about)
            if message is None or message.ts is None:
                message = await self._on.place.post(deploy.about, text, body)
            else:
                await self._on.place.update(message, text, body, urgent=over)
            self._last[deploy.about], self._at = last, self._on.monotonic()
            if over:
                await self._on.place.closed(message)
                self._deploys.remove(deploy)
                del self._last[deploy.about]
                self._on.open.pop(deploy.about, None)
