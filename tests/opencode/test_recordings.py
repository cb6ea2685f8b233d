"""Every recording of the real server, whole and cut at every event."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest

from doce.events import vocabulary as events
from doce.opencode.normalize import normalize
from doce.opencode.turns import turn_end
from tests.opencode.harness import FOLDER, RECORDINGS, Play, comparable, counts, keys, whole

NAMES = sorted(RECORDINGS)
LISTED = [name for name in NAMES if RECORDINGS[name].messages]
LOST = (0, 1, 6)


@pytest.fixture(params=LISTED)
def play(request: pytest.FixtureRequest) -> Play:
    return whole(RECORDINGS[request.param])


def _answers(play: Play) -> list[dict]:
    return [item for items in play.recording.messages.values() for item in items if item["info"]["role"] == "assistant"]


def test_there_are_recordings() -> None:
    assert len(NAMES) >= 30


def test_joined_deltas_equal_the_part(play: Play) -> None:
    view = play.view
    for item in _answers(play):
        message = view.messages[item["info"]["id"]]
        for part in item["parts"]:
            if part["type"] == "text" and not item["info"].get("summary") and part["time"].get("end"):
                assert message.parts[part["id"]] == part["text"]
            elif part["type"] == "reasoning" or (part["type"] == "text" and item["info"].get("summary")):
                assert message.reasoning[part["id"]] == part["text"]
    assert play.state.mismatches == 0


def test_a_part_without_an_end_is_discarded_or_interrupted(play: Play) -> None:
    view = play.view
    for item in _answers(play):
        message = view.messages[item["info"]["id"]]
        for part in item["parts"]:
            if part["type"] == "text" and not part["time"].get("end") and part["id"] in message.parts:
                assert part["id"] in message.discarded or message.error == "interrupted"


def test_the_final_is_the_text_of_the_message(play: Play) -> None:
    for item in _answers(play):
        if item["info"]["time"].get("completed"):
            texts = [part["text"] for part in item["parts"] if part["type"] == "text" and part["text"]]
            assert play.view.messages[item["info"]["id"]].final == ("" if item["info"].get("summary") else "\n\n".join(texts))


def test_tools_start_once_and_end_once(play: Play) -> None:
    tools = [part for item in _answers(play) for part in item["parts"] if part["type"] == "tool"]
    assert counts(play, events.ToolStart) == len(tools)
    assert counts(play, events.ToolFinish) + counts(play, events.ToolError) == len(tools)
    for part in tools:
        seen = play.view.tools[part["id"]]
        assert seen.name == part["tool"]
        assert seen.state == {"completed": "finished", "error": "failed", "running": "failed"}[part["state"]["status"]]
        assert seen.state != "failed" or part["state"].get("error", seen.error).replace("/workspace/", "") == seen.error


def test_files_are_those_of_the_patches(play: Play) -> None:
    files = {file for item in _answers(play) for part in item["parts"] if part["type"] == "patch" for file in part["files"]}
    assert set(play.view.files) == {file.removeprefix("/workspace/") for file in files}


def test_every_turn_ends_once_with_its_kind(play: Play) -> None:
    kinds = {
        "f3-http400": ["failed"],
        "f4-http401": ["failed"],
        "f8-abort-in-retry": ["stopped"],
        "f9-unknown-model": ["failed"],
        "g-abort": ["stopped"],
        "h2-permission-reject": ["stopped"],
        "i2-question-reject": ["stopped"],
        "u-abort-then-prompt": ["stopped", "completed"],
        "v-broken": ["failed"],
        "x-killed-midturn": ["interrupted", "completed"],
        "y-killed-in-tool": ["interrupted", "completed"],
        "r-two-prompts": ["completed", "completed"],
    }
    if play.recording.name in kinds:
        assert [ended.kind for ended in play.ends.values()] == kinds[play.recording.name]
    else:
        assert play.ends
        assert all(ended.kind == "completed" for ended in play.ends.values())
    last = play.view.statuses[play.recording.roots[0]]
    assert last.status == "idle"


def test_an_end_is_never_told_before_the_text(play: Play) -> None:
    """At the moment a turn ends, the log has everything of it."""
    again = Play(play.recording)
    for index in range(len(play.recording.events)):
        before = len(again.ends)
        again.run(index, index + 1)
        if len(again.ends) > before:
            turn = list(again.ends)[-1]
            told = [each for each in play.log if each.turn == turn and _of_the_answer(play, each.payload)]
            assert all(each in again.log for each in told)


def _of_the_answer(play: Play, payload: events.Payload) -> bool:
    if isinstance(payload, events.MessageFinal):
        return not play.state.messages[payload.message_id].summary
    return isinstance(payload, events.FileChanged)


def test_nothing_is_unlisted_or_malformed_and_no_fact_is_told_twice(play: Play) -> None:
    assert not play.state.dropped
    assert max(keys(play).values()) == 1


def test_no_absolute_path_is_told(play: Play) -> None:
    wires = json.dumps([told.payload.wire() for told in play.log if not isinstance(told.payload, events.ToolStart)])
    assert "/workspace/" not in wires


def test_what_opencode_asks_itself_after_a_compaction_belongs_to_the_prompt() -> None:
    play = whole(RECORDINGS["z4-autocompact"])
    (ended,) = play.ends.values()
    assert ended.kind == "completed"
    assert {told.turn for told in play.log if isinstance(told.payload, events.MessageFinal)} == {next(iter(play.ends))}
    assert play.view.compactions == 1
    assert "conversation so far" not in play.view.text


def test_a_subagent_works_under_its_own_session_and_the_prompt_s_turn() -> None:
    play = whole(RECORDINGS["z1-subagent"])
    root, child = play.recording.roots[0], next(iter(play.view.subagents))
    assert play.view.subagents == {child: True}
    assert {tool.name: tool.session_id for tool in play.view.tools.values()} == {"task": root, "bash": child}
    assert {told.turn for told in play.log if told.session_id == child} == set(play.ends)
    # Its idle came before the root's and ended nothing.
    idle = [index for index, event in enumerate(play.recording.events) if event["type"] == "session.idle"]
    early = Play(play.recording)
    early.run(0, idle[0] + 1)
    assert not early.ends


def test_the_global_stream_reads_like_the_project_s() -> None:
    view = whole(RECORDINGS["e-bash-global"]).view
    assert [tool.name for tool in view.tools.values()] == ["bash"]
    assert view.text.startswith("ran0 ran1")


def test_orphaned_text_is_discarded() -> None:
    play = whole(RECORDINGS["f6-errchunk-recover"])
    assert counts(play, events.MessageDiscarded) == 1
    assert play.view.text == "partial answer finished normally"


# Cuts


def _expected(name: str) -> dict:
    return comparable(whole(RECORDINGS[name]))


def _same(cut: Play, expected: dict, *, lost: list[dict]) -> None:
    found, wanted = comparable(cut), deepcopy(expected)
    told = [event for event in lost if event["type"] == "session.error"]
    if told and any(not turn.answers for turn in cut.state.turns.values()):
        # The one thing that no list remembers: why a prompt got no answer at all.
        assert set(found.pop("ends").values()) <= {"interrupted", "failed"}
        for name in ("errors", "ends"):
            found.pop(name, None), wanted.pop(name)
    for event in lost:
        # Nor does it remember what was asked and answered while nobody listened.
        if event["type"] in ("permission.asked", "question.asked") and event["properties"]["id"] not in found["requests"]:
            wanted["requests"].pop(event["properties"]["id"])
    for message, (text, _, error, session) in expected["texts"].items():
        # What the agent lost by dying, and nobody heard to its end, is lost; what was logged is there.
        if error == "interrupted":
            assert text.startswith(found["texts"][message][0])
            found["texts"][message] = wanted["texts"][message] = ("", None, error, session)
            for parts in (found["parts"], wanted["parts"]):
                for key in [key for key in parts if key[0] == message]:
                    parts.pop(key)
    assert found == wanted
    assert max(keys(cut).values()) == 1


@pytest.mark.parametrize("restart", [pytest.param(False, id="doce lives"), pytest.param(True, id="doce restarts", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NAMES)
def test_cut_anywhere_and_resumed_from_the_list_the_log_is_the_same(name: str, restart: bool) -> None:
    recording, expected = RECORDINGS[name], _expected(name)
    size = len(recording.events)
    for cut in range(size + 1):
        head = Play(recording)
        head.run(0, cut)
        for lost in LOST:
            end = min(cut + lost, size)
            play = Play(recording, head.state.copy(), list(head.log), head.server, dict(head.ends))
            play.server = deepcopy(head.server)
            play.lose(cut, end)
            if restart:
                play.restart()
            play.reconnect()
            play.finish(end)
            _same(play, expected, lost=list(recording.events[cut:end]))
            if end == size:
                break


def test_a_death_is_told_at_the_heartbeat_and_not_before() -> None:
    recording = RECORDINGS["y-killed-in-tool"]
    play = Play(recording)
    play.run(0, min(recording.snapshots) + 1)
    assert not play.ends
    told = normalize(play.state, {"type": "server.heartbeat", "properties": {}})
    assert [type(each.payload) for each in told] == [events.ToolError, events.MessageFinal]
    (turn,) = play.state.turns
    ended = turn_end(play.state, turn)
    assert ended is not None
    assert ended.kind == "interrupted"


def test_an_unanswered_permission_is_gone_when_the_agent_died() -> None:
    recording = RECORDINGS["h-permission-once"]
    asked = next(index for index, event in enumerate(recording.events) if event["type"] == "permission.asked")
    play = Play(recording)
    play.run(0, asked + 1)
    assert play.view.statuses[recording.roots[0]].status == "awaiting_input"
    play.restart()
    play.server.statuses.clear()
    play.server.permissions.clear()
    play.reconnect()
    assert [seen.reply for seen in play.view.requests.values()] == ["gone"]
    assert play.view.statuses[recording.roots[0]].status == "idle"


@pytest.mark.parametrize("name", NAMES)
def test_a_list_newer_than_the_stream_does_no_harm(name: str) -> None:
    """The list is read after the stream is up: events that it already tells of are still to come."""
    recording, expected = RECORDINGS[name], _expected(name)
    size = len(recording.events)
    for cut in range(0, size, 2):
        for ahead in (1, 3, 8):
            if any(cut < index < cut + ahead for index in recording.snapshots):
                continue
            play = Play(recording)
            play.run(0, cut)
            future = Play(recording, server=deepcopy(play.server))
            future.lose(cut, min(cut + ahead, size))
            play.restart()
            play.server = future.server
            play.reconnect()
            play.finish(cut)
            _same(play, expected, lost=[])


def test_the_folder_has_lists_for_all_but_the_global_stream() -> None:
    assert set(NAMES) - set(LISTED) == {"e-bash-global"}, FOLDER
