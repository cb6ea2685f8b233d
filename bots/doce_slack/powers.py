"""What a workspace's Slack can do, as far as it was tried: streams and sessions are not everywhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Literal

logger = logging.getLogger(__name__)

Power = Literal["streams", "sessions"]
#: How long it is not asked again for what it does not have, seconds.
MISSING_S = 3600.0
#: Refusals that say that it is not there; others are about this one call.
MISSING = (
    "unknown_method", "missing_scope", "not_allowed_token_type", "feature_not_enabled", "team_access_not_granted", "method_deprecated",
    "method_not_supported_for_channel_type",
)  # fmt: skip


class Powers:
    """One for all workspaces."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._missing: dict[tuple[Power, str], float] = {}

    def has(self, power: Power, team: str) -> bool:
        """Yes, unless Slack said no a while ago."""
        return self._monotonic() >= self._missing.get((power, team), float("-inf"))

    def refused(self, power: Power, team: str, code: str) -> None:
        """Slack said `code`."""
        logger.info("Slack takes no %s: %s", power, code, extra={"team": team})
        if code in MISSING:
            self._missing[power, team] = self._monotonic() + MISSING_S
