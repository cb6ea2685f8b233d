"""Where the files of a project are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one project under ``data/projects/<id>``."""

    root: Path

    @property
    def workspace(self) -> Path:
        """The only thing the agent sees beside its home."""
        return self.root / "workspace"

    @property
    def history(self) -> Path:
        """doce's own history of the workspace. The host never runs git on a ``.git`` that the agent can write."""
        return self.root / "history.git"

    @property
    def home(self) -> Path:
        """OpenCode's home."""
        return self.root / "agent"

    @property
    def store(self) -> Path:
        """The project's own store of dependencies."""
        return self.root / "store"

    @property
    def attachments(self) -> Path:
        return self.root / "attachments"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def log_file(self) -> Path:
        return self.logs / "docker.log"

    @property
    def compose_file(self) -> Path:
        return self.root / "compose.yaml"
