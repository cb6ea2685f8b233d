"""doce's own history of a workspace: one commit before the first prompt, one after each.

A repository the agent cannot write, a configuration of nobody, and files that doce itself opens and hands to git: a workspace
may hold hooks, filters, nested repositories and links, and none of them must run as doce or lead out of the workspace.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import IO

from doce.errors import Forbidden, NotFound, Unavailable
from doce.projects import inside
from doce.projects.layout import Layout

BRANCH = "refs/heads/main"
TIMEOUT_S = 120
#: Bytes read at a time.
PIECE = 1024 * 1024

#: Never part of a snapshot: what can be made again, and what may hold secrets.
LEFT_OUT_FOLDERS = frozenset({".git", "node_modules", ".pnpm-store", ".astro", "dist", ".cache"})
LEFT_OUT_FILES = ("*.log", ".env", ".env.*")
KEPT_FILES = frozenset({".env.example"})

#: The workspace's own .gitattributes must not change what is kept, or run anything to make it.
ATTRIBUTES = "* -text !eol !ident !filter !diff !merge !working-tree-encoding\n"

_SAFE = (
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "core.symlinks=true",
    "-c", "core.autocrlf=false",
    "-c", "core.safecrlf=false",
    "-c", "core.untrackedCache=false",
    "-c", "gc.auto=0",
    "-c", "submodule.recurse=false",
    "-c", "diff.ignoreSubmodules=all",
    "-c", "advice.addEmbeddedRepo=false",
    "-c", "protocol.allow=never",
)  # fmt: skip


class History:
    """The commits of one project's workspace."""

    def __init__(self, layout: Layout, path: str) -> None:
        self._layout = layout
        self._path = path

    def begin(self) -> None:
        """Make the repositories, if they are not there: doce's, and one in the workspace for the agent."""
        if not (self._layout.workspace / ".git").exists():
            # Before any agent has written here, so the workspace's own repository can still be trusted.
            self._run(["git", "init", "-q", "-b", "main", str(self._layout.workspace)])
            self._run([*self._workspace_git(), "add", "-A"])
            self._run([*self._workspace_git(), *_IDENTITY, "commit", "-q", "--no-verify", "--allow-empty", "-m", "Start from the template"])
        if not (self._layout.history / "HEAD").exists():
            self._run(["git", "init", "-q", "--bare", "-b", "main", str(self._layout.history)])
        attributes = self._layout.history / "info" / "attributes"
        attributes.parent.mkdir(exist_ok=True)
        attributes.write_text(ATTRIBUTES)

    def commit(self, message: str) -> str | None:
        """Keep the workspace as it is now. Returns the commit, None when nothing changed since the last.

        Raises Unavailable when git cannot do it (no space, say); the workspace is untouched then.
        """
        with self._alone():
            return self._commit(message)

    def _commit(self, message: str) -> str | None:
        # git itself never opens a file of the workspace: between its look and its opening an agent may put a link there.
        parent = self.head()
        before = self._kept(parent)
        now = {item.path: (item.mode, *found) for item in items(self._layout.workspace) if (found := self._measure(item))}
        changed = {path: size for path, (mode, size, id_) in now.items() if before.get(path) != (mode, id_)}
        removed = before.keys() - now.keys()
        if parent and not changed and not removed:
            return None
        try:
            with tempfile.TemporaryFile(dir=self._layout.history) as given:
                given.write(_header(message, parent))
                given.writelines(b"D %s\n" % _quoted(path) for path in sorted(removed))
                for item in items(self._layout.workspace):
                    if item.path in changed and now[item.path][0] == item.mode:
                        _write(given, item, changed[item.path])
                given.seek(0)
                self._run([*self._here(), "fast-import", "--quiet", "--date-format=now"], given=given)
        except OSError as error:
            raise Unavailable(f"The workspace could not be kept: {error}.", hint="Free some disk space; doce tries again.") from error
        return self.head()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """The end of a turn and a deployment may both keep the workspace, in two processes: one after the other."""
        # A lock of the kernel's ends with the process that held it, however that ended.
        try:
            lock = os.open(self._layout.history / "doce.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(f"The workspace could not be kept: {error}.", hint="Free some disk space; doce tries again.") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _kept(self, commit: str | None) -> dict[bytes, tuple[bytes, bytes]]:
        """Path → (mode, id) of what a commit holds."""
        rows = self._run([*self._here(), "ls-tree", "-r", "-z", commit]).split(b"\0") if commit else []
        split = (row.split(b"\t", 1) for row in rows if row)
        return {path: (told.split()[0], told.split()[2]) for told, path in split}

    def _measure(self, item: Item) -> tuple[int, bytes] | None:
        """(bytes, git's id) of a file's content; None when it is none any more."""
        with _opened(item) as file:
            if file is None:
                return None
            size = _size(file)
            digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
            for piece in _exactly(file, size):
                digest.update(piece)
        return size, digest.hexdigest().encode()

    def head(self) -> str | None:
        """The latest commit."""
        return self._git("for-each-ref", "--format=%(objectname)", BRANCH) or None

    def changed(self, since: str | None, until: str | None = None) -> list[tuple[str, int, int]]:
        """(path, lines added, lines removed) between two commits; binary files count 0."""
        until = until or self.head()
        if not until:
            return []
        empty_tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
        listing = self._git("diff-tree", "-r", "--numstat", "-z", "--no-renames", "--no-ext-diff", since or empty_tree, until)
        rows = [line.split("\t", 2) for line in listing.split("\0") if line.strip()]
        return [(path, int(added) if added != "-" else 0, int(removed) if removed != "-" else 0) for added, removed, path in rows]

    def span(self, since_s: int) -> tuple[str, str] | None:
        """The last commit up to `since_s` (epoch seconds) and the one after it: what a turn that began then came to; None when none is."""
        after = None
        for line in self._git("log", "--first-parent", "--format=%H %ct", BRANCH).splitlines():
            commit, _, at = line.partition(" ")
            if int(at) <= since_s:
                return (commit, after) if after else None
            after = commit
        return None

    def diffs(self, since: str, until: str, paths: Sequence[str]) -> dict[str, str]:
        """Path → its unified diff between two commits, without the lines before the first hunk. `paths` as `changed` tells them."""
        if not paths:
            return {}
        found = self._git(
            "-c", "core.bigFileThreshold=512k", "--literal-pathspecs", "diff-tree", "-r", "-p", "--no-renames", "--no-ext-diff",
            "--no-textconv", "--no-color", since, until, "--", *paths,
        )  # fmt: skip
        # A line of content begins with a blank, a sign or a backslash: this one is git's.
        parts = f"\n{found}".split("\ndiff --git ")[1:]
        hunks = [part[part.index("\n@@") + 1 :] if "\n@@" in part else "" for part in parts]
        return dict(zip(sorted(paths, key=os.fsencode), hunks, strict=False))

    def _here(self) -> Sequence[str]:
        return ("git", *_SAFE, f"--git-dir={self._layout.history}")

    def _git(self, *arguments: str) -> str:
        return self._run([*self._here(), *arguments]).decode("utf-8", "replace").strip()

    def _workspace_git(self) -> Sequence[str]:
        return ("git", *_SAFE, "-C", str(self._layout.workspace))

    def _run(self, argv: Sequence[str], given: IO[bytes] | None = None) -> bytes:
        try:
            done = subprocess.run(
                argv,
                cwd=self._layout.root,
                env=self._environment(),
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
                stdin=given or subprocess.DEVNULL,
            )
        except FileNotFoundError as error:
            raise Unavailable("git is not installed.", hint="Install git; `doce doctor` says what else is missing.") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"git could not keep the workspace: {error}.", hint="Free some disk space; doce tries again.") from error
        if done.returncode:
            reason = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"])[-1]
            raise Unavailable(f"git could not keep the workspace: {reason}", hint="The files are untouched; doce tries again.")
        return done.stdout

    def _environment(self) -> dict[str, str]:
        """Nothing of this machine's or this person's configuration."""
        return {
            "PATH": self._path,
            "HOME": os.devnull,
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            **{
                f"GIT_{who}_{what}": value
                for who in ("AUTHOR", "COMMITTER")
                for what, value in (("NAME", "doce"), ("EMAIL", "doce@localhost"))
            },
        }


