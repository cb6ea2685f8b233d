"""Commands against a doce on a real socket: what is asked, what is printed, how it exits."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from doce.actions.catalog import actions
from doce.cli.actions import commands
from doce.cli.group import LOCAL
from doce.cli.main import doce as root
from doce.errors import NotFound
from tests.cli.conftest import Doce
from tests.client.doce_twin import Answer, Asked, DoceTwin, frame

PROJECT: dict[str, Any] = {
    "id": "prj_1", "ownerUserId": "usr_1", "name": "Ceramic Shop", "slug": "ceramic-shop", "description": "", "prompt": "a shop",
    "template": "static", "status": "running", "step": None, "error": None, "errorHint": None, "model": "rehearsal/site-builder",
    "previewPort": 41000, "opencodePort": 42000, "previewUrl": "http://127.0.0.1:41000/", "path": "/x", "bootstrapSessionId": None,
    "stoppedByUser": False, "lastViewedAt": None, "createdAt": 1, "updatedAt": 2, "initialPromptSent": True, "userPromptMessageId": None,
    "userPromptCompleted": True, "agent": "idle", "queuedPrompts": 0, "usage": {"input": 0, "output": 0, "cost": 0},
}  # fmt: skip
PROMPT = {
    "id": "prm_2", "projectId": "prj_1", "userId": "usr_1", "sessionId": None, "text": "make it dark", "model": None, "state": "queued",
    "position": 1, "seq": 20, "messageId": None, "error": None, "stoppedBy": None, "createdAt": 1, "sentAt": None, "finishedAt": None,
}  # fmt: skip
QUEUED = frame(1, "chat.prompt.queued", {"text": "a shop", "position": 1}, promptId="prm_1")
DONE = frame(8, "chat.prompt.completed", {"durationMs": 2000, "files": ["index.html"]}, promptId="prm_1")
TEXT = frame(3, "chat.message.part.added", {"messageId": "m", "partId": "p", "offset": 0, "deltaText": "Hello \x1b[31mthere"})


def answer(twin: DoceTwin, *stream: bytes, hold: bool = False) -> None:
    """A doce with one project, whose events are `stream`."""

    def serve(asked: Asked) -> Answer:
        if asked.path.endswith("/opencode/event"):
            return Answer(chunks=list(stream), hold=hold)
        if asked.path.endswith("/prompts"):
            return Answer(202, PROMPT)
        if asked.path == "/api/projects" and asked.method == "GET":
            return Answer(body={"items": [PROJECT], "next": None})
        if asked.path.startswith("/api/projects"):
            return Answer(body=PROJECT)
        return Answer(404, NotFound("There is no such thing.", hint="Look again.").as_dict())

    twin.answer = serve


# Made from declarations


def paths(command: click.Command, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [words] if words else []
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            found += paths(below, (*words, name))
    return found


def test_every_action_has_a_command() -> None:
    known = commands()
    for action in actions().values():
        if action.words:
            assert all(word in known or word in LOCAL for word in action.words)
        elif action.name.partition(".")[0] not in LOCAL and not action.browser:
            noun, _, _ = action.name.partition(".")
            group = known[noun]
            assert isinstance(group, click.Group)
            assert action.summary in {command.help for command in group.commands.values()}


@pytest.mark.parametrize("words", paths(root), ids=" ".join)
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    command: click.Command | None = root
    context = click.Context(root, info_name="doce")
    for word in words:
        assert isinstance(command, click.Group)
        command = command.get_command(context, word)
        assert command is not None
        context = click.Context(command, info_name=word, parent=context)
    assert command is not None
    text = command.get_help(context)
    assert command.help
    assert text.startswith("Usage: doce")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{words}: {parameter.opts} says nothing"


# What is asked


def test_words_and_flags_become_a_request(twin: DoceTwin, doce: Doce) -> None:
    answer(twin)
    done = doce("new", "a", "shop", "for", "cups", "--name", "Cups", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, PROJECT)
    assert (twin.asked[0].method, twin.asked[0].path) == ("POST", "/api/projects")
    assert twin.asked[0].body == {"prompt": "a shop for cups", "name": "Cups"}
    assert twin.asked[0].headers["authorization"] == "Bearer doce_token"


def test_a_prompt_from_stdin_and_a_file(twin: DoceTwin, doce: Doce, tmp_path: Path) -> None:
    answer(twin)
    (tmp_path / "logo.png").write_bytes(b"\x89PNG")
    doce("new", "-", "--attach", str(tmp_path / "logo.png"), stdin="a shop\nwith lines")
    assert twin.asked[0].body["prompt"] == "a shop\nwith lines"
    assert twin.asked[0].body["attachments"] == [{"name": "logo.png", "mime": "image/png", "data": "iVBORw=="}]


def test_get_asks_with_a_query(twin: DoceTwin, doce: Doce) -> None:
    answer(twin)
    done = doce("list", "--limit", "7")
    assert done.stdout == "ceramic-shop · running · http://127.0.0.1:41000/\n"
    assert twin.asked[0].query == {"limit": "7"}


def test_answers_to_questions(twin: DoceTwin, doce: Doce) -> None:
    twin.answer = lambda asked: Answer(body={"message": "Answered."})
    done = doce("questions", "answer", "shop", "que_1", "--answers", "Red", "--answers", '["a","b"]')
    assert done.stdout == "Answered.\n"
    assert twin.asked[0].body == {"answers": [["Red"], ["a", "b"]]}
    assert twin.asked[0].path == "/api/projects/shop/questions/que_1"


def test_the_latest_project_is_meant_when_none_is_named(twin: DoceTwin, doce: Doce) -> None:
    answer(twin)
    done = doce("start", "--no-follow")
    assert done.stdout.startswith("ceramic-shop · running")
    assert done.stderr == "(on ceramic-shop, your latest project)\n"
    twin.answer = lambda asked: Answer(body={"items": [], "next": None})
    none = doce("start", "--no-follow")
    assert (none.returncode, none.stderr) == (1, 'Error: There is no project yet.\n`doce new "…"` makes one.\n')


def test_status_alone_is_everything_that_runs(twin: DoceTwin, doce: Doce) -> None:
    service = {
        "service": "preview", "group": "preview", "state": "running", "exitCode": None, "port": 41000, "startedAt": 1, "cpu": 3.2,
        "memory": 2**26, "restarts": 2,
    }  # fmt: skip
    project = {
        "id": "prj_1", "slug": "shop", "name": "Shop", "status": "running", "step": None, "error": None, "viewers": 1,
        "services": [service],
    }  # fmt: skip
    itself = {
        "version": "0.1", "pid": 1, "runtime": "process", "startedAt": 0, "cpu": 1.0, "memory": 2**26, "threads": 9, "databaseSize": 1,
        "freeDisk": 5000, "jobs": {"queued": 2, "running": 0},
    }  # fmt: skip
    twin.answer = lambda asked: Answer(body={"at": 120_000, "doce": itself, "projects": [project], "problem": None})
    done = doce("status")
    assert twin.asked[0].path == "/api/monitor"
    assert done.stdout == (
        "doce 0.1 · process · up 2 min · 1 % cpu · 64 MiB · 5,000 MiB free · 2 queued\n"
        "shop · running · 1 watching\n  preview · running · 3 % cpu · 64 MiB · port 41000 · restarted 2× today\n"
    )
    assert '"slug": "shop"' in doce("status", "--json").stdout


# How it exits


def test_a_refusal_reads_as_doce_said_it(twin: DoceTwin, doce: Doce) -> None:
    answer(twin)
    done = doce("job", "5")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Error: There is no such thing.\nLook again.\n")
    as_json = doce("job", "5", "--json")
    assert as_json.returncode == 1
    assert json.loads(as_json.stdout) == {"error": {"code": "NOT_FOUND", "message": "There is no such thing.", "hint": "Look again."}}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lst"], "There is no command 'lst'. Did you mean list?"),
        (["sta"], "There is no command 'sta'. Did you mean start or status?"),
        (["jobs", "cancl", "1"], "Did you mean cancel?"),
        (["xyzzy"], "`doce --help` lists them."),
        (["job", "x"], "'x' is not a valid integer"),
        (["job", "0"], "The field 'job' is not valid"),
        (["list", "--limit", "1000"], "The field 'limit' is not valid"),
        (["new"], "Missing argument"),
        (["jobs", "--state", "asleep"], "Invalid value for '--state'"),
        (["answer", "shop", "per_1", "maybe"], "'maybe' is not one of"),
        (["status", "--nope"], "No such option"),
    ],
)
def test_asked_wrongly(doce: Doce, twin: DoceTwin, words: list[str], said: str) -> None:
    done = doce(*words)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert not twin.asked


def test_a_unique_beginning_is_enough(twin: DoceTwin, doce: Doce) -> None:
    answer(twin)
    assert doce("stat", "ceramic").returncode == 0
    assert doce("sta", "ceramic").returncode == 2


def test_doce_is_not_running(doce: Doce) -> None:
    from tests.client.doce_twin import free_port

    url = f"http://localhost:{free_port()}"
    done = doce("list", DOCE_URL=url)
    assert (done.returncode, done.stderr) == (1, f"Error: doce is not running at {url}.\n`doce serve` starts it.\n")


def test_deleting_in_a_pipe_wants_yes(twin: DoceTwin, doce: Doce) -> None:
    answer(twin)
    refused = doce("delete", "ceramic")
    assert refused.returncode == 2
    assert "Delete Ceramic Shop with everything it has? Say --yes" in " ".join(refused.stderr.split())
    assert [asked.method for asked in twin.asked] == ["GET"]
    assert doce("delete", "ceramic", "--yes").returncode == 0
    assert twin.asked[-1].method == "DELETE"


def test_an_unknown_variable_is_an_error(doce: Doce) -> None:
    done = doce("settings", DOCE_PROT="1")
    assert (done.returncode, done.stderr) == (1, "Error: DOCE_PROT is not a setting of doce.\nDid you mean DOCE_PORT?\n")


def test_settings_hide_secrets(doce: Doce) -> None:
    done = doce("settings", "--json", DOCE_OPENROUTER_KEY="sk-or-secret-secret-secret")
    assert json.loads(done.stdout)["DOCE_OPENROUTER_KEY"] == "***"
    assert "secret-secret" not in done.stdout + doce("settings", DOCE_OPENROUTER_KEY="sk-or-secret-secret-secret").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(doce: Doce, shell: str) -> None:
    done = doce("completion", shell)
    assert done.returncode == 0
    assert "_DOCE_COMPLETE" in done.stdout


def test_completion_knows_commands_and_projects(twin: DoceTwin, doce: Doce) -> None:
    answer(twin)
    assert "plain,status" in doce(_DOCE_COMPLETE="bash_complete", COMP_WORDS="doce sta", COMP_CWORD="1").stdout
    assert "plain,ceramic-shop" in doce(_DOCE_COMPLETE="bash_complete", COMP_WORDS="doce status cer", COMP_CWORD="2").stdout


def test_normalize_prints_json_lines(doce: Doce) -> None:
    recording = Path(__file__).parent.parent / "recordings" / "opencode" / "events-c-write.sse"
    done = doce("opencode", "normalize", str(recording))
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"chat.tool.start", "chat.file.changed", "chat.message.final"} <= {line["type"] for line in lines}
    assert doce("opencode", "normalize", "/nowhere.sse").returncode == 1


# Watching


def test_new_watches_until_the_first_prompt_is_done(twin: DoceTwin, doce: Doce) -> None:
    answer(twin, QUEUED, TEXT, DONE, frame(9), hold=True)
    done = doce("new", "a shop", "-f")
    assert done.returncode == 0
    assert done.stdout == (
        "Making Ceramic Shop (ceramic-shop) with rehearsal/site-builder.\nHello there\n✓ done in 2.0 s · 1 file\n\n"
        'Change it with: doce chat ceramic-shop "…"\n'
    )


def test_new_in_a_pipe_returns_at_once(twin: DoceTwin, doce: Doce) -> None:
    answer(twin)
    done = doce("new", "a shop")
    assert done.returncode == 0
    assert "`doce events ceramic-shop -f` watches." in done.stdout
    assert len(twin.asked) == 1


def test_new_as_json_is_one_object_a_line(twin: DoceTwin, doce: Doce) -> None:
    answer(twin, QUEUED, TEXT, DONE, hold=True)
    done = doce("new", "a shop", "--json", "-f")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0] == PROJECT
    assert [line["seq"] for line in lines[1:]] == [1, 3, 8]


def test_chat_shows_only_its_own_turn(twin: DoceTwin, doce: Doce) -> None:
    mine = frame(20, "chat.prompt.queued", {"text": "make it dark", "position": 1}, promptId="prm_2")
    failed = frame(30, "chat.prompt.failed", {"error": "No credit.", "hint": "Pay."}, promptId="prm_2")
    answer(twin, mine, failed, hold=True)
    done = doce("chat", "ceramic-shop", "make", "it", "dark", "-f")
    assert twin.asked[-1].query["after"] == "19"
    assert done.returncode == 1
    assert done.stdout == "Asked ceramic-shop (prompt prm_2).\n✗ No credit.\n  Pay.\n"


def test_a_pipe_learns_how_to_answer(twin: DoceTwin, doce: Doce) -> None:
    wanted = {"requestId": "per_1", "permission": "bash", "patterns": ["rm"], "title": "rm -rf dist"}
    answer(twin, QUEUED, frame(2, "chat.permission.requested", wanted), DONE, hold=True)
    assert "  answer it with: doce answer ceramic-shop per_1 once|always|reject\n" in doce("new", "a shop", "-f").stdout


def test_events_as_text_and_as_json(twin: DoceTwin, doce: Doce) -> None:
    answer(twin, QUEUED, TEXT, DONE, frame(9, "project.deleted", {}))
    assert doce("events", "ceramic").stdout == "Hello there\n✓ done in 2.0 s · 1 file\nthe project is gone\n"
    lines = doce("events", "ceramic", "--json", "--after", "0").stdout.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 3, 8, 9]
    assert twin.asked[-1].query == {"after": "0", "follow": "false"}


def test_a_reader_that_goes_away(environment: dict[str, str], twin: DoceTwin) -> None:
    answer(twin, QUEUED, *[frame(seq) for seq in range(2, 3000)], DONE, hold=True)
    with subprocess.Popen(
        [sys.executable, "-m", "doce", "events", "ceramic", "-f", "--json"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 141


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, environment: dict[str, str], *words: str) -> None:
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, "-m", "doce", *words], environment | {"TERM": "xterm-256color", "COLUMNS": "200"})  # noqa: S606
        self.text = ""

    def until(self, wanted: str) -> None:
        """Read until `wanted` is on the screen."""
        while wanted not in self.text:
            ready, _, _ = select.select([self._terminal], [], [], 30)
            assert ready, f"{wanted!r} never came: {self.text!r}"
            data = self._read()
            assert data, f"{wanted!r} never came: {self.text!r}"

    def _read(self) -> bytes:
        try:
            data = os.read(self._terminal, 65536)
        except OSError:
            return b""
        self.text += data.decode("utf-8", "replace")
        return data

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def end(self) -> int:
        while self._read():
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(status)


def test_leaving_with_ctrl_c(environment: dict[str, str], twin: DoceTwin) -> None:
    answer(twin, QUEUED, TEXT, hold=True)
    terminal = Terminal(environment, "new", "a shop")
    terminal.until("Hello ")
    os.kill(terminal.pid, signal.SIGINT)
    assert terminal.end() == 130
    assert "The work goes on." in terminal.text
    assert "doce stop ceramic-shop" in terminal.text
    assert "Traceback" not in terminal.text


def test_leaving_while_it_spins_brings_the_cursor_back(environment: dict[str, str], twin: DoceTwin) -> None:
    busy = frame(2, "chat.session.status", {"status": "busy"})
    answer(twin, QUEUED, busy, hold=True)
    terminal = Terminal(environment, "new", "a shop")
    terminal.until("the agent thinks")
    os.kill(terminal.pid, signal.SIGINT)
    assert terminal.end() == 130
    assert terminal.text.rfind("\x1b[?25h") > terminal.text.rfind("\x1b[?25l") > 0


def test_a_terminal_asks_and_answers(environment: dict[str, str], twin: DoceTwin) -> None:
    wanted = {"requestId": "per_1", "permission": "bash", "patterns": ["rm"], "title": "rm -rf dist"}
    question = {"requestId": "que_1", "questions": [{"question": "Which colour?", "options": [{"label": "Red"}, {"label": "Blue"}]}]}
    answer(twin, QUEUED, frame(2, "chat.permission.requested", wanted), frame(3, "chat.question.requested", question), DONE, hold=True)
    terminal = Terminal(environment, "new", "a shop")
    terminal.until("may it")
    terminal.type("once\n")
    terminal.until("a number")
    terminal.type("2\n")
    assert terminal.end() == 0
    asked = {request.path: request.body for request in twin.asked if request.method == "POST"}
    assert asked["/api/projects/ceramic-shop/permissions/per_1"] == {"reply": "once"}
    assert asked["/api/projects/ceramic-shop/questions/que_1"] == {"answers": [["Blue"]]}


def test_deleting_on_a_terminal_asks(environment: dict[str, str], twin: DoceTwin) -> None:
    answer(twin)
    terminal = Terminal(environment, "delete", "ceramic")
    terminal.until("cannot be undone")
    terminal.type("n\n")
    assert terminal.end() == 130
    assert all(asked.method == "GET" for asked in twin.asked)
