"""What Slack shows of a thread beside its messages: that doce works there, with Slack's own stop button, or waits for somebody."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

from doce_slack.calls import Lost, Refused
from doce_slack.posting import Place

logger = logging.getLogger(__name__)

METHOD = "agents.sessions.setStatus"
#: That something goes on is not said at all rather than so late, seconds.
PATIENCE_S = 1.0
Status = Literal["processing", "active", "suspended"]
#: Most characters of a session's title.
TITLE = 200
#: Slack forgets that something is going on after an hour; it is told again well before, seconds.
AGAIN_S = 2400.0


class Session:
    """One thread's. Where Slack has no sessions nothing happens."""

    def __init__(
        self, place: Place, *, there: Callable[[], bool], missing: Callable[[str], None], monotonic: Callable[[], float],
        status: Status | None,
    ) -> None:  # fmt: skip
        """`there`: whether Slack has sessions, as far as is known; `missing` is told Slack's word when it has none. `status` is
        what Slack shows now, if that is known."""
        self._place, self._there, self._missing, self._monotonic = place, there, missing, monotonic
        self._status = status
        self._at = 0.0

    async def is_(self, status: Status, *, title: str = "", initiator: str = "") -> None:
        """Say so, unless it has been said. What Slack refuses is logged: the messages say it, too."""
        now = self._monotonic()
        if not self._place.root or not self._there() or (status == self._status and (status == "active" or now < self._at + AGAIN_S)):
            return
        place = self._place
        if status != "active" and place.workspace.calls.pace.soon(place.thread.team, METHOD) > PATIENCE_S:
            return  # The messages say it, too, and are not to wait for this.
        try:
            await self._place.workspace.call(
                METHOD, channel_id=self._place.channel, thread_ts=self._place.root, status=status,
                title=title[:TITLE] or None, initiator_user_id=initiator or None,
            )  # fmt: skip
        except Refused as error:
            self._missing(error.code)
        except Lost as error:
            logger.info("%s", error.message)
        self._status, self._at = status, now

    def ended(self) -> None:
        """A stream has ended, and with it what was going on: Slack knows."""
        self._status = "active"
