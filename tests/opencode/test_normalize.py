"""Input nobody promised: malformed, unlisted, out of order, huge."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doce.errors import BadRequest
from doce.events import vocabulary as events
from doce.opencode.answers import plain_message
from doce.opencode.normalize import normalize
from doce.opencode.paths import relative_path, relative_text
from doce.opencode.recording import normalize_file
from doce.opencode.resync import Snapshot, resync
from doce.opencode.state import State
from doce.opencode.tools import shorten, tool_title
from tests.opencode.harness import FOLDER, RECORDINGS, Play

WORKSPACE = ("/workspace",)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TYPES = sorted({event["type"] for recording in RECORDINGS.values() for event in recording.events})


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(TYPES), st.dictionaries(st.sampled_from(["sessionID", "part", "info", "status", "error", "messageID", "id"]), ANY))
def test_a_malformed_event_never_raises(kind: str, properties: dict[str, Any]) -> None:
    normalize(State(), {"type": kind, "properties": properties})


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_recording_with_a_field_replaced_never_raises(data: st.DataObject) -> None:
    recording = RECORDINGS[data.draw(st.sampled_from(["f6-errchunk-recover", "c-write", "z1-subagent", "h-permission-once"]))]
    bad = data.draw(st.integers(0, len(recording.events) - 1))
    state = State()
    for index, event in enumerate(recording.events):
        if index == bad:
            event = json.loads(json.dumps(event))
            target: Any = event["properties"]
            while isinstance(target, dict) and target:
                key = data.draw(st.sampled_from(sorted(target)))
                if not isinstance(target[key], dict) or data.draw(st.booleans()):
                    target[key] = data.draw(ANY)
                    break
                target = target[key]
        normalize(state, event)


def test_unlisted_types_are_counted_and_dropped() -> None:
    state = State()
    assert normalize(state, {"type": "pty.created", "properties": {}}) == []
    assert normalize(state, {"properties": {}}) == []
    assert normalize(state, {"type": "message.part.delta", "properties": {}}) == []
    assert dict(state.dropped) == {"pty.created": 1, "None": 1, "malformed message.part.delta": 1}


def test_text_that_did_not_go_on_as_logged_is_put_right_by_the_final() -> None:
    play = Play(RECORDINGS["a-plain"])
    last = next(
        i
        for i, e in enumerate(play.recording.events)
        if e["type"] == "message.part.updated" and e["properties"]["part"].get("text", "").startswith("word0")
    )
    play.run(0, last)
    event = json.loads(json.dumps(play.recording.events[last]))
    event["properties"]["part"]["text"] = "Something else."
    play.write(normalize(play.state, event))
    play.finish(last + 1)
    assert play.view.text == "Something else."
    assert play.state.mismatches == 1


def test_a_copy_of_the_state_is_independent() -> None:
    play = Play(RECORDINGS["a-plain"])
    play.run(0, 14)
    frozen = play.state.copy()
    before = frozen.copy()
    play.finish(14)
    assert frozen == before != play.state


def test_the_same_events_give_the_same_log() -> None:
    one, other = Play(RECORDINGS["z1-subagent"]), Play(RECORDINGS["z1-subagent"])
    one.finish(0)
    other.finish(0)
    assert one.log == other.log


def test_a_snapshot_of_an_unknown_project_gives_its_whole_story() -> None:
    recording = RECORDINGS["c-write"]
    play = Play(recording)
    play.lose(0, len(recording.events))
    told = resync(State(), play.server.snapshot())
    kinds = [type(each.payload) for each in told]
    assert kinds.index(events.ToolStart) < kinds.index(events.ToolFinish) < kinds.index(events.FileChanged)
    assert [each for each in told if each.source_key] == [each for each in resync(State(), play.server.snapshot()) if each.source_key]
    assert resync(State(), Snapshot()) == []


def test_a_delta_costs_little() -> None:
    """20 µs each on an idle machine; the bound here only catches a cost that grows with the text."""
    play = Play(RECORDINGS["a-plain"])
    delta = next(index for index, event in enumerate(play.recording.events) if event["type"] == "message.part.delta")
    play.run(0, delta)
    event, count = play.recording.events[delta], 20_000
    started = time.perf_counter()
    for _ in range(count):
        normalize(play.state, event)
    assert (time.perf_counter() - started) / count < 200e-6


def test_paths_are_relative_to_the_workspace() -> None:
    assert relative_path("/workspace/src/a.txt", WORKSPACE) == "src/a.txt"
    assert relative_path("/workspace", WORKSPACE) == "."
    assert relative_path("/etc/passwd", WORKSPACE) == "…/passwd"
    assert relative_path("/workspaces/a", WORKSPACE) == "…/a"
    assert relative_path("a/b", WORKSPACE) == "a/b"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cat /workspace/a.txt /workspace/b/c", "cat a.txt b/c"),
        ("cd /workspace && ls /workspace/", "cd . && ls ."),
        ("File not found: /workspace/missing.txt.", "File not found: missing.txt."),
        ("/data/workspace/a and /workspaces/b", "/data/workspace/a and /workspaces/b"),
        ('"/workspace/a b.txt"', '"a b.txt"'),
        ("nothing here", "nothing here"),
    ],
)
def test_paths_inside_text_are_relative_too(text: str, told: str) -> None:
    assert relative_text(text, WORKSPACE) == told


def test_long_output_is_cut_with_a_mark() -> None:
    cut = shorten("a" * 30_000 + "END")
    assert len(cut) < 20_100
    assert "10,003 characters left out" in cut
    assert cut.endswith("END")
    assert shorten("short") == "short"


def test_a_tool_title_comes_from_its_input() -> None:
    assert tool_title("write", {"filePath": "/workspace/src/a.txt", "content": "x"}, WORKSPACE) == "src/a.txt"
    assert tool_title("bash", {"command": "ls /workspace/x\npwd"}, WORKSPACE) == "ls x"
    assert tool_title("question", {"questions": [{"question": "Which?"}]}, WORKSPACE) == "Which?"
    assert tool_title("todowrite", {"todos": []}, WORKSPACE) == "todowrite"


def test_an_error_message_that_is_json_is_read() -> None:
    assert plain_message('{"message":"boom","code":1}') == "boom"
    assert plain_message('{"error":{"message":"inner"}}') == "inner"
    assert plain_message("{not json") == "{not json"
    assert plain_message("Oops\n    at x (/y.js:1)") == "Oops"


def test_a_file_is_normalised_as_lines() -> None:
    lines = list(normalize_file(FOLDER / "events-c-write.sse", workspace="/workspace/"))
    changed = [each["payload"] for each in lines if each["type"] == "chat.file.changed"]
    assert changed == [{"path": "hello.txt", "additions": 1, "deletions": 0}]
    assert all(set(each) <= {"type", "sessionId", "turn", "sourceKey", "payload"} for each in lines)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"hello", "holds no events"),
        (b"data: {broken", "is not JSON"),
        (b"data: [1]", "not an event"),
        (b"\xff\xfe", "cannot be read as text"),
    ],
)
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "some.sse"
    file.write_bytes(content)
    with pytest.raises(BadRequest, match=says):
        list(normalize_file(file))
    with pytest.raises(BadRequest, match="no file"):
        list(normalize_file(tmp_path / "none.sse"))
