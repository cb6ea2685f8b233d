"""The images projects run in, built on this machine: what node, the agent and the web server need, and nothing else.

An image carries the hash of everything it is made from; one that is there with the same hash is not built again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import platform
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from doce.docker import debian, registry
from doce.docker.debian import Report, Root
from doce.docker.engine import AWAY, Engine, answering
from doce.errors import BadRequest, DoceError, Unavailable
from doce.settings import Settings
from doce.toolchain import Toolchain, packages

INPUTS = "dev.doce.inputs"
#: Raised when what is done with the inputs changes.
RECIPE = 1

#: What every image has.
BASE = (
    "base-files", "base-passwd", "netbase", "bash", "dash", "coreutils", "grep", "sed", "findutils", "tar", "gzip", "diffutils",
    "procps", "mawk", "libc-bin", "libstdc++6", "ca-certificates",
)  # fmt: skip
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "LANG": "C.UTF-8",
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
    "NODE_EXTRA_CA_CERTS": "/etc/ssl/certs/ca-certificates.crt",
}


@dataclass(frozen=True)
class Image:
    """What an image is made from."""

    #: ``node``: how templates and doce call it.
    name: str
    #: What the engine calls it.
    tag: str
    debian: tuple[str, ...]
    #: npm packages that are laid down under ``/usr/lib/node_modules``, or whose one program goes to ``/usr/bin``.
    npm: tuple[packages.Package, ...] = ()

    @cached_property
    def inputs(self) -> str:
        """Hash of everything that decides what is in it. 16 hexadecimal characters."""
        told: list[Any] = [RECIPE, self.debian, [(one.name, one.version) for one in self.npm], _ENVIRONMENT]
        if debian.CERTIFICATES.exists():
            told.append(hashlib.sha256(debian.CERTIFICATES.read_bytes()).hexdigest())
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Shown:
    """An image as `doce images list` shows it."""

    name: str
    tag: str
    #: ``present``, ``missing`` or ``outdated``
    state: str
    #: bytes; None while it is missing
    size: int | None


def described(settings: Settings) -> dict[str, Image]:
    """The images by name."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    node_program = packages.Package(f"node-linux-{machine}", packages.NODE_VERSION, "bin/node", packages.NODE_INTEGRITY.get(machine))
    # Preview and agent share `node_modules`, whose native parts fit one libc only: both are made of the same.
    programs = (node_program, packages.NPM, packages.PNPM)
    node = Image("node", settings.node_image, (*BASE, "git"), programs)
    opencode = packages.opencode("linux", machine, musl=False)
    agent = Image("agent", settings.agent_image, (*BASE, "git", "curl", "ripgrep"), (*programs, opencode))
    web = Image("web", settings.web_image, (*BASE, "nginx-light"))
    return {image.name: image for image in (node, agent, web)}


