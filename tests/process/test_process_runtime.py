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

from doce.errors import Conflict, NotFound, Unavailable
from doce.ports import PortTaken
from doce.process import ProcessRuntime
from doce.process.tags import tagged
from doce.settings import machine_path
from doce.stacks.logs import LogFile
from doce.stacks.stack import Service, Stack

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


def test_up_starts_once_and_only_what_changed(runtime: ProcessRuntime, tmp_path: Path) -> None:
    one, two = service("preview"), service("opencode")
    first = up(runtime, stack(tmp_path, one, two))
    assert set(first) == {"preview", "opencode"}
    assert up(runtime, stack(tmp_path, one, two)) == first
    changed = service("opencode", env={"A": "b"})
    second = up(runtime, stack(tmp_path, one, changed))
    assert second["preview"] == first["preview"]
    assert second["opencode"] != first["opencode"]
    runtime.stop("prj_a", ["opencode"])
    assert {state.service: state.state for state in runtime.ps("prj_a")} == {"preview": "running", "opencode": "exited"}
    runtime.down("prj_a")
    assert runtime.ps("prj_a") == []
    assert runtime.projects() == set()


def test_a_service_gets_nothing_of_doces_environment(runtime: ProcessRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCE_OPENROUTER_KEY", "sk-very-secret-key-123456")
    code = "import json, os; print(json.dumps(sorted(os.environ)), flush=True); import time; time.sleep(60)"
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


def test_an_end_by_itself_is_told_and_known(runtime: ProcessRuntime, tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    ended = threading.Event()
    unwatch = runtime.watch(lambda project, name: (told.append((project, name)), ended.set()))
    wanted = stack(tmp_path, service(code="import sys; print('error: no', flush=True); sys.exit(3)"))
    up(runtime, wanted)
    assert ended.wait(5)
    assert told == [("prj_a", "preview")]
    (state,) = runtime.ps("prj_a")
    assert (state.state, state.exit_code) == ("exited", 3)
    assert "error: no" in log_of(wanted)
    up(runtime, stack(tmp_path, service()))
    runtime.stop("prj_a")
    assert told == [("prj_a", "preview")], "an end that was asked for is no news"
    unwatch()


def test_grandchildren_go_too_even_those_in_a_session_of_their_own(runtime: ProcessRuntime, tmp_path: Path) -> None:
    code = textwrap.dedent("""
        import os, subprocess, sys, time
        inner = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        inner += "print('child', os.getpid(), flush=True); time.sleep(60)"
        subprocess.Popen([sys.executable, "-c", inner], start_new_session=True)
        time.sleep(60)
    """)
    wanted = stack(tmp_path, service(code=code))
    up(runtime, wanted)
    until(lambda: "child" in log_of(wanted))
    pid = int(log_of(wanted).split("child ")[1].split()[0])
    runtime.destroy("prj_a")
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_port_that_somebody_took_is_noticed_before_the_start(runtime: ProcessRuntime, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken) as caught:
            up(runtime, stack(tmp_path, service(host_port=port, port=port)))
    assert (caught.value.port, caught.value.service) == (port, "preview")
    assert runtime.ps("prj_a") == []


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


def test_exec_runs_beside_the_service(runtime: ProcessRuntime, tmp_path: Path) -> None:
    with pytest.raises(Conflict):
        runtime.exec("prj_a", "preview", ["true"], timeout_s=1)
    wanted = stack(tmp_path, service(env={"A": "b"}))
    up(runtime, wanted)
    until(lambda: "listening" in log_of(wanted))
    done = runtime.exec("prj_a", "preview", [sys.executable, "-c", "import os; print(os.getcwd(), os.environ['A']); exit(4)"], timeout_s=10)
    assert (done.exit_code, done.output.split()) == (4, [str(wanted.workspace), "b"])
    with pytest.raises(NotFound):
        runtime.exec("prj_a", "preview", ["no-such-program"], timeout_s=1)
    with pytest.raises(Unavailable, match="did not end"):
        runtime.exec("prj_a", "preview", [sys.executable, "-c", "import time; time.sleep(30)"], timeout_s=0.2)


def test_what_cannot_be_started_says_so(runtime: ProcessRuntime, tmp_path: Path) -> None:
    ended = threading.Event()
    unwatch = runtime.watch(lambda project, name: ended.set())
    wanted = stack(tmp_path, service(command=("no-such-program",)))
    up(runtime, wanted)
    assert ended.wait(5)
    assert "no-such-program cannot be started" in log_of(wanted)
    unwatch()


OTHER_DOCE = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.process.test_process_runtime import SERVER, ProcessRuntime, Service, Stack, machine_path, stack, up
data, port = Path({tmp!r}), {port}
runtime = ProcessRuntime(data / "data", {instance!r}, machine_path)
one = Service(name="preview", image="", command=(sys.executable, "-c", SERVER), port=port, host_port=port)
print(up(runtime, stack(data, one))["preview"], flush=True)
sys.stdin.read()
"""


def test_kill_9_of_doce_leaves_services_that_the_next_one_adopts_and_ends(tmp_path: Path) -> None:
    port, instance = free_port(), f"test-adopt-{os.getpid()}"
    root = str(Path(__file__).parents[2])
    code = OTHER_DOCE.format(root=root, tmp=str(tmp_path), port=port, instance=instance)
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout
    pid = other.stdout.readline().strip()
    assert pid
    other.send_signal(signal.SIGKILL)
    other.wait(10)
    other.stdout.close()
    assert other.stdin
    other.stdin.close()
    runtime = ProcessRuntime(tmp_path / "data", instance, machine_path)
    try:
        (state,) = runtime.ps("prj_a")
        assert (state.id, state.state) == (pid, "running")
        one = Service(name="preview", image="", command=(sys.executable, "-c", SERVER), port=port, host_port=port)
        wanted = stack(tmp_path, one)
        assert up(runtime, wanted) == {"preview": pid}, "adopted, not started again"
        until(lambda: "listening" in log_of(wanted))
        assert log_of(wanted).count("listening") == 1, "nothing repeated in the log"
        ended = threading.Event()
        unwatch = runtime.watch(lambda project, name: ended.set())
        psutil.Process(int(pid)).kill()
        assert ended.wait(5), "the end of an adopted service is told too"
        unwatch()
    finally:
        runtime.destroy("prj_a")
        runtime.close()
    assert list(tagged(instance)) == []
