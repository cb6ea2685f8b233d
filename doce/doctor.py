"""What doce needs on this machine: what is there, what is missing, and how to get it."""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peewee

from doce.auth.identities import Identities, Linked
from doce.auth.secrets import SecretKey
from doce.auth.users import Users
from doce.chats.installations import Installation, Installations
from doce.client import Doce, find
from doce.clock import SystemClock
from doce.db.connection import connect, database
from doce.docker.engine import Engine
from doce.docker.images import Images
from doce.errors import DoceError, Unavailable
from doce.llm.catalog import Catalog
from doce.ports import is_free
from doce.settings import Settings, machine_path
from doce.toolchain import Toolchain

if TYPE_CHECKING:
    from doce_slack.check import Found

PYTHON_LEAST = (3, 11)
MIB = 1024 * 1024


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `ok` is False only for what doce cannot do without."""

    name: str
    said: str
    ok: bool = True
    #: There, as opposed to: fetched or made when it is needed, or not needed at all.
    present: bool = True
    hint: str | None = None

    @property
    def mark(self) -> str:
        return "✗" if not self.ok else "✓" if self.present else "–"

    @property
    def style(self) -> str:
        return "bold red" if not self.ok else "green" if self.present else "yellow"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def examine(settings: Settings, *, path: str | None = None) -> list[Finding]:
    """Look at everything; changes nothing but a temporary file in the data folder."""
    searched = machine_path() if path is None else path
    return [
        _python(),
        *_tools(Toolchain(settings.cache, path=searched)),
        _data(settings),
        _disk(settings),
        *_running(settings),
        _previews(settings),
        *_docker(settings, searched),
        _chromium(searched),
        *_models(settings),
        *_slack(settings),
    ]


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info < PYTHON_LEAST:
        return Finding("python", f"{version} is too old", ok=False, hint="Install Python 3.11 or newer.")
    return Finding("python", version)


def _tools(chain: Toolchain) -> Iterator[Finding]:
    git = chain.find("git")
    yield (
        Finding("git", git.version)
        if git
        else Finding("git", "missing", ok=False, present=False, hint="Install git with your system's package manager.")
    )
    for name, what in (("node", "Node"), ("opencode", "OpenCode, the coding agent"), ("pnpm", "pnpm, for templates with dependencies")):
        tool = chain.find(name)
        if tool is None:
            yield Finding(name, f"not here yet; {what} is fetched when it is first needed", present=False)
            continue
        place = "of this machine" if tool.source == "machine" else f"in {tool.path.parent}"
        yield Finding(name, f"{tool.version} {place}", hint="doce is not tested with it on this platform." if tool.untested else None)


def _data(settings: Settings) -> Finding:
    folder = settings.data.absolute()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Finding("data folder", f"{folder} cannot be written: {error.strerror}", ok=False, hint="Set DOCE_DATA to a folder of yours.")
    return Finding("data folder", f"{folder}" if folder.exists() else f"{folder} (made when doce starts)", present=folder.exists())


def _disk(settings: Settings) -> Finding:
    folder = settings.data.absolute()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free // MIB
    if free < settings.min_free_mb:
        hint = f"Free some disk space: below {settings.min_free_mb:,} MiB (DOCE_MIN_FREE_MB) nothing is started."
        return Finding("disk", f"{free:,} MiB free", ok=False, hint=hint)
    return Finding("disk", f"{free:,} MiB free")


def _running(settings: Settings) -> Iterator[Finding]:
    """The doce that runs, or the port that one would take; and whether somebody is set up."""
    address = find(settings=settings)
    try:
        with Doce(address=address, timeout_s=3) as doce:
            yield Finding("doce", f"{doce.health()['version']} runs at {address.url}")
            if address.token:
                person = doce.request("GET", "/api/me")
                yield Finding("you", f"{person['name']}, {person['role']}")
            else:
                yield Finding(
                    "you", "no token on this machine", present=False, hint="`doce setup` makes the first admin; or set DOCE_TOKEN."
                )
    except DoceError as error:
        yield Finding("doce", error.message, present=False, hint=error.hint)
        if settings.port and not is_free(settings.port, settings.bind):
            hint = "Stop that program, or set DOCE_PORT."
            yield Finding("port", f"{settings.port} is taken by another program", ok=False, hint=hint)


def _previews(settings: Settings) -> Finding:
    first, last = settings.preview_ports
    tried = range(first, min(last, first + 50) + 1)
    free = sum(is_free(port) for port in tried)
    if not free:
        return Finding("preview ports", f"{first}-{tried[-1]} are all taken", ok=False, hint="Set DOCE_PREVIEW_PORTS to another range.")
    return Finding("preview ports", f"{first}-{last}")


def _docker(settings: Settings, path: str) -> Iterator[Finding]:
    """Needed with DOCE_RUNTIME=docker; else projects run as processes of this machine."""
    needed = settings.runtime == "docker"
    engine = Engine(settings.docker_host)
    try:
        engine.ping()
        version = engine.client.version()["Version"]
    except DoceError as error:
        said = "its engine does not answer" if shutil.which("docker", path=path) else "not here"
        rest = "" if needed else "; projects run as processes of this machine, without isolation"
        yield Finding("docker", said + rest, ok=not needed, present=False, hint=error.hint if needed else None)
        return
    else:
        yield Finding("docker", f"engine {version} answers" + ("" if needed else "; DOCE_RUNTIME=docker uses it"))
        if needed:
            shown = Images(settings, engine, Toolchain(settings.cache, path=path)).list()
            missing = [one.name for one in shown if one.state != "present"]
            said = f"{', '.join(missing)} to be built, which the first project does" if missing else "built"
            yield Finding("images", said, present=not missing, hint="`doce images build` does it now." if missing else None)
    finally:
        engine.close()


def _chromium(path: str) -> Finding:
    """Optional: only tests drive a browser."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name, path=path):
            return Finding("chromium", found)
    mac = Path("/Applications/Google Chrome.app")
    return Finding("chromium", str(mac)) if mac.exists() else Finding("chromium", "not here; only browser tests need it", present=False)


