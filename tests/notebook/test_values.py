"""What the notebook's door makes of events and prompts, without a kernel."""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from doce.client import Event
from doce.errors import BadRequest
from doce.notebook import show
from doce.notebook.magics import DoceMagics
from doce.notebook.markdown import rendered
from doce.notebook.panel import RATE, REST_S, Panel
from doce.opencode.turn import Turn


def events(*told: tuple[str, dict[str, Any]], prompt: str | None = "prm_1") -> list[Event]:
    return [Event(seq, type_, "prj_1", "ses_1", prompt, 1000 * seq, payload) for seq, (type_, payload) in enumerate(told, 1)]


TURN = events(
    ("chat.prompt.queued", {"text": "make it dark", "position": 1}),
    ("chat.prompt.sent", {"messageId": "msg", "text": "make it dark"}),
    ("chat.message.part.added", {"messageId": "m1", "partId": "p1", "offset": 0, "deltaText": "It is "}),
    ("chat.message.part.added", {"messageId": "m1", "partId": "p1", "offset": 6, "deltaText": "<b>dark</b>"}),
    ("chat.file.changed", {"path": "a.css", "additions": 2, "deletions": 1}),
    ("chat.usage", {"provider": "rehearsal", "model": "m", "tokens": {"input": 10, "output": 5}, "cost": 0.01}),
    ("chat.permission.requested", {"requestId": "per", "permission": "bash", "patterns": ["ls"], "title": "ls"}),
    ("chat.permission.resolved", {"requestId": "per", "reply": "once"}),
    ("chat.prompt.completed", {"durationMs": 900}),
)


EVIL = "<script>x()</script><img src=x onerror=x()> [a](javascript:x()) ![i](http://evil/i.png) **bold**"


def test_what_others_wrote_is_text() -> None:
    made = rendered(EVIL)
    assert "<script" not in made
    assert "<img" not in made
    assert 'href="javascript' not in made
    assert "<strong>bold</strong>" in made
    assert "<script" not in show.table([{"name": EVIL}], ("name",))
    assert show.link("javascript:x()") == "javascript:x()"
    assert "<script" not in show.bars([(EVIL, 3.0)], "tokens")
    panel = Panel({"id": "prj_1", "name": EVIL}, Turn("prm_1"))
    for event in [
        *TURN[:2],
        *[Event(10 + n, one.type, "prj_1", "s", "prm_1", 1, one.payload) for n, one in enumerate(events(
            ("chat.tool.start", {"toolCallId": "t", "name": EVIL, "title": EVIL, "input": {}}),
            ("chat.tool.finish", {"toolCallId": "t", "name": EVIL, "title": EVIL, "output": EVIL, "metadata": {"diff": f"+{EVIL}"}}),
            ("chat.message.part.added", {"messageId": "m", "partId": "p", "offset": 0, "deltaText": EVIL}),
            ("chat.reasoning.part", {"messageId": "m", "partId": "r", "offset": 0, "deltaText": EVIL}),
            ("chat.file.changed", {"path": EVIL}),
            ("chat.todo.updated", {"todos": [{"content": EVIL, "status": "pending"}]}),
            ("chat.permission.requested", {"requestId": "per", "permission": EVIL, "patterns": [EVIL], "title": EVIL}),
            ("chat.question.requested", {"requestId": "qst", "questions": [{"question": EVIL, "options": [{"label": EVIL}]}]}),
        ))],
    ]:  # fmt: skip
        panel.turn.take(event)
    panel._draw()
    shown = _values(panel.widget)
    assert len(shown) > 5
    assert not [one for one in shown if "<script" in one or "<img" in one]


def _values(widget: Any) -> list[str]:
    inside = [value for child in getattr(widget, "children", ()) for value in _values(child)]
    return [*inside, str(widget.value)] if type(widget).__name__ == "HTML" else inside


def test_what_did_not_change_is_not_sent() -> None:
    panel = Panel({"id": "prj_1", "name": "Tea"}, Turn("prm_1"))
    for event in TURN:
        panel.turn.take(event)
    panel._draw()
    changes: list[Any] = []
    for widget in (panel._answer, panel._tools, panel._todos, panel._files, panel._status, panel._steps, panel._folded):
        widget.observe(changes.append)
    panel._draw()
    assert changes == []


