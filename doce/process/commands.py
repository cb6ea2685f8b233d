"""A command beside a service: bounded in time and in what it may write to us."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

from doce.errors import NotFound, Unavailable
from doce.stacks.runtime import MAX_OUTPUT, ExecResult


def run(argv: Sequence[str], *, folder: str, environment: Mapping[str, str], timeout_s: float) -> ExecResult:
    """Run `argv` in a session of its own; all of it is ended after `timeout_s`.

    Output goes to a file, not a pipe: what the command leaves running may hold it open for ever.
    Raises NotFound when there is no such program, Unavailable after the time-out.
    """
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                list(argv), cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise NotFound(f"{argv[0]!r} cannot be run here: {error.strerror or error}.") from error
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{argv[0]} did not end within {timeout_s:g} s and was ended.") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        return ExecResult(exit_code(process.returncode), output.read(MAX_OUTPUT).decode("utf-8", "replace"))


def exit_code(returned: int) -> int:
    """As shells and containers count: 128 + the number of the signal that ended it."""
    return returned if returned >= 0 else 128 - returned
