"""What a panel draws of a turn."""

from __future__ import annotations

import re
from typing import Any

import ipywidgets as widgets
import pytest
from markdown_it import MarkdownIt

from doce.events.vocabulary import PermissionRequested, QuestionItem, QuestionOption, QuestionRequested
from doce.notebook import asking, drawing
from doce.notebook.answering import Said
from doce.notebook.markdown import harmless, rendered
from doce.opencode.turn import Turn
from tests.opencode.test_turn import events


def turn_of(*told: tuple[str, dict[str, Any]]) -> Turn:
    turn = Turn("prm_1")
    for event in events(("chat.prompt.queued", {"text": "make it dark", "position": 1}), *told):
        turn.take(event)
    return turn


def job(job_id: int, job_type: str, state: str) -> tuple[str, dict[str, Any]]:
    return "job.state", {"jobId": job_id, "jobType": job_type, "state": state, "attempts": 1}


def test_the_steps_of_a_new_project_are_known_before_they_begin() -> None:
    first = [job(1, "project.create", "succeeded"), job(2, "docker.composeUp", "running")]
    turn = turn_of(*first, ("project.status", {"status": "starting", "step": "starting <services>"}))
    lines = drawing.steps(turn).split("</div>")
    assert ["✓" in lines[0], "▸" in lines[1], "○" in lines[2]] == [True, True, True]
    assert "starting &lt;services&gt;" in lines[1]
    assert drawing.steps(turn_of(*first, ("chat.prompt.sent", {"messageId": "m", "text": "x"}))) == "", "the agent has it: no news any more"
    assert "hand the prompt" in drawing.steps(turn_of(job(9, "opencode.sendUserPrompt", "running")))


def test_a_prompt_that_waits_in_a_stopped_project_says_so() -> None:
    assert "%doce start" in drawing.status(turn_of(("project.status", {"status": "stopped"})), "Tea", 0)


def tool(name: str, given: dict[str, Any], metadata: dict[str, Any]) -> tuple[tuple[str, dict[str, Any]], ...]:
    about = {"toolCallId": name, "name": name, "title": "a.css"}
    return ("chat.tool.start", {**about, "input": given}), ("chat.tool.finish", {**about, "output": "ok", "metadata": metadata})


def test_files_are_shown_with_what_the_tools_did_and_then_with_what_became_of_them() -> None:
    patch = "Index: a.css\n====\n--- a.css\n+++ a.css\n@@ -1 +1 @@\n--- old\n+<b>new</b>\n"
    turn = turn_of(
        *tool("edit", {"filePath": "a.css"}, {"filediff": {"file": "a.css", "patch": patch}}),
        *tool("write", {"filePath": "b.css", "content": "one\ntwo"}, {"exists": False}),
        ("chat.file.changed", {"path": "a.css", "additions": 1, "deletions": 1}),
        ("chat.file.changed", {"path": "b.css", "additions": 2}),
        ("chat.file.changed", {"path": "c.png"}),
    )
    told = drawing.files(turn)
    for shown in ("--- old", "+&lt;b&gt;new&lt;/b&gt;", "new file", "+one", "c.png"):
        assert shown in told
    for heading in ("Index:", "====", "--- a.css"):
        assert heading not in told
    turn.transcript.files = {"a.css": (3, 0)}
    after = drawing.files(turn, {"a.css": "@@ -0,0 +1 @@\n+whole"})
    assert "+whole" in after
    assert "b.css" not in after


def test_what_is_shown_of_many_or_long_diffs_has_an_end() -> None:
    changes = {f"{number}.txt": "@@\n" + "+x\n" * 6_000 for number in range(30)}
    turn = turn_of()
    turn.transcript.files = dict.fromkeys(changes, (6000, 0))
    shown = drawing.files(turn, changes)
    assert "29.txt" in shown
    assert len(shown) < 3_000_000


