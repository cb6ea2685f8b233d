"""Where a project's releases are: ``data/production/<id>/``.

``<hash>/dist`` is what is served or, of a server, runs; ``current`` and ``previous`` are links, and the link is the truth about what is
live. ``<hash>/to`` is a link, too: the name of the empty folder it points at is where the server of that release listens.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CURRENT, PREVIOUS = "current", "previous"
TO, PLACES, LEFT = "to", "places", "left"


@dataclass(frozen=True, slots=True)
class ProductionLayout:
    """The folders of one project's deployments."""

    root: Path

    def release(self, hash: str) -> Path:
        return self.root / hash

    def build(self, snapshot: str) -> Path:
        """Where a commit is built; removed when the release is made."""
        return self.root / "builds" / snapshot[:12]

    @property
    def web(self) -> Path:
        """Configuration and temporary files of the web server."""
        return self.root / "web"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def live(self) -> str | None:
        """The hash that `current` points at."""
        return self._target(CURRENT)

    def before(self) -> str | None:
        """The hash that was live before."""
        return self._target(PREVIOUS)

    def switch(self, hash: str, now: int) -> None:
        """Make `hash` live in one rename; whoever reads sees the old one or the new one, never neither. `now`: epoch ms."""
        live = self.live()
        if live == hash:
            return
        if live:
            self._point(PREVIOUS, live)
            (self.release(live) / LEFT).write_text(str(now))
        self._point(CURRENT, hash)

    def next_time(self, now: int) -> int:
        """The time of files that a new release is the first to have, epoch s: `now` (epoch ms), and later than in any release there is."""
        before = [int(folder.stat().st_mtime) for folder in self.root.glob("*/dist")]
        return max([now // 1000, *[one + 1 for one in before]])

    def left(self, hash: str) -> int:
        """When `hash` was last switched away from, epoch ms; 0 when never."""
        try:
            return int((self.release(hash) / LEFT).read_text())
        except (OSError, ValueError):
            return 0

    def listens(self, hash: str, place: str) -> None:
        """The server of `hash` listens at `place`, ``host:port``: where visitors are taken while it is live."""
        (self.release(hash) / PLACES / place).mkdir(parents=True, exist_ok=True)
        self._point(f"{hash}/{TO}", f"{PLACES}/{place}")

    def _target(self, name: str) -> str | None:
        try:
            return str((self.root / name).readlink())
        except OSError:
            return None

    def _point(self, name: str, target: str) -> None:
        link = self.root / name
        half = link.with_name(f".{link.name}.new")
        half.unlink(missing_ok=True)
        half.symlink_to(target)
        half.replace(link)
