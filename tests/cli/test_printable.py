"""Nothing of a model or a tool reaches a terminal as anything but text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doce.cli.printable import count, duration, one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ✓ Grüße\tname\n", "plain ✓ Grüße\tname\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\sixel", "sixel"),
        ("done\r\nnext", "done\nnext"),
        ("real\rfake", "realfake"),
        ("a\x08\x7f\x9b31mb", "a31mb"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("\x1b", ""),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters(max_codepoint=0x2070)))
def test_no_control_is_left(text: str) -> None:
    assert not [
        character for character in printable(text) if (ord(character) < 32 and character not in "\n\t") or 127 <= ord(character) < 160
    ]


@given(st.lists(st.text(st.sampled_from("\x1b[]0;31m\x07ab\\")), max_size=5))
def test_a_sequence_split_over_pieces_does_nothing(pieces: list[str]) -> None:
    assert "\x1b" not in "".join(printable(piece) for piece in pieces)


@given(st.text(), st.integers(1, 50))
def test_one_line(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert "\n" not in line
    assert len(line) <= limit


def test_numbers() -> None:
    assert [duration(ms) for ms in (0, 440, 9_949, 9_950, 59_499, 60_000, 184_000)] == [
        "0.0 s", "0.4 s", "9.9 s", "10 s", "59 s", "1 min 0 s", "3 min 4 s",
    ]  # fmt: skip
    assert (count(0, "file"), count(1, "file"), count(1204, "token")) == ("0 files", "1 file", "1,204 tokens")
