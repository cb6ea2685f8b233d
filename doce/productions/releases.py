"""The rows of releases, and what is live."""

from __future__ import annotations

from doce.clock import Clock
from doce.db.connection import database
from doce.db.ids import new_id
from doce.db.models import Release
from doce.errors import NotFound
from doce.productions.digest import Output
from doce.projects.views import View


class ReleaseView(View):
    """One built version. `version` counts up in its project; `size` is bytes, times are epoch ms."""

    version: int
    hash: str
    #: the commit of doce's own history that it was built from
    snapshot: str
    files: int
    size: int
    created_at: int
    #: it is what visitors get
    current: bool
    #: its files were removed; it cannot be rolled back to
    pruned: bool


class Releases:
    """Finds and records them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def record(self, project_id: str, output: Output, snapshot: str) -> int:
        """The version of this output: the one it has already, else the next. Joins the caller's transaction."""
        with database.atomic():
            there = Release.get_or_none(Release.project_id == project_id, Release.digest == output.digest)
            if there is not None:
                Release.update(pruned_at=None).where(Release.id == there.id).execute()
                return int(there.version)
            last = Release.select().where(Release.project_id == project_id).order_by(Release.version.desc()).first()
            version = (last.version if last else 0) + 1
            Release.create(
                id=new_id("rel"), project_id=project_id, version=version, hash=output.hash, digest=output.digest, snapshot=snapshot,
                files=output.files, size=output.bytes, created_at=self._clock.now_ms(),
            )  # fmt: skip
            return version

    def digest_of(self, project_id: str, hash: str) -> str | None:
        """The whole digest behind a folder's name."""
        row = Release.get_or_none(Release.project_id == project_id, Release.hash == hash)
        return str(row.digest) if row else None

    def all(self, project_id: str, live: str | None) -> list[ReleaseView]:
        """The newest first."""
        rows = Release.select().where(Release.project_id == project_id).order_by(Release.version.desc())
        return [
            ReleaseView(
                version=row.version, hash=row.hash, snapshot=row.snapshot, files=row.files, size=row.size, created_at=row.created_at,
                current=row.hash == live, pruned=row.pruned_at is not None,
            )
            for row in rows
        ]  # fmt: skip

    def find(self, project_id: str, word: str) -> ReleaseView:
        """The release called ``v3``, ``3`` or by the beginning of its hash. Raises NotFound with those there are."""
        known = [one for one in self.all(project_id, None) if not one.pruned]
        wanted = word.strip().lower()
        number = wanted.removeprefix("v")
        found = [one for one in known if number.isdigit() and one.version == int(number)]
        found = found or [one for one in known if len(wanted) >= 4 and one.hash.startswith(wanted)]
        if not found:
            there = ", ".join(f"v{one.version}" for one in known) or "none"
            raise NotFound(f"There is no version {word!r} to go back to.", hint=f"Kept versions: {there}.")
        return found[0]

    def kept(self, project_id: str) -> list[ReleaseView]:
        """Those whose files are there, the newest first."""
        return [one for one in self.all(project_id, None) if not one.pruned]

    def pruned(self, project_id: str, hash: str) -> None:
        Release.update(pruned_at=self._clock.now_ms()).where(Release.project_id == project_id, Release.hash == hash).execute()

    def forget(self, project_id: str) -> None:
        """The project is gone."""
        Release.delete().where(Release.project_id == project_id).execute()
