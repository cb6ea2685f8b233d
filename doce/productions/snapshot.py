"""A commit of doce's own history as files, written where nothing of it can reach anything else."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from doce.errors import Unavailable
from doce.projects.layout import Layout
from doce.tarballs import unpack

TIMEOUT_S = 120


def export(layout: Layout, commit: str, target: Path, path: str) -> None:
    """The files of `commit` as `target`, made in one rename. Links are left out: what is built must be what was kept.

    Raises Unavailable when git or the disk cannot do it.
    """
    half = target.with_name(f".{target.name}.new")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    try:
        # Through a file: a snapshot may be larger than doce's memory.
        with tempfile.TemporaryFile(dir=half.parent) as packed:
            done = subprocess.run(
                ["git", f"--git-dir={layout.history}", "archive", "--format=tar", commit],
                env={"PATH": path, "HOME": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C.UTF-8"},
                stdout=packed, stderr=subprocess.PIPE, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            if done.returncode:
                reason = done.stderr.decode("utf-8", "replace").strip()[-300:]
                raise Unavailable(f"The snapshot {commit[:8]} could not be read: {reason}", hint="The files are untouched; deploy again.")
            packed.seek(0)
            with tarfile.open(fileobj=packed) as archive:
                unpack(archive, half)
        half.rename(target)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"The snapshot could not be laid out: {error}.", hint="Free some disk space, then deploy again.") from error