def _models(settings: Settings) -> Iterator[Finding]:
    providers = Catalog(settings, SystemClock()).providers()
    yield Finding("model", f"{settings.model} for new projects")
    if not providers:
        hint = "Set DOCE_OPENROUTER_KEY, or DOCE_OPENAI_BASE_URL and DOCE_OPENAI_KEY, for real ones."
        yield Finding("providers", "none; the rehearsal model needs none", present=False, hint=hint)
        return
    yield Finding("providers", ", ".join(f"{one.name} at {one.base_url}" for one in providers.values()))
    if settings.runtime is None:
        yield Finding(
            "runtime", "real models are off", present=False,
            hint="DOCE_RUNTIME=docker runs agents in containers; DOCE_RUNTIME=process on this machine, without isolation.",
        )  # fmt: skip


def _slack(settings: Settings) -> Iterator[Finding]:
    """Needed by nobody who has not set it up; doce serves everything else without it."""
    if not settings.slack:
        return
    try:
        found = slack_findings(settings)
    except DoceError as error:
        yield Finding("slack", error.message, present=False, hint=error.hint)
        return
    wrong = [one for one in found if one.state == "wrong"]
    for one in wrong:
        yield Finding("slack", f"{one.name}: {one.said}", present=False, hint=one.hint or None)
    if not wrong:
        yield Finding("slack", "all is well; `doce slack check` says more")


def slack_findings(settings: Settings) -> list[Found]:
    """What Slack says of this doce's settings, its workspaces and its people. Raises Unavailable without the libraries for Slack."""
    try:
        from doce_slack import check
    except ImportError as error:
        raise Unavailable(
            f"The libraries for Slack are not installed ({error.name} is missing).", hint="Install them: pip install 'doce[slack]'."
        ) from None
    installed, linked = _in_slack(settings)
    return check.run(settings, installed, linked)


def _in_slack(settings: Settings) -> tuple[list[Installation], list[Linked] | None]:
    """What the database knows; it is looked at as it is, nothing is made or brought up to date."""
    key, clock = settings.data / "secret.key", SystemClock()
    if not settings.database.exists():
        return [], None
    database.initialize(connect(settings.database))
    try:
        linked = Identities(clock).of_chat("slack") if Users(clock).any() else None
        return Installations(SecretKey.load(key), clock).list("slack") if key.exists() else [], linked
    except peewee.OperationalError:
        # Of an older doce, which is brought up to date when the new one starts.
        return [], None
    finally:
        database.close()
