"""doce's own history of a workspace: one commit before the first prompt, one after each.

Only plumbing commands, with a repository the agent cannot write and a configuration of nobody: a workspace may hold
hooks, filters, nested repositories and links, and none of them must run as doce.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from doce.errors import Unavailable
from doce.projects.layout import Layout

BRANCH = "refs/heads/main"
TIMEOUT_S = 120

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
            self._run([*self._workspace_git(), *_IDENTITY, "commit", "-q", "--no-verify", "-m", "Start from the template"])
        if not (self._layout.history / "HEAD").exists():
            self._run(["git", "init", "-q", "--bare", "-b", "main", str(self._layout.history)])
        attributes = self._layout.history / "info" / "attributes"
        attributes.parent.mkdir(exist_ok=True)
        attributes.write_text(ATTRIBUTES)

    def commit(self, message: str) -> str | None:
        """Keep the workspace as it is now. Returns the commit, None when nothing changed since the last.

        Raises Unavailable when git cannot do it (no space, say); the workspace is untouched then.
        """
        # Path by path: `git add` stops at a repository the agent made in a subfolder.
        known = [path for path in self._git("ls-files", "-z").split("\0") if path]
        present = [path for path in files(self._layout.workspace) if _keepable(path)]
        self._git("update-index", "--add", "--remove", "--replace", "-z", "--stdin", given="\0".join({*known, *present}))
        tree = self._git("write-tree")
        parent = self.head()
        if parent and self._git("rev-parse", f"{parent}^{{tree}}") == tree:
            return None
        commit = self._git("commit-tree", tree, "-m", message, *(("-p", parent) if parent else ()))
        self._git("update-ref", BRANCH, commit)
        return commit

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
        rows = [line.split("\t", 2) for line in listing.split("\0") if line]
        return [(path, int(added) if added != "-" else 0, int(removed) if removed != "-" else 0) for added, removed, path in rows]

    def _git(self, *arguments: str, given: str = "") -> str:
        where = (f"--git-dir={self._layout.history}", f"--work-tree={self._layout.workspace}")
        return self._run(["git", *_SAFE, *where, *arguments], cwd=self._layout.workspace, given=given).strip()

    def _workspace_git(self) -> Sequence[str]:
        return ("git", *_SAFE, "-C", str(self._layout.workspace))

    def _run(self, argv: Sequence[str], cwd: Path | None = None, given: str = "") -> str:
        try:
            done = subprocess.run(
                argv,
                cwd=cwd,
                env=self._environment(),
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
                input=given,
                errors="surrogateescape",
            )
        except FileNotFoundError as error:
            raise Unavailable("git is not installed.", hint="Install git; `doce doctor` says what else is missing.") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"git could not keep the workspace: {error}.", hint="Free some disk space; doce tries again.") from error
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
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


def files(workspace: Path) -> Iterator[str]:
    """Relative paths of everything a snapshot holds: files and links, no link followed."""
    for folder, folders, names in os.walk(workspace):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT_FOLDERS and name not in links)
        for name in sorted([*names, *links]):
            left_out = name in LEFT_OUT_FOLDERS or (name not in KEPT_FILES and any(fnmatch(name, pattern) for pattern in LEFT_OUT_FILES))
            if not left_out and _is_file(Path(folder, name)):
                yield Path(folder, name).relative_to(workspace).as_posix()


def _is_file(path: Path) -> bool:
    """A link or a regular file that can be read: a pipe would hang git, a socket or an unreadable file stop it."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return stat.S_ISLNK(mode) or (stat.S_ISREG(mode) and os.access(path, os.R_OK))


def _keepable(path: str) -> bool:
    """Git refuses names that would mean its own folder on some file system; such a file is not kept, the others are."""
    return not any(part.lower().rstrip(". ") in (".git", "git~1") for part in path.split("/"))


_IDENTITY = ("-c", "user.name=doce", "-c", "user.email=doce@localhost", "-c", "commit.gpgSign=false")
