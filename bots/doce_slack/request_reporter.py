"""What an agent asks people, told: permissions and questions, each a message with buttons until somebody has answered."""

from __future__ import annotations

from doce.chats.messages import Message
from doce.events import vocabulary as said
from doce_slack import asking
from doce_slack.telling import Telling
from doce_slack.workspaces import KIND


class RequestReporter:
    """`ask` and `resolve` as the log says, `tell` what is due."""

    def __init__(self, on: Telling) -> None:
        self._on = on
        self._requests: dict[str, tuple[asking.Request, str | None]] = {}
        self._resolved: dict[str, asking.Resolved] = {}

    def ask(self, request: asking.Request, prompt_id: str | None, seq: int) -> None:
        """Event `seq`: somebody is asked something in a turn."""
        self._requests[request.request_id] = (request, prompt_id)
        self._on.open[asking.about(request)] = seq

    def resolve(self, resolved: asking.Resolved) -> None:
        self._resolved[resolved.request_id] = resolved

    def end(self, prompt_id: str) -> None:
        """The turn was ended while it waited: nobody can answer any more."""
        for id, (request, of) in self._requests.items():
            if of == prompt_id and id not in self._resolved:
                ended = said.PermissionResolved if isinstance(request, said.PermissionRequested) else said.QuestionResolved
                self._resolved[id] = ended(request_id=id, reply="gone")

    @property
    def waiting(self) -> bool:
        """Somebody's answer is waited for."""
        return any(id not in self._resolved for id in self._requests)

    def wait_in(self, prompt_id: str | None) -> bool:
        """The agent waits for somebody's answer in this turn."""
        return any(of == prompt_id and id not in self._resolved for id, (_, of) in self._requests.items())

    async def tell(self, *, begun: bool = False) -> None:
        """`begun`: only those of turns that can be seen."""
        for id, (request, prompt_id) in list(self._requests.items()):
            shown = self._on.shown.get(prompt_id or "")
            if begun and not (shown and shown.begun):
                continue
            name = asking.about(request)
            resolved = self._resolved.get(id)
            message = self._on.place.last(name)
            if resolved is None:
                if message is None or message.ts is None:
                    asker = self._on.asker(prompt_id)
                    text, body = asking.asked(request, self._on.thread.project_id, asker)
                    await self._on.place.post(name, text, body)
                continue
            if message is not None and message.state != "closed":
                await self._close(request, resolved, message)
            del self._requests[id]
            self._on.open.pop(name, None)

    async def _close(self, request: asking.Request, resolved: asking.Resolved, message: Message) -> None:
        by = await self._on.do(self._named, resolved.by) if resolved.by else ""
        text, body = asking.answered(request, resolved, by)
        if message.ts is None:
            message = await self._on.place.post(asking.about(request), text, body)
        else:
            await self._on.place.update(message, text, body, urgent=True)
        await self._on.place.closed(message)

    def _named(self, user_id: str) -> str:
        """Somebody, as this workspace knows them."""
        for one in self._on.services.identities.list(user_id):
            if one.kind == KIND and one.team == self._on.thread.team:
                return f"<@{one.external_id}>"
        return self._on.services.users.get(user_id).name