class Images:
    """Builds, pulls and finds them."""

    def __init__(self, settings: Settings, engine: Engine, toolchain: Toolchain) -> None:
        self._engine = engine
        self._toolchain = toolchain
        self._cache = settings.cache.expanduser().absolute() / "images"
        self._registry = settings.registry
        self._images = described(settings)

    def add(self, image: Image) -> None:
        """One more image of doce's own making."""
        self._images[image.name] = image

    def tag(self, name: str) -> str:
        """What the engine calls the image that templates call `name`; any other name is the engine's own already."""
        return self._images[name].tag if name in self._images else name

    def ready(self, name: str) -> bool:
        """The image can be used as it is."""
        found = self._found(self.tag(name))
        return found is not None and (not self._built_here(name) or found.get(INPUTS) == self._images[name].inputs)

    def ensure(self, name: str, report: Report) -> None:
        """Pull or build doce's own, pull anybody else's, unless it is there. Raises Unavailable with what to do."""
        if not self.ready(name):
            self.build(name, report)

    def build(self, name: str, report: Report, *, anew: bool = False) -> bool:
        """Make an image of doce's own be there, pull anybody else's; False when there was nothing to do.

        One of doce's own is pulled when the registry of the settings has just that one, and built otherwise. `anew`: built from
        the newest packages, whatever is there.

        Raises Unavailable with what to do.
        """
        if not self._built_here(name):
            if self.ready(name) and not anew:
                return False
            registry.pull(self._engine, self.tag(name), report)
            return True
        with self._alone():
            return self._build(self._images[name], report, anew=anew)

    def push(self, name: str, report: Report) -> None:
        """Put an image of doce's own where other machines pull it from; it is made before, if need be.

        Raises BadRequest without a registry, or for an image that is somebody else's; Unavailable when the registry does not take it.
        """
        if self._registry is None:
            raise BadRequest("No registry is named.", hint="Set DOCE_REGISTRY, say to registry.example.org/team.")
        if not self._built_here(name):
            raise BadRequest(f"{self.tag(name)} is not an image of doce's own.", hint="Only those that doce makes are put there.")
        self.ensure(name, report)
        image = self._images[name]
        place = self._place(image)
        with answering():
            self._engine.client.images.get(image.tag).tag(place)
        registry.push(self._engine, place, report)

    def _place(self, image: Image) -> str:
        """Where the registry has an image: by the hash of what it is made from, so that another doce's is never taken for it."""
        return f"{self._registry}/{image.tag}:{image.inputs}"

    def _taken(self, image: Image, report: Report) -> bool:
        """Pulled, if the registry has it. One that does not answer keeps nobody from building."""
        if self._registry is None:
            return False
        place = self._place(image)
        try:
            registry.pull(self._engine, place, report)
        except Unavailable as error:
            if error.hint == AWAY:
                raise
            report(f"{self._registry} does not have it, it is built here: {error.message}")
            return False
        found = self._found(place) or {}
        if found.get(INPUTS) != image.inputs:
            report(f"what {self._registry} has as {place} is something else, it is built here")
            return False
        with answering():
            self._engine.client.images.get(place).tag(image.tag)
        report(f"the image {image.tag} is ready")
        return True

    def fetch_ahead(self, *names: str) -> None:
        """Begin to fetch the npm packages of images that will be built; who needs one then waits for it. With a registry nobody knows
        yet what will be built."""
        if self._registry is None:
            self._begin_to_fetch([self._images[name] for name in names if self._built_here(name) and not self.ready(name)])

    def _begin_to_fetch(self, missing: list[Image]) -> None:
        """While Debian's packages are fetched and unpacked."""
        for package in dict.fromkeys(package for image in missing for package in image.npm):
            threading.Thread(target=self._fetch, args=(package,), name=f"doce-fetch-{package.name}", daemon=True).start()

    def _fetch(self, package: packages.Package) -> None:
        # Whoever needs it tries once more, and says why it cannot be had.
        with suppress(DoceError):
            self._toolchain.fetch(package)

    def list(self) -> list[Shown]:
        shown = []
        for name, image in self._images.items():
            labels = self._found(image.tag)
            current = labels is not None and (not self._built_here(name) or labels.get(INPUTS) == image.inputs)
            state = "missing" if labels is None else "present" if current else "outdated"
            shown.append(Shown(name, image.tag, state, self._size(image.tag) if labels is not None else None))
        return shown

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._images)

    def _built_here(self, name: str) -> bool:
        """Whether this image is doce's own: its name was left as it is."""
        field = Settings.model_fields.get(f"{name}_image")
        return name in self._images and (field is None or self._images[name].tag == field.default)

    def _found(self, tag: str) -> dict[str, str] | None:
        """The labels of an image that is there."""
        from docker import errors

        try:
            with answering():
                return dict(self._engine.client.images.get(tag).labels)
        except errors.ImageNotFound:
            return None

    def _size(self, tag: str) -> int:
        with answering():
            return int(self._engine.client.images.get(tag).attrs["Size"])

    def _build(self, image: Image, report: Report, *, anew: bool) -> bool:
        labels = self._found(image.tag)
        if not anew and labels is not None and labels.get(INPUTS) == image.inputs:
            return False
        if not anew and self._taken(image, report):
            return True
        self._begin_to_fetch([image])
        self._cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._cache) as folder:
            content = Path(folder) / "root.tar"
            with Root(content) as root:
                self._fill(root, image, report)
            report(f"handing the image {image.tag} to the engine")
            self._import(image, content)
        report(f"the image {image.tag} is ready")
        return True

    def _fill(self, root: Root, image: Image, report: Report) -> None:
        root.begin()
        found = debian.fetch(image.debian, self._cache / "apt", report)
        report(f"unpacking {len(found)} Debian packages")
        for package in found:
            root.unpack(package)
        for one in image.npm:
            report(f"fetching {one.name} {one.version}")
            self._lay_down(root, one)
        root.finish()

    def _lay_down(self, root: Root, package: packages.Package) -> None:
        home = self._toolchain.fetch(package)
        program = home / package.program
        name = {"pnpm.cjs": "pnpm", "npm-cli.js": "npm"}.get(program.name, program.name)
        if program.suffix in (".cjs", ".js"):
            root.tree(home, f"usr/lib/node_modules/{name}")
            root.link(f"usr/bin/{name}", f"../lib/node_modules/{name}/{package.program}")
        else:
            root.file(f"usr/bin/{name}", program.read_bytes(), 0o755)

    def _import(self, image: Image, content: Path) -> None:
        """As one layer: importing a tar takes a quarter of the time of building from it."""
        changes = [f"LABEL {INPUTS}={image.inputs}", *[f"ENV {name}={value}" for name, value in _ENVIRONMENT.items()]]
        repository, _, tag = image.tag.partition(":")
        with answering():
            self._engine.client.api.import_image_from_file(str(content), repository=repository, tag=tag or "latest", changes=changes)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One builder at a time; the others find it done."""
        self._cache.mkdir(parents=True, exist_ok=True)
        with (self._cache / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
