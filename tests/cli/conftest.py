from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doce.cli import main
from tests.client.doce_twin import DoceTwin, doce_twin

ROOT = Path(__file__).parent.parent.parent

Doce = Callable[..., "subprocess.CompletedProcess[str]"]


class Captured(io.TextIOWrapper):
    """A pipe's end: takes text and bytes."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        super().__init__(self._bytes, encoding="utf-8", newline="")

    @property
    def text(self) -> str:
        self.flush()
        return self._bytes.getvalue().decode()


@pytest.fixture
def twin() -> Iterator[DoceTwin]:
    with doce_twin() as running:
        yield running


@pytest.fixture
def environment(twin: DoceTwin, tmp_path: Path) -> dict[str, str]:
    """A person with nothing but a token for the twin."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DOCE_", "_DOCE_"))}
    return kept | {"DOCE_URL": twin.url, "DOCE_TOKEN": "doce_token", "DOCE_DATA": str(tmp_path), "PYTHONPATH": str(ROOT)}


@pytest.fixture
def doce(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Doce:
    """Run the command as in a pipe, in this process."""
    for name in [name for name in os.environ if name.startswith(("DOCE_", "_DOCE_"))]:
        monkeypatch.delenv(name)

    def run(*words: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        out, err = Captured(), Captured()
        with monkeypatch.context() as patched, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patched.setattr(sys, "stdin", io.StringIO(stdin))
            for name, value in (environment | more).items():
                patched.setenv(name, value)
            try:
                code = main(words)
            except SystemExit as done:
                code = int(done.code or 0)
        return subprocess.CompletedProcess(words, code, out.text, err.text)

    return run
