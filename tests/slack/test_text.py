from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doce.events import vocabulary as told
from doce.events.log import Event, encode
from doce.opencode.turn import Turn
from doce_slack import saying, text, turns
from doce_slack.heard import mentions, spoken
from doce_slack.turn_content import reopened

WORDS = st.lists(
    st.sampled_from(["<", "@", "!", "#", "channel", "here", "everyone", "a", " ", "\n", "\n\n\n", "```", "&", ">", "é", "𝒳", "word"]),
    max_size=40,
).map("".join)


def spoke(pieces: list[str]) -> Turn:
    """A turn in which the agent has said so much."""
    turn, offset = Turn("prm_1", state="working"), 0
    for number, piece in enumerate(pieces):
        payload = told.MessagePartAdded(message_id="m", part_id="p", offset=offset, delta_text=piece)
        turn.take(Event(number + 1, "prj", payload.type, "s", "prm_1", encode(payload), 0))
        offset += len(piece)
    return turn


@settings(max_examples=150, deadline=None)
@given(whole=WORDS, cuts=st.lists(st.integers(0, 200), max_size=4))
def test_what_is_shown_of_a_text_is_the_beginning_of_what_is_shown_later(whole: str, cuts: list[int]) -> None:
    """So a stream only ever has to add."""
    before = ""
    for cut in [*sorted(cut for cut in cuts if 0 < cut < len(whole)), len(whole)]:
        turn = spoke([whole[:cut]]) if whole[:cut] else Turn("prm_1", state="working")
        shown = turns.text(turn)
        assert shown.startswith(before)
        before = shown
    turn.state = "completed"
    assert turns.text(turn).startswith(before)


@settings(max_examples=150, deadline=None)
@given(WORDS)
def test_nothing_mentions_anybody(words: str) -> None:
    for shown in (text.harmless(words), text.escaped(words)):
        assert "<!" not in shown
        assert "<@" not in shown
        assert not any(f"@{all_}" in shown.lower() for all_ in ("here ", "channel ", "everyone "))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=3000), st.integers(50, 4000))
def test_plain_text_fits_in_bytes_after_it_is_escaped(words: str, most: int) -> None:
    assert len(text.fitting(words, most).encode("utf-8", "surrogatepass")) <= most


@pytest.mark.parametrize(
    ("markdown", "fence"),
    [
        ("text", None), ("```html\n<p>", "```html"), ("```\na\n```", None), ("```\na\n```\n~~~js\nb", "~~~js"),
        ("````md\n```\nstill\n```", "````md"), ("   ```\nindented", "```"), ("inline ``` is none", None),
    ],
)  # fmt: skip
def test_the_code_block_that_is_open(markdown: str, fence: str | None) -> None:
    assert text.open_fence(markdown) == fence


def test_a_text_that_is_cut_closes_its_code_block() -> None:
    cut = text.cut_markdown("```js\n" + "a\n" * 100, 50)
    assert text.open_fence(cut) is None
    assert cut.endswith("```\n…")
    assert text.cut_markdown("short", 50) == "short"


def test_a_code_block_is_opened_again_with_its_first_line_in_place() -> None:
    assert reopened("```js", "\nlet a\n```") == "```js\nlet a\n```"
    assert reopened(None, "\n\nmore") == "more"


@pytest.mark.parametrize(
    ("words", "word", "rest"),
    [
        ("stop", "stop", ""), ("x", "stop", ""), ("Stop!", "stop", ""), ("!stop", "stop", ""),
        ("stop using blue", "prompt", "stop using blue"),
        ("rollback v2", "rollback", "v2"), ("rollback the header", "prompt", "rollback the header"), ("now: go", "now", "go"),
        ("queue: later", "prompt", "later"), ("(aside) lunch?", "aside", ""), ("aside: lunch?", "aside", ""), ("logs 20", "logs", "20"),
        ("preview", "open", ""), ("", "prompt", ""),
    ],
)  # fmt: skip
def test_words_of_a_thread(words: str, word: str, rest: str) -> None:
    assert saying.understood(words) == saying.Saying(word, rest)


def test_who_is_mentioned() -> None:
    assert mentions("please <@U01> deploy", "U01")
    assert mentions("<@U01|doce>", "U01")
    assert not mentions("<@U012> deploy", "U01")


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("<@U01> make it &lt;b&gt;", "make it <b>"), ("ask <@U02> first", "ask @ben first"),
        ("see <https://a.b|a.b> now", "see a.b (https://a.b) now"),
        ("<https://a.b>", "https://a.b"), ("<#C1|sites> <!here>", "#sites @here"), ("<@U01|doce>: deploy", "deploy"),
    ],
)  # fmt: skip
def test_what_a_person_said(sent: str, read: str) -> None:
    assert spoken(sent, bot_user="U01", names={"U02": "ben"}) == read
