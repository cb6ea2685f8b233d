"""Dialogs and App Home hold what Slack takes, whatever stands in them."""

from __future__ import annotations

from typing import Any

import pytest

from doce.auth.preferences import Preferences
from doce.chats.channels import ChannelRules
from doce.events.vocabulary import PermissionRequested, QuestionItem, QuestionOption, QuestionRequested, Todo
from doce.opencode.transcript import SeenTool
from doce.opencode.turn import Turn
from doce.productions.releases import ReleaseView
from doce.projects.status import ProjectStatus
from doce.projects.views import ProjectView, UsageView
from doce.testing.slack.blocks import check_message, check_view
from doce_slack import forms, listing, tab
from doce_slack.details import details, full_log
from doce_slack.forms import About, Choices
from doce_slack.text import ago

NASTY = "<!channel> & `x` *y* " * 400
ABOUT = About(channel="C1", root="1.2", project="prj_1", about="prm_1", user="U1", files=("F1", "F2"))


def project(number: int = 1, name: str = NASTY) -> ProjectView:
    return ProjectView(
        id=f"prj_{number}", owner_user_id="usr_1", name=name[:60], slug="x" * 50, description=NASTY[:200], prompt=NASTY, template="static",
        status=ProjectStatus.RUNNING, step=None, error=None, error_hint=None, model="rehearsal/site-builder", preview_port=1,
        opencode_port=2, preview_url="http://127.0.0.1:1/", path="/", bootstrap_session_id=None, stopped_by_user=False,
        last_viewed_at=None, created_at=0, updated_at=0, initial_prompt_sent=True, user_prompt_message_id=None,
        user_prompt_completed=True, agent="working", queued_prompts=3, usage=UsageView(),
    )  # fmt: skip


def release(version: int) -> ReleaseView:
    return ReleaseView(
        version=version, hash=f"{version:08x}", snapshot="c", files=1, size=1, created_at=0, current=version == 30, pruned=version == 29
    )


MODELS = Choices([(f"many/model-{n}", NASTY) for n in range(200)], "many/model-150")
FEW = Choices([("rehearsal/site-builder", "Rehearsal"), ("x" * 151, "too long to be a value")], "rehearsal/site-builder")
QUESTIONS = QuestionRequested(request_id="que_1", questions=[
    QuestionItem(question=NASTY[:2500], header=NASTY, options=[QuestionOption(label=NASTY, description=NASTY)] * 3, multiple=True),
    QuestionItem(question="Which?", options=[QuestionOption(label=f"{n}") for n in range(150)]),
    QuestionItem(question="Which ones?", options=[QuestionOption(label=f"{n}") for n in range(150)], multiple=True, custom=False),
    *[QuestionItem(question="And?")] * 40,
])  # fmt: skip
PERMISSION = PermissionRequested(request_id="per_1", permission="bash", patterns=[NASTY], title=NASTY)
VIEWS = {
    "create": forms.create(ABOUT, FEW, MODELS, name="x" * 80, prompt=NASTY),
    "create from home": forms.create(About(), FEW, FEW),
    "answer": forms.answer(ABOUT, QUESTIONS),
    "deny": forms.deny(ABOUT, PERMISSION),
    "rollback": forms.rollback(ABOUT, project(), [release(n) for n in range(30, 0, -1)], live=True, now=1),
    "rename": forms.rename(ABOUT, project()),
    "model": forms.model(ABOUT, project(), MODELS),
    "delete": forms.delete(ABOUT, project()),
    "send": forms.send(ABOUT, FEW, author=NASTY, text=NASTY),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_dialog_is_one_that_slack_takes(view: dict[str, Any]) -> None:
    check_view(view, "modal")
    assert "<!channel>" not in str([one for one in view["blocks"] if one["type"] in ("section", "context")])


def test_what_a_dialog_is_about_comes_back_with_it() -> None:
    assert About.of(VIEWS["rename"]) == ABOUT
    assert About.of({}) == About.of({"private_metadata": "nonsense"}) == About.of({"private_metadata": '{"what": 1}'}) == About()


def test_versions_that_can_be_gone_back_to() -> None:
    element = VIEWS["rollback"]["blocks"][1]["element"]
    assert [one["value"] for one in element["options"]] == [f"v{n}" for n in (30, *range(28, 19, -1))]
    assert element["options"][0]["text"]["text"] == "v30 · live"
    assert element["initial_option"]["value"] == "v28"


def test_answers_of_a_dialog() -> None:
    asked = QuestionRequested(request_id="q", questions=[
        QuestionItem(question="One?", options=[QuestionOption(label="A"), QuestionOption(label="B")]),
        QuestionItem(question="Many?", options=[QuestionOption(label="A"), QuestionOption(label="B")], multiple=True),
        QuestionItem(question="Words?"),
    ])  # fmt: skip
    assert forms.answers(asked, {"q0": "1", "q1": ["0"], "o1": "own", "o2": "free"}) == ([["B"], ["A", "own"], ["free"]], {})
    assert forms.answers(asked, {"q0": "1", "o0": "mine", "q1": ["7", "x"]})[0][:2] == [["mine"], []]
    assert set(forms.answers(asked, {})[1]) == {"q0", "q1", "o2"}


def test_a_turn_of_many_files_and_commands() -> None:
    turn = Turn("prm_1", state="completed", prompt=NASTY)
    turn.transcript.files.update({f"{'x' * 200}/{n}": (1, None) for n in range(100)})
    turn.transcript.tools.update(
        {f"t{n}": SeenTool(f"t{n}", None, "bash", NASTY, {"command": NASTY}, "failed", error="no") for n in range(50)}
    )
    turn.transcript.order.extend(("tool", f"t{n}") for n in range(50))
    turn.transcript.todos[None] = [Todo(content="x", status="completed")]
    check_view(details(ABOUT, turn), "modal")
    assert full_log(turn).count("[bash]") == 50
    check_view(details(ABOUT, Turn("prm_1", prompt="x")), "modal")


@pytest.mark.parametrize("state", ["building", "starting", "needs you", "deploying", "idle", "live", "failed", "stopped", "sleeping"])
def test_a_home_that_is_full(state: str) -> None:
    rows = [tab.Row(project(n), state, "http://127.0.0.1:9/", 3, "https://x.slack.com/archives/C1/p1") for n in range(30)]
    shown = tab.Shown(
        mine=rows, shared=rows, more=True, preferences=Preferences(), models=MODELS, version="1", problems=[NASTY[:900]] * 2,
        url="https://doce.example", now=10**9, channels=[ChannelRules("slack", "T1", f"C{n}", "prj_1", True, ("U1",)) for n in range(30)],
        names={"prj_1": NASTY[:60]},
    )  # fmt: skip
    view = tab.tab(shown)
    check_view(view, "home")
    assert "all is well" not in str(view)
    assert "<!channel>" not in str([one.get("text") for one in view["blocks"]])


def test_a_list_of_long_names() -> None:
    text, body = listing.listed("mine", [(project(n), "idle") for n in range(10)], "prj_9", first=False, now=0)
    check_message(body)
    assert text.startswith("Your projects: ")


def test_how_long_ago() -> None:
    assert [ago(ms) for ms in (-5, 59_000, 60_000, 3_600_000, 90_000_000, 10**9)] == [
        "just now", "just now", "1 min ago", "1 h ago", "25 h ago", "11 days ago",
    ]  # fmt: skip
