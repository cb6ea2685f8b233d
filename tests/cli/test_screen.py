"""What is written where it is read by programs."""

from __future__ import annotations

import io
import json
import sys

import pytest

from doce.cli.screen import Plain, put_json


class Pieces(io.StringIO):
    """Remembers in which pieces it was written."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return super().write(text)


def test_a_line_is_written_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C may come between any two pieces, and what is written after it then stands in the same line."""
    out = Pieces()
    monkeypatch.setattr(sys, "stdout", out)
    put_json({"step": "serve"})
    Plain(out).line("doce runs")
    assert [json.loads(out.pieces[0]), out.pieces[1]] == [{"step": "serve"}, "doce runs\n"]
    assert out.pieces[0].endswith("}\n")