@dataclass(frozen=True, slots=True)
class Item:
    """A file or link that a snapshot holds: its path, git's mode, and the open folder it is in, good until the next item."""

    path: bytes
    mode: bytes
    here: int
    name: str


def items(workspace: Path) -> Iterator[Item]:
    """What a snapshot holds, by name. Folders are opened one from the other, and no link is followed."""
    with inside.folder(workspace) as top:
        yield from _below(top, "", 1)


def _below(here: int, prefix: str, depth: int) -> Iterator[Item]:
    for name in sorted(os.listdir(here)):
        if name in LEFT_OUT_FOLDERS or not _keepable(name) or (found := looked(name, here)) is None:
            continue
        if stat.S_ISDIR(found.st_mode):
            # Nobody nests deeper by accident.
            if depth < inside.MAX_DEPTH:
                yield from _inside(here, name, f"{prefix}{name}/", depth + 1)
        elif (mode := _mode(found)) and (name in KEPT_FILES or not any(fnmatch(name, pattern) for pattern in LEFT_OUT_FILES)):
            yield Item(os.fsencode(prefix + name), mode, here, name)


def _inside(here: int, name: str, prefix: str, depth: int) -> Iterator[Item]:
    try:
        below = inside.open_below(here, name)
    except (NotFound, Forbidden):
        return  # swapped meanwhile, or not for us
    try:
        yield from _below(below, prefix, depth)
    finally:
        os.close(below)