def test_a_panel_is_made_of_what_every_front_end_has() -> None:
    """JupyterLab, Notebook 7, VS Code: no front-end bundle of ours, only the controls that ipywidgets brings."""

    def inside(widget: Any) -> list[Any]:
        return [widget, *(found for child in getattr(widget, "children", ()) for found in inside(child))]

    made = inside(Panel({"id": "prj_1", "name": "Tea"}, Turn("prm_1")).widget)
    assert len(made) > 15
    assert {widget._view_module for widget in made} == {"@jupyter-widgets/controls"}


def test_between_two_drawings_is_a_rest_that_grows_with_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast events come: ten drawings a second at most, and never more than Jupyter's server takes."""
    panel = Panel({"id": "prj_1", "name": "Tea"}, Turn("prm_1"))
    sizes, rests = [0, 100, 300_000], []

    def draw() -> int:
        panel._dirty.set()  # there is always something new
        return sizes.pop(0) if sizes else 0

    def rest(seconds: float) -> bool:
        rests.append(seconds)
        if not sizes:
            panel._ended.set()
        return False

    monkeypatch.setattr(panel, "_draw", draw)
    monkeypatch.setattr(panel._pause, "wait", rest)
    panel._dirty.set()
    panel._keep_drawing()
    assert rests == [REST_S, REST_S, 300_000 / RATE]
    assert panel._closed.is_set()


@pytest.fixture
def magics() -> DoceMagics:
    shell = InteractiveShell()
    shell.user_ns.update(look="dark", table={"a": [1, 2]})
    return DoceMagics(shell)


def test_names_in_a_prompt_are_filled_in_and_css_is_left_alone(magics: DoceMagics) -> None:
    magics.errors[3] = "ValueError: no"
    assert magics.filled("make it {look} {table['a'][1]} {table[a]}") == "make it dark 2 [1, 2]"
    assert magics.filled("{Err[3]}") == "ValueError: no"
    assert magics.filled("body { color: red } {color:red} {unknown} {}") == "body { color: red } {color:red} {unknown} {}"
    assert magics.filled("{look.__class__}") == str(str), "attributes are read, nothing is run"
    for wrong in ("{Err[9]}", "{table['zz']}", "{look.nothing}"):
        with pytest.raises(BadRequest, match="has no value"):
            magics.filled(wrong)


def test_nothing_of_a_prompt_is_evaluated(magics: DoceMagics) -> None:
    for text in ("{__import__('os').system('true')}", "{look()}", "{[x for x in y]}"):
        assert magics.filled(text) == text


def test_an_error_in_a_prompt_is_the_notebooks_own_frames() -> None:
    shell = InteractiveShell()
    magics = DoceMagics(shell)
    shell.events.register("post_run_cell", magics.remember)
    shell.run_cell("def f():\n    return 1/0\nf()", store_history=True)
    assert "ZeroDivisionError: division by zero" in magics.errors[1]
    assert "in f" in magics.errors[1]
    assert "interactiveshell.py" not in magics.errors[1]


@pytest.mark.parametrize(
    ("line", "cell", "said"),
    [
        ("--nonsense", "x", "unrecognized arguments: --nonsense"),
        ("--model", "x", "expected one argument"),
        ("don't", "x", "No closing quotation"),
        ("", " \n ", "There is no prompt"),
        ("", "{Err[7]}", "{Err[7]} has no value"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence_with_a_hint(magics: DoceMagics, line: str, cell: str, said: str) -> None:
    with pytest.raises(BadRequest) as refused:
        magics.doce(line, cell)
    assert said in refused.value.message
    assert refused.value.hint
    # Shown as it is, without a stack; and the cell has failed, so that a run of all cells stops.
    assert "Traceback" not in "".join(refused.value._render_traceback_())  # type: ignore[attr-defined]


def test_the_core_needs_no_notebook() -> None:
    import subprocess
    import sys

    program = "import sys, doce, doce.app, doce.cli.main; assert not {'IPython', 'ipywidgets', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
