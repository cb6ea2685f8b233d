from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from doce import process
from doce.errors import Unavailable
from doce.process import ProcessRuntime
from doce.process.tags import Tag, tagged
from doce.settings import machine_path
from doce.stacks.logs import LogFile
from doce.stacks.stack import Service, Stack

pytestmark = pytest.mark.slow

SERVER = textwrap.dedent("""
    import http.server, json, os, sys
    print("listening", os.environ["PORT"], "ünïcode ✓", flush=True)
    print("key", os.environ.get("KEY", ""), flush=True)
    class H(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(dict(os.environ)).encode()
            self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
        def log_message(self, *a): pass
    http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), H).serve_forever()
""")


#: What a service has of doce: how a later one finds it, asks it to end and keeps its secrets out of the log.
OURS = {"DOCE_SERVICE", "DOCE_LEADER", "DOCE_STOP_SIGNAL", "DOCE_SECRETS"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(holds: Callable[[], object], timeout_s: float = 10) -> None:
    """Wait for something that no signal tells (another process's doing)."""
    bell = threading.Event()
    for _ in range(int(timeout_s / 0.02)):
        if holds():
            return
        bell.wait(0.02)
    raise AssertionError("it never happened")


def stack(tmp_path: Path, *services: Service, project: str = "prj_a") -> Stack:
    root = tmp_path / "data" / "projects" / project
    (root / "workspace").mkdir(parents=True, exist_ok=True)
    return Stack(project, "a", root / "workspace", root / "agent", root / "logs", services)


def service(name: str = "preview", code: str = SERVER, **options: object) -> Service:
    port = free_port()
    values: dict[str, object] = {"command": (sys.executable, "-c", code), "image": "", "port": port, "host_port": port} | options
    return Service(name=name, **values)  # type: ignore[arg-type]


def up(runtime: ProcessRuntime, wanted: Stack) -> dict[str, str]:
    states = runtime.up(wanted, report=lambda line: None, cancelled=lambda: None)
    return {state.service: state.id for state in states if state.state == "running"}


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[ProcessRuntime]:
    runtime = ProcessRuntime(tmp_path / "data", f"test-{os.getpid()}", machine_path)
    yield runtime
    for project in runtime.projects():
        runtime.destroy(project)
    runtime.close()


def log_of(wanted: Stack) -> str:
    return LogFile(wanted.logs / "docker.log").read().text


def test_a_service_gets_nothing_of_doces_environment(runtime: ProcessRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCE_OPENROUTER_KEY", "sk-very-secret-key-123456")
    code = "import json, os; print(json.dumps(sorted(os.environ)), flush=True); import threading; threading.Event().wait()"
    wanted = stack(tmp_path, service(code=code, env={"MINE": "1"}, secrets={"KEY": SecretStr("k")}))
    up(runtime, wanted)
    until(lambda: "MINE" in log_of(wanted))
    names = set(eval(log_of(wanted).partition(" | ")[2]))
    assert names - {"LC_CTYPE"} == {"PATH", "HOME", "TMPDIR", "LANG", "HOST", "PORT", "MINE", "KEY"} | OURS


def test_output_is_in_the_log_line_by_line_and_secrets_are_not(runtime: ProcessRuntime, tmp_path: Path) -> None:
    wanted = stack(tmp_path, service(secrets={"KEY": SecretStr("sk-abcdefghijklmnopqrstuv")}))
    up(runtime, wanted)
    until(lambda: "key" in log_of(wanted))
    lines = log_of(wanted).splitlines()
    assert lines[0].startswith("[app] preview | listening ")
    assert "ünïcode ✓" in lines[0]
    assert lines[1] == "[app] preview | key ***"


def test_grandchildren_go_too_even_those_in_a_session_of_their_own(runtime: ProcessRuntime, tmp_path: Path) -> None:
    code = textwrap.dedent("""
        import subprocess, sys, threading
        inner = "import os, signal, threading; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        inner += "print('child', os.getpid(), flush=True); threading.Event().wait()"
        subprocess.Popen([sys.executable, "-c", inner], start_new_session=True)
        threading.Event().wait()
    """)
    wanted = stack(tmp_path, service(code=code))
    up(runtime, wanted)
    until(lambda: "child" in log_of(wanted))
    pid = int(log_of(wanted).split("child ")[1].split()[0])
    runtime.destroy("prj_a")
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_install_runs_before_the_command_while_dependencies_are_missing(runtime: ProcessRuntime, tmp_path: Path) -> None:
    install = (sys.executable, "-c", "import os; print('installed', flush=True); os.mkdir('node_modules')")
    wanted = stack(tmp_path, service(install=install))
    up(runtime, wanted)
    until(lambda: "listening" in log_of(wanted))
    runtime.stop("prj_a")
    up(runtime, wanted)
    until(lambda: log_of(wanted).count("listening") == 2)
    assert log_of(wanted).count("| installed") == 1
    broken = stack(tmp_path, service(install=(sys.executable, "-c", "raise SystemExit(7)")), project="prj_b")
    ended = threading.Event()
    unwatch = runtime.watch(lambda project, name: ended.set())
    up(runtime, broken)
    assert ended.wait(5)
    assert "dependencies could not be installed (exit code 7)" in log_of(broken)
    unwatch()


def test_what_cannot_be_started_says_so(runtime: ProcessRuntime, tmp_path: Path) -> None:
    ended = threading.Event()
    unwatch = runtime.watch(lambda project, name: ended.set())
    wanted = stack(tmp_path, service(command=("no-such-program",)))
    up(runtime, wanted)
    assert ended.wait(5)
    assert "no-such-program cannot be started" in log_of(wanted)
    unwatch()


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_an_install_that_was_interrupted_is_done_again(runtime: ProcessRuntime, tmp_path: Path) -> None:
    code = "import os, threading; os.makedirs('node_modules', exist_ok=True); print('half', flush=True); "
    code += "os.path.exists('go') or threading.Event().wait()"
    wanted = stack(tmp_path, service(install=(sys.executable, "-c", code)))
    up(runtime, wanted)
    until(lambda: "| half" in log_of(wanted))
    runtime.stop("prj_a")
    (wanted.workspace / "go").touch()
    for times in (1, 2):
        up(runtime, wanted)
        until(lambda times=times: log_of(wanted).count("listening") == times)  # type: ignore[misc]
        assert log_of(wanted).count("| half") == 2, "once more, then never again"
        runtime.stop("prj_a")


def test_an_install_whose_program_is_missing_says_so(runtime: ProcessRuntime, tmp_path: Path) -> None:
    ended = threading.Event()
    runtime.watch(lambda project, name: ended.set())
    wanted = stack(tmp_path, service(install=("no-such-installer",)))
    up(runtime, wanted)
    assert ended.wait(5)
    assert "error: no-such-installer cannot be started" in log_of(wanted)


POLITE = """
import os, signal, threading
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda got, _: (print("got", signal.Signals(got).name, flush=True), os._exit(0)))
print("ready", flush=True)
while True: signal.pause()
"""


@pytest.mark.parametrize("adopted", [False, True])
def test_a_service_is_asked_by_the_signal_it_wants(runtime: ProcessRuntime, tmp_path: Path, adopted: bool) -> None:
    wanted = stack(tmp_path, service("preview", POLITE), service("opencode", POLITE, stop_signal="SIGINT"))
    up(runtime, wanted)
    until(lambda: log_of(wanted).count("ready") == 2)
    ending = ProcessRuntime(tmp_path / "data", f"test-{os.getpid()}", machine_path) if adopted else runtime
    ending.stop("prj_a")
    until(lambda: log_of(wanted).count("got") == 2)
    assert {"[app] preview | got SIGTERM", "[app] opencode | got SIGINT"} <= set(log_of(wanted).splitlines())
    if adopted:
        ending.close()


def test_what_does_not_end_is_killed_after_a_while(runtime: ProcessRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("doce.process.runtime.GRACE_S", 0.5)
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)\nwhile True: signal.pause()"
    wanted = stack(tmp_path, service(code=code))
    up(runtime, wanted)
    until(lambda: "deaf" in log_of(wanted))
    runtime.stop("prj_a")
    (state,) = runtime.ps("prj_a")
    assert (state.state, state.exit_code) == ("exited", 137)


def test_a_child_without_any_environment_ends_with_its_service(runtime: ProcessRuntime, tmp_path: Path) -> None:
    code = textwrap.dedent("""
        import subprocess, sys, threading
        inner = "import os, signal\\nsignal.signal(signal.SIGTERM, signal.SIG_IGN); print('child', os.getpid(), flush=True)"
        inner += "\\nwhile True: signal.pause()"
        subprocess.Popen([sys.executable, "-c", inner], env={}, process_group=0)
        threading.Event().wait()
    """)
    wanted = stack(tmp_path, service(code=code))
    up(runtime, wanted)
    until(lambda: "child" in log_of(wanted))
    pid = int(log_of(wanted).split("child ")[1].split()[0])
    runtime.stop("prj_a")
    until(lambda: gone(pid))


def test_a_service_hears_signals_that_doce_was_told_to_ignore(runtime: ProcessRuntime, tmp_path: Path) -> None:
    code = "import signal; print('hears', signal.getsignal(signal.SIGHUP) == signal.SIG_DFL, flush=True); signal.pause()"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        wanted = stack(tmp_path, service(code=code))
        up(runtime, wanted)
    finally:
        signal.signal(signal.SIGHUP, before)
    until(lambda: "hears True" in log_of(wanted))


def test_ended_services_leave_no_zombie(runtime: ProcessRuntime, tmp_path: Path) -> None:
    wanted = stack(tmp_path, service())
    for _ in range(3):
        pid = int(up(runtime, wanted)["preview"])
        runtime.stop("prj_a")
        assert not psutil.pid_exists(pid)


def test_a_service_whose_folder_is_missing_says_so(runtime: ProcessRuntime, tmp_path: Path) -> None:
    wanted = stack(tmp_path, service())
    wanted.workspace.rmdir()
    with pytest.raises(Unavailable, match="preview cannot be started: No such file"):
        up(runtime, wanted)
    assert runtime.projects() == set()


OTHER_DOCE = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.process.test_process_runtime import SERVER, ProcessRuntime, Service, Stack, machine_path, stack, up
from doce.testing import faults
faults.configure({fault!r})
data, port = Path({tmp!r}), {port}
runtime = ProcessRuntime(data / "data", {instance!r}, machine_path)
one = Service(name="preview", image="", command=(sys.executable, "-c", SERVER), port=port, host_port=port)
print(up(runtime, stack(data, one))["preview"], flush=True)
sys.stdin.read()
"""


def killed_doce(tmp_path: Path, instance: str, port: int, fault: str | None = None) -> int | None:
    """Another doce starts a service and is killed. The service's process id, if it came to say it."""
    code = OTHER_DOCE.format(root=str(Path(__file__).parents[2]), tmp=str(tmp_path), port=port, instance=instance, fault=fault)
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdin
    assert other.stdout
    with other.stdin, other.stdout:
        said = other.stdout.readline().strip()
        other.send_signal(signal.SIGKILL)
        assert other.wait(10) == -signal.SIGKILL
    return int(said) if said else None


@pytest.mark.parametrize("fault", [None, "process.started=kill"])
def test_kill_9_of_doce_leaves_services_that_the_next_one_adopts_and_ends(tmp_path: Path, fault: str | None) -> None:
    port, instance = free_port(), f"test-adopt-{os.getpid()}"
    pid = killed_doce(tmp_path, instance, port, fault)
    assert (pid is None) == (fault is not None), "killed before it could record what it had started"
    runtime = ProcessRuntime(tmp_path / "data", instance, machine_path)
    try:
        (state,) = runtime.ps("prj_a")
        assert state.state == "running"
        assert pid is None or state.id == str(pid)
        one = Service(name="preview", image="", command=(sys.executable, "-c", SERVER), port=port, host_port=port)
        wanted = stack(tmp_path, one)
        assert up(runtime, wanted) == {"preview": state.id}, "adopted, not started again"
        until(lambda: "listening" in log_of(wanted))
        assert log_of(wanted).count("listening") == 1, "nothing repeated in the log"
        ended = threading.Event()
        runtime.watch(lambda project, name: ended.set())
        psutil.Process(int(state.id)).kill()
        assert ended.wait(2), "the end of an adopted service is told too"
    finally:
        runtime.destroy("prj_a")
        runtime.close()
    assert list(tagged(instance)) == []


def test_what_a_dead_service_left_behind_is_not_taken_for_the_service(tmp_path: Path) -> None:
    """It leads a session of its own and carries the tag; the service it came from died while no doce was there."""
    instance = f"test-left-{os.getpid()}"
    tag = Tag(instance, "prj_a", "preview", "abc")
    orphan = subprocess.Popen(
        [sys.executable, "-c", "import signal; print(1, flush=True); signal.pause()"],
        env={"DOCE_SERVICE": str(tag), "DOCE_LEADER": "1"}, start_new_session=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert orphan.stdout
    with orphan.stdout:
        orphan.stdout.readline()
        runtime = ProcessRuntime(tmp_path / "data", instance, machine_path)
        assert runtime.ps("prj_a") == []
        assert runtime.projects() == {"prj_a"}, "an orphan is seen, so that the reconciler ends it"
        runtime.destroy("prj_a")
        assert orphan.wait(5) == -signal.SIGKILL
        runtime.close()


def test_a_server_whose_parent_is_killed_is_not_left_behind(tmp_path: Path) -> None:
    """nginx is a child of what doce knows it by."""
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    parent = subprocess.Popen(
        [sys.executable, "-I", str(Path(process.__file__).with_name("launch.py")), "stay", "0", sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    child.wait(10)
    parent.stdout.close()
