"""A root file system from Debian packages, as one tar file: no image registry, no root and no maintainer scripts.

apt resolves the packages against an empty status file, as if nothing were installed; their files are copied into a merged
``/usr`` with owner root, one time stamp and no set-uid bits, so that the same packages give the same bytes.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from doce.errors import Unavailable

Report = Callable[[str], None]

#: Folders of the root that are links into ``/usr`` since Debian 12.
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_FOLDERS = {"tmp": 0o1777, "var/tmp": 0o1777, "proc": 0o755, "sys": 0o755, "dev": 0o755, "run": 0o755, "home": 0o755, "root": 0o700}
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
FETCH_S = 600
#: How old the lists of packages may be, seconds.
FRESH_S = 3600


def needs() -> None:
    """Raises Unavailable on a machine that is no Debian."""
    missing = [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]
    if missing:
        raise Unavailable(
            f"Images are built from Debian packages, and {missing[0]} is not on this machine.",
            hint="Build them on Debian or Ubuntu, or name images of your own in DOCE_NODE_IMAGE, DOCE_AGENT_IMAGE and DOCE_WEB_IMAGE.",
        )


def fetch(packages: Sequence[str], cache: Path, report: Report) -> list[Path]:
    """The ``.deb`` files of `packages` and of all they depend on, newest versions. Raises Unavailable with apt's last words."""
    needs()
    for folder in ("lists/partial", "archives/partial", "none/partial"):
        (cache / folder).mkdir(parents=True, exist_ok=True)
    (cache / "status").write_bytes(b"")
    options = [
        f"Dir::State={cache}", f"Dir::State::lists={cache}/lists", f"Dir::State::status={cache}/status", f"Dir::Cache={cache}",
        f"Dir::Cache::archives={cache}/archives", "APT::Sandbox::User=", "Debug::NoLocking=1", "APT::Install-Recommends=0",
    ]  # fmt: skip
    apt = ["apt-get", *[word for option in options for word in ("-o", option)]]
    lists = cache / "lists" / "lock"
    if not lists.exists() or time.time() - lists.stat().st_mtime > FRESH_S:
        report("reading the lists of Debian packages")
        _run([*apt, "update", "-qq"], "The lists of Debian packages")
        lists.touch()
    # Into a folder where nothing is, so that all are listed and not only what lacks.
    planned = _run(
        [*apt, "-o", f"Dir::Cache::archives={cache}/none", "install", "-y", "-qq", "--print-uris", *packages], "Debian's packages"
    )
    found = sorted(cache / "archives" / line.split()[1] for line in planned.splitlines() if line.startswith("'"))
    if missing := [path for path in found if not path.exists()]:
        report(f"fetching {len(missing)} Debian packages")
        _run([*apt, "install", "-y", "-qq", "--download-only", *packages], "Debian's packages")
    return found


_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
_AGAIN = "Look at the network and try again."


def _run(argv: Sequence[str], what: str) -> str:
    try:
        done = subprocess.run(
            list(argv), env=_ENVIRONMENT, capture_output=True, text=True, timeout=FETCH_S, check=False, stdin=subprocess.DEVNULL,
            errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{what} could not be fetched: {error}.", hint=_AGAIN) from error
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise Unavailable(f"{what} could not be fetched: {(lines or ['no reason given'])[-1][:300]}", hint=_AGAIN)
    return done.stdout


class Root:
    """A tar file that becomes a root file system. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._tar = tarfile.open(path, "w", format=tarfile.GNU_FORMAT)  # noqa: SIM115 - closed by __exit__
        self._there: set[str] = set()
        self._kept: dict[str, bytes] = {}

    def __enter__(self) -> Root:
        return self

    def __exit__(self, *failure: object) -> None:
        self._tar.close()

    def begin(self) -> None:
        """The folders and links that no package has."""
        self.folder("usr")
        for name in _MERGED:
            self.folder(f"usr/{name}")
            self.link(name, f"usr/{name}")
        for name, mode in _FOLDERS.items():
            self.folder(name, mode)

    def unpack(self, package: Path) -> None:
        """The files of one ``.deb``."""
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    self._take(member, archive.extractfile(member) if member.isreg() else None)
            process.stdout.read()
        if process.returncode:
            raise Unavailable(f"{package.name} is damaged.", hint=f"Remove {package} and try again.")

    def finish(self) -> None:
        """What the packages' scripts would have made: users, a shell, certificates."""
        for kind in ("passwd", "group"):
            known = self._kept.get(f"usr/share/base-passwd/{kind}.master", b"").decode().replace(":*:", ":x:")
            ours = "doce:x:1000:1000::/home/doce:/bin/bash\n" if kind == "passwd" else "doce:x:1000:\n"
            self.file(f"etc/{kind}", (known + ours).encode())
        for link, target in (("usr/bin/sh", "dash"), ("usr/bin/awk", "mawk")):
            if link not in self._there and f"usr/bin/{target}" in self._there:
                self.link(link, target)
        # A machine behind a certificate authority of its own: its sites are reached from containers as well.
        if CERTIFICATES.exists():
            self.file("etc/ssl/certs/ca-certificates.crt", CERTIFICATES.read_bytes())

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), mode
        self._add(member, io.BytesIO(content))

    def folder(self, name: str, mode: int = 0o755) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.mode = tarfile.DIRTYPE, mode
        self._add(member)

    def link(self, name: str, target: str) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.mode = tarfile.SYMTYPE, target, 0o777
        self._add(member)

    def tree(self, source: Path, name: str) -> None:
        """The files under `source` as ``/name``."""
        for path in sorted(source.rglob("*")):
            if path.is_file() and not path.is_symlink():
                self.file(
                    f"{name}/{path.relative_to(source).as_posix()}", path.read_bytes(), 0o755 if path.stat().st_mode & 0o100 else 0o644
                )

    def _take(self, member: tarfile.TarInfo, content: IO[bytes] | None) -> None:
        member.name = _merged(member.name)
        if not member.name or not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
            return
        if member.islnk():
            member.linkname = _merged(member.linkname)
        if member.name.startswith("usr/share/base-passwd/") and content:
            self._kept[member.name] = content.read()
            content = io.BytesIO(self._kept[member.name])
        self._add(member, content)

    def _add(self, member: tarfile.TarInfo, content: IO[bytes] | None = None) -> None:
        if member.name in self._there:
            return
        self._there.add(member.name)
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = "root"
        # Nothing in a container may gain another user's rights.
        member.mode &= 0o1777
        self._tar.addfile(member, content)


def _merged(name: str) -> str:
    """`name` without ``./``, and under ``usr/`` where the folder is a link there; empty for the root and those links."""
    name = name.removeprefix("./").strip("/").removeprefix(".")
    first, _, rest = name.partition("/")
    if first in _MERGED:
        return f"usr/{name}" if rest else ""
    return name