def looked(name: str, here: int) -> os.stat_result | None:
    """How a name in an open folder is; None when it is gone."""
    try:
        return os.stat(name, dir_fd=here, follow_symlinks=False)
    except OSError:
        return None


def _mode(found: os.stat_result) -> bytes:
    """As git calls it; empty for pipes, sockets and the like."""
    if stat.S_ISLNK(found.st_mode):
        return b"120000"
    if not stat.S_ISREG(found.st_mode):
        return b""
    return b"100755" if found.st_mode & stat.S_IXUSR else b"100644"


def _keepable(name: str) -> bool:
    """Git refuses names that would mean its own folder on some file system; such a file is not kept, the others are."""
    return name.lower().rstrip(". ") not in (".git", "git~1")


@contextlib.contextmanager
def _opened(item: Item) -> Iterator[IO[bytes] | None]:
    """Its content; None when it is not what it was."""
    file: IO[bytes] | None = None
    # What cannot be read is not kept, the others are.
    with contextlib.suppress(OSError, NotFound, Forbidden):
        if item.mode == b"120000":
            file = io.BytesIO(os.fsencode(os.readlink(item.name, dir_fd=item.here)))
        else:
            file = os.fdopen(inside.open_file(item.here, item.name), "rb")
    try:
        yield file
    finally:
        if file:
            file.close()


def _size(file: IO[bytes]) -> int:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def _exactly(file: IO[bytes], size: int) -> Iterator[bytes]:
    """`size` bytes, whatever happens to the file meanwhile; the next snapshot holds what it became."""
    while size:
        piece = file.read(min(size, PIECE)) or b"\0" * min(size, PIECE)
        size -= len(piece)
        yield piece


def _header(message: str, parent: str | None) -> bytes:
    text = message.encode()
    who = b"committer doce <doce@localhost> now\n"
    return b"commit %s\n%sdata %d\n%s\n" % (BRANCH.encode(), who, len(text), text) + (b"from %s\n" % parent.encode() if parent else b"")


def _write(given: IO[bytes], item: Item, size: int) -> None:
    """As `git fast-import` reads it."""
    with _opened(item) as file:
        if file is not None:
            given.write(b"M %s inline %s\ndata %d\n" % (item.mode, _quoted(item.path), size))
            given.writelines(_exactly(file, size))
            given.write(b"\n")


def _quoted(path: bytes) -> bytes:
    """A name may hold any byte; as git quotes it in C's way."""
    return b'"%s"' % b"".join(b"%c" % byte if 32 <= byte < 127 and byte not in b'"\\' else b"\\%03o" % byte for byte in path)


_IDENTITY = ("-c", "user.name=doce", "-c", "user.email=doce@localhost", "-c", "commit.gpgSign=false")