@pytest.mark.parametrize("url", ["javascript:x()", "data:text/html,x", "../secret", "//evil"])
def test_links_of_a_model_lead_to_the_web_or_nowhere(url: str) -> None:
    assert "href=" not in rendered(f"[a]({url})")
    assert 'target="_blank"' in rendered("[a](https://example.com)")


HOSTILE = [
    "<script>x()</script>", "<img src=x onerror=x()>", "a </p><svg/onload=x()>", "<!-- x -->", "`<script>` <script>x()</script>",
    "```\n<script>x()</script>\n```\n<script>x()</script>", "``` <b>\n<script>x()</script>", "` <script>x()</script>", "<javascript:x()>",
    "![i](http://evil/i.png)", "[a](javascript:x())", "[a]( javascript:x())", "[a](java&#115;cript:x())", "[a](<javascript:x()>)",
    "[a][b]\n\n[b]: javascript:x()", "> [b]: JAVASCRIPT:x()\n\n[b]", "[b]:\n javascript:x()\n\n[b]", "[a](\tdata:text/html,x)",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_a_summary_is_harmless_where_markup_is_let_through(text: str) -> None:
    made = MarkdownIt("commonmark", {"html": True})
    made.validateLink = lambda url: True  # type: ignore[method-assign]
    shown = made.render(harmless(text))
    for tag in ("<script", "<img", "<svg", "<!--", "<b>"):
        assert tag not in shown
    for address in re.findall('href="([^"]*)"', shown):
        assert address.startswith(("http://", "https://", "#"))


def test_a_summary_reads_as_it_was_written() -> None:
    text = "**Tea** is in `a.css`: [preview](http://127.0.0.1:41000/), 3 < 4 and a<b.\n\n- one\n"
    assert harmless(text) == text.replace("a<b", "a&lt;b")
    assert harmless("```html\n<p>\n```") == "```html\n<\u200bp>\n```"


def test_answers_are_text_whose_addresses_can_be_followed() -> None:
    shown = Said("tea · running · http://127.0.0.1:41000/ <script>")._repr_html_()
    assert '<a href="http://127.0.0.1:41000/"' in shown
    assert "<script" not in shown


def find(widget: Any, kind: type, description: str = "") -> Any:
    for child in getattr(widget, "children", ()):
        if isinstance(child, kind) and (not description or child.description == description):
            return child
        if (found := find(child, kind, description)) is not None:
            return found
    return None


def test_a_permission_has_three_answers() -> None:
    given: list[str] = []
    asked = asking.permission(PermissionRequested(request_id="p", permission="bash", patterns=["ls"], title="ls"), given.append)
    for label in asking.REPLIES:
        find(asked, widgets.Button, label).click()
    assert given == ["once", "always", "reject"]


def question(**more: Any) -> QuestionRequested:
    options = [QuestionOption(label="Red", description="warm"), QuestionOption(label="Blue")]
    return QuestionRequested(request_id="q", questions=[QuestionItem(question="Which <colour>?", options=options, **more)])


def test_a_question_takes_a_choice_or_own_words_and_nothing_less() -> None:
    given: list[Any] = []
    asked = asking.question(question(), given.append)
    send = find(asked, widgets.Button, "Answer")
    send.click()
    assert given == [], "nothing was chosen"
    find(asked, widgets.RadioButtons).value = "Blue"
    send.click()
    find(asked, widgets.Text).value = " mauve "
    send.click()
    find(asked, widgets.Button, "Don't answer").click()
    assert given == [[["Blue"]], [["mauve"]], None]


def test_several_choices_and_own_words_together() -> None:
    given: list[Any] = []
    asked = asking.question(question(multiple=True), given.append)
    find(asked, widgets.Checkbox, "Red").value = True
    find(asked, widgets.Text).value = "mauve"
    find(asked, widgets.Button, "Answer").click()
    assert given == [[["Red", "mauve"]]]
    assert find(asking.question(question(custom=False), given.append), widgets.Text) is None
