"""How much and how often: Slack's sizes, and its rates with who exceeded them."""

from __future__ import annotations

import math
from collections import Counter, deque

from doce.testing.slack.clock import Clock

#: Characters of `text` that a post keeps; the rest is cut off.
TEXT = 40_000
#: Bytes of `text`, escaped, that chat.update takes.
UPDATE_TEXT_BYTES = 4_000
MARKDOWN = 12_000
#: Characters in all blocks of a message together.
ALL_BLOCKS = 13_200
BLOCKS, VIEW_BLOCKS = 50, 100
CHUNK_FIELD = 256
STREAM_LIFETIME_S = 300.0
#: After so long without a word, "processing" is taken back.
PROCESSING_S = 3600.0
TRIGGER_S = 3.0
RESPONSE_URL_S, RESPONSE_URL_USES = 1800.0, 5
VIEWS_IN_A_STACK = 3

#: Calls a minute, per method and workspace.
TIERS = {1: 1, 2: 20, 3: 50, 4: 100}
#: chat.postMessage: one a second in a channel, with so many at once.
POST_BURST = 5


class Limits:
    """Sliding minutes for the tiers, a bucket for each channel's posts.

    `factor` multiplies what is allowed; `float("inf")` switches rates off. `exceeded` counts the 429s that followed, by method.
    """

    def __init__(self, clock: Clock, factor: float = 1.0) -> None:
        self.clock = clock
        self.factor = factor
        self.exceeded: Counter[str] = Counter()
        self._calls: dict[tuple[str, str], deque[float]] = {}
        self._buckets: dict[str, tuple[float, float]] = {}

    def call(self, method: str, workspace: str, tier: int | None) -> int:
        """Seconds to wait before this call is allowed; 0 counts it."""
        if tier is None or math.isinf(self.factor):
            return 0
        now, allowed = self.clock.now(), max(1, int(TIERS[tier] * self.factor))
        made = self._calls.setdefault((method, workspace), deque())
        while made and now - made[0] >= 60:
            made.popleft()
        if len(made) >= allowed:
            self.exceeded[method] += 1
            return max(1, math.ceil(60 - (now - made[0])))
        made.append(now)
        return 0

    def post(self, method: str, channel: str) -> int:
        """The same for a post into a channel."""
        if math.isinf(self.factor):
            return 0
        now = self.clock.now()
        left, since = self._buckets.get(channel, (float(POST_BURST), now))
        left = min(float(POST_BURST), left + (now - since) * self.factor)
        if left < 1:
            self._buckets[channel] = (left, now)
            self.exceeded[method] += 1
            return max(1, math.ceil((1 - left) / self.factor))
        self._buckets[channel] = (left - 1, now)
        return 0
