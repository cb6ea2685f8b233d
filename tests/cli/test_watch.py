"""What a reader sees of a turn: every recording, and what recordings do not say."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from doce.cli.screen import Plain, Screen, Terminal
from doce.cli.watch import Request, Watch
from doce.client import Event
from doce.events import vocabulary as said
from doce.events.vocabulary import Payload
from doce.opencode.recording import normalize_file

RECORDINGS = sorted((Path(__file__).parent.parent / "recordings" / "opencode").glob("events-*.sse"))


def event(payload: Payload, seq: int = 1, *, prompt: str | None = None, session: str | None = "ses_1", at: int = 0) -> Event:
    return Event(seq, payload.type, "prj_1", session, prompt, at, payload.wire())


def shown(*events: Event, asked: Any = None) -> str:
    stream = io.StringIO()
    watch = Watch(Plain(stream), asked)
    for one in events:
        watch.take(one)
    watch.screen.end()
    return stream.getvalue()


def recorded(path: Path) -> list[Event]:
    return [
        Event(seq, told["type"], "prj_1", told.get("sessionId"), told.get("turn"), seq, told["payload"])
        for seq, told in enumerate(normalize_file(path), start=1)
    ]


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_every_recording_reads_as_text(path: Path) -> None:
    events = recorded(path)
    text = shown(*events)
    children = {event.payload["childSessionId"] for event in events if event.type == "chat.subagent.started"}
    for one in events:
        if one.type == "chat.message.final" and one.session_id not in children:
            for line in one.payload["text"].splitlines():
                assert line in text
    assert not any(control in text for control in ("\x1b", "\r"))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_terminal_shows_the_same_words(path: Path) -> None:
    stream = io.StringIO()
    screen = Terminal(Console(file=stream, force_terminal=False, width=200, highlight=False), interactive=True)
    watch = Watch(screen)
    for one in recorded(path):
        watch.take(one)
    screen.busy(None)
    screen.end()
    assert "".join(stream.getvalue().split()) == "".join(shown(*recorded(path)).split())


def piece(text: str, offset: int = 0, part: str = "prt_1") -> Event:
    return event(said.MessagePartAdded(message_id="msg_1", part_id=part, offset=offset, delta_text=text))


def final(text: str) -> Event:
    return event(said.MessageFinal(message_id="msg_1", text=text))


def test_text_that_comes_twice_is_shown_once() -> None:
    assert shown(piece("Hello "), piece("Hello wor"), piece("ld", 9), final("Hello world")) == "Hello world\n"


def test_the_final_text_completes_what_was_shown() -> None:
    assert shown(piece("Hello "), final("Hello world")) == "Hello world\n"
    assert shown(final("Hello world")) == "Hello world\n"


def test_the_final_text_replaces_what_was_shown() -> None:
    assert shown(piece("Nonsense"), final("Hello")) == "Nonsense\n(the whole answer is:)\nHello\n"


def test_discarded_text_is_said_to_be_so() -> None:
    gone = event(said.MessageDiscarded(message_id="msg_1", part_id="prt_1"))
    text = shown(piece("Hal"), gone, piece("Hello", part="prt_2"), final("Hello"))
    assert text == "Hal\n(the model was cut off and starts over; the text above does not count)\nHello\n"


def test_a_text_that_smuggles_escapes() -> None:
    assert shown(piece("\x1b]0;owned\x07a\x1b[2Jb\rc")) == "abc\n"
    assert shown(*tool("bash", {"command": "echo \x1b[2J; \x9b1A"}, {"exit": 1}, "\x1b[31mno\x1b[0m\n")) == "$ echo ; 1A\n  exit 1: no\n"


def tool(name: str, given: dict[str, Any], finish: dict[str, Any] | None = None, output: str = "", error: str | None = None) -> list[Event]:
    start = event(said.ToolStart(tool_call_id="c", name=name, title="title", input=given))
    if error is not None:
        return [start, event(said.ToolError(tool_call_id="c", name=name, error=error))]
    return [start, event(said.ToolFinish(tool_call_id="c", name=name, title="title", output=output, metadata=finish or {}))]


def changed(path: str, additions: int | None, deletions: int | None) -> Event:
    return event(said.FileChanged(path=path, additions=additions, deletions=deletions))


def test_tools_are_one_line_each() -> None:
    page = {"filePath": "public/index.html", "content": "a\nb\n"}
    assert shown(*tool("bash", {"command": "ls -la public"}, {"exit": 0}, "…")) == "$ ls -la public\n"
    assert shown(*tool("bash", {"command": "false"}, {"exit": 3}, "one\nno such file\n")) == "$ false\n  exit 3: no such file\n"
    assert shown(*tool("read", {"filePath": "a.css"})) == "· read a.css\n"
    assert shown(*tool("read", {"filePath": "a.css"}, error="not\nfound")) == "✗ read a.css: not found\n"
    assert shown(*tool("write", page, {"exists": False}), changed("public/index.html", 2, 0)) == "✎ write public/index.html +2\n"
    assert shown(*tool("write", page, {"exists": True}), changed("public/index.html", 2, 5)) == "✎ write public/index.html +2 −5\n"
    assert shown(changed("made-by-a-script.txt", 1, 0)) == "✎ changed made-by-a-script.txt +1\n"
    edit = tool("edit", {"filePath": "a.css"}, {"filediff": {"file": "a.css", "additions": 3, "deletions": 1}})
    assert shown(*edit, changed("a.css", 3, 1), changed("a.css", 1, 0)) == "✎ edit a.css +3 −1\n✎ changed a.css +1\n"
    assert shown(*tool("todowrite", {})) == ""


def test_a_sub_agent_is_indented_and_its_text_is_its_own() -> None:
    started = event(said.SubagentStarted(child_session_id="ses_2", title="look around"))
    inner = Event(2, "chat.message.part.added", "prj_1", "ses_2", None, 0, piece("inner").payload)
    ran = [Event(3, one.type, "prj_1", "ses_2", None, 0, one.payload) for one in tool("bash", {"command": "ls"}, {"exit": 0})]
    assert shown(started, inner, *ran) == "⇉ look around\n  $ ls\n"


def test_steps_with_durations() -> None:
    def job(state: str, at: int, error: str | None = None) -> Event:
        return event(said.JobState(job_id=1, job_type="docker.waitReady", state=state, attempts=1, error=error), at=at)

    assert shown(job("queued", 0), job("running", 1000), job("queued", 1100), job("running", 1200), job("succeeded", 3500)) == (
        "✓ wait until both answer (2.5 s)\n"
    )
    assert shown(job("running", 0), job("queued", 5, "port taken"), job("running", 10), job("failed", 20, "port taken")) == (
        "  wait until both answer: port taken (tries again)\n✗ wait until both answer: port taken (0.0 s)\n"
    )


def test_how_a_turn_ends() -> None:
    queued = event(said.PromptQueued(text="a shop", position=1), prompt="prm_1")
    sent = event(said.PromptSent(message_id="msg_0", text="a shop"), prompt="prm_1")
    done = event(said.PromptCompleted(duration_ms=12_000, files=["a", "b"], tokens=said.Tokens(input=1000, output=204)), prompt="prm_1")
    watch = Watch(Plain(io.StringIO()))
    turn = watch.until(None, iter([queued, sent, done, piece("never read")]))
    assert turn is not None
    assert (turn.state, turn.summary) == ("completed", "done in 12 s · 2 files · 1,204 tokens")
    assert shown(queued, sent, done) == "› a shop\n✓ done in 12 s · 2 files · 1,204 tokens\n"


@pytest.mark.parametrize(
    ("payload", "state", "line"),
    [
        (said.PromptStopped(by="ada"), "stopped", "■ stopped by ada; what was done stays\n"),
        (said.PromptFailed(error="No credit.", hint="Pay."), "failed", "✗ No credit.\n  Pay.\n"),
        (said.PromptInterrupted(reason="It died."), "interrupted", "✗ interrupted: It died.\n"),
        (said.PromptEdited(), "removed", "queued prompt removed\n– removed from the queue\n"),
    ],
)
def test_how_a_turn_ends_otherwise(payload: Payload, state: str, line: str) -> None:
    ended = event(payload, prompt="prm_1")
    turn = Watch(Plain(io.StringIO())).until("prm_1", iter([ended]))
    assert turn is not None
    assert turn.state == state
    assert shown(ended) == line


def status(status: str, **fields: Any) -> Event:
    return event(said.ProjectStatusChanged(status=status, **fields))


def test_a_project_that_broke_ends_the_watching() -> None:
    watch = Watch(Plain(io.StringIO()))
    assert watch.until(None, iter([status("error", error="Port 1 is taken.", hint="Free it."), piece("x")])) is None
    assert watch.broken == ("Port 1 is taken.", "Free it.")
    watch.take(status("starting"))
    assert watch.broken is None


def test_the_preview_is_told_once() -> None:
    running = status("running", preview_url="http://127.0.0.1:41000/")
    assert shown(running, running, status("stopped"), running) == "Preview: http://127.0.0.1:41000/\n" * 2


def test_requests_are_shown_and_handed_on() -> None:
    asked: list[Request] = []
    permission = said.PermissionRequested(request_id="per_1", permission="bash", patterns=["rm *"], title="rm -rf dist")
    question = said.QuestionRequested(
        request_id="que_1",
        questions=[said.QuestionItem(question="Which?", options=[said.QuestionOption(label="Red", description="warm")])],
    )
    text = shown(event(permission), event(question), asked=asked.append)
    assert text == "✋ the agent asks whether it may: bash rm -rf dist\n✋ the agent asks: Which?\n  1 Red: warm\n"
    assert asked == [permission, question]


def test_an_event_of_a_newer_doce_is_passed_over() -> None:
    assert shown(Event(1, "chat.brand.new", "p", None, None, 0, {})) == ""


def test_a_screen_is_what_both_are() -> None:
    screens: list[Screen] = [Plain(io.StringIO()), Terminal(Console(file=io.StringIO()), interactive=False)]
    assert not any(screen.interactive for screen in screens)
