"""Where a project's releases are: ``data/production/<id>/``.

``<hash>/dist`` is what is served, ``<hash>/src`` what a server release runs from; ``current`` and ``previous`` are links, and the
link is the truth about what is live.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CURRENT, PREVIOUS = "current", "previous"


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

    def switch(self, hash: str) -> None:
        """Make `hash` live in one rename; whoever reads sees the old one or the new one, never neither."""
        live = self.live()
        if live == hash:
            return
        if live:
            self._point(PREVIOUS, live)
        self._point(CURRENT, hash)

    def _target(self, name: str) -> str | None:
        try:
            return str((self.root / name).readlink())
        except OSError:
            return None

    def _point(self, name: str, hash: str) -> None:
        half = self.root / f".{name}.new"
        half.unlink(missing_ok=True)
        half.symlink_to(hash)
        half.replace(self.root / name)
