"""The notebooks, run whole by nbclient against a doce that they start themselves; and a kernel that comes to its end in every way."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.system.conftest import cache as cache

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    # Of the kernel's own client: sockets it closes when it is collected.
    pytest.mark.filterwarnings(
        "default::ResourceWarning", "default::DeprecationWarning", "default::pytest.PytestUnraisableExceptionWarning"
    ),
]

#: For a machine that is busy with other work.
PATIENCE_S = 400
FOLDER = Path(__file__).parents[2] / "notebooks"
NAMES = [pytest.param(path.stem, marks=pytest.mark.nightly if path.stem == "ops" else ()) for path in sorted(FOLDER.glob("*.ipynb"))]


@pytest.fixture
def place(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder; what a kernel started there is gone afterwards."""
    for name in list(os.environ):
        if name.startswith("DOCE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DOCE_CACHE", str(cache))
    monkeypatch.setenv("DOCE_MIN_FREE_MB", "100")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "mpl"))
    yield tmp_path
    for process in psutil.process_iter():
        try:
            if str(tmp_path) in process.environ().get("HOME", ""):
                process.kill()
        except (psutil.Error, OSError):
            continue


def run(notebook: Any, place: Path, **options: Any) -> Any:
    client = NotebookClient(notebook, timeout=PATIENCE_S, kernel_name="python3", resources={"metadata": {"path": str(place)}}, **options)
    client.execute()
    return notebook


def cells(*sources: str) -> Any:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])


def told(cell: Any, kind: str = "text/plain") -> str:
    return "\n".join("".join(one["data"].get(kind, "")) for one in cell.outputs if "data" in one)


def refused(cell: Any) -> str:
    """What a cell that failed says, as it is shown."""
    return "\n".join("\n".join(one["traceback"]) for one in cell.outputs if one["output_type"] == "error")


def working(place: Path) -> list[psutil.Process]:
    """What runs in the data folder of `place`: doce itself, agents, previews, deployed sites."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(place / "data") in f"{process.cwd()} {' '.join(process.cmdline())}":
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def left(place: Path) -> list[psutil.Process]:
    """What is still there when what ends with a kernel has had the time to."""
    return psutil.wait_procs(working(place), timeout=PATIENCE_S)[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_whole(name: str, place: Path) -> None:
    done = run(nbformat.read(FOLDER / f"{name}.ipynb", 4), place)
    code = [cell for cell in done.cells if cell.cell_type == "code"]
    if name == "quickstart":
        # A saved notebook still reads: the summary of each panel is static Markdown.
        asked = [cell for cell in code if cell.source.startswith("%%doce")]
        for cell in asked:
            assert "**Ceramicist** · Done" in told(cell, "text/markdown"), "the turn's answer stays in the output"
            assert "[preview](http://" in told(cell, "text/markdown")
        assert "'chat.prompt.completed'" in told(code[5])
    if name == "batch":
        assert "the florist is there" in told(code[-1])
        assert told(code[-1]).count("changed") >= 3
    if name == "ops":
        assert sum("image/png" in one.get("data", {}) for cell in code for one in cell.outputs) == 3
        assert "<svg" in told(next(cell for cell in code if cell.source.startswith("doce.usage")), "text/html")
    assert not left(place), "the doce of the kernel ends with it, and so do its sites"


class Kernel:
    """A kernel by hand."""

    def __init__(self, place: Path) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=str(place))
        self._connect()

    def _connect(self) -> None:
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(PATIENCE_S)

    def run(self, code: str) -> str:
        """What it prints. Raises AssertionError when it fails."""
        said: list[str] = []

        def hear(message: Any) -> None:
            if message["msg_type"] == "stream":
                said.append(message["content"]["text"])

        reply = self.client.execute_interactive(code, timeout=PATIENCE_S, output_hook=hear)
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(said)

    def restart(self) -> None:
        self.client.stop_channels()
        self.manager.restart_kernel(now=False)
        self._connect()

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(place: Path) -> Iterator[Kernel]:
    made = Kernel(place)
    yield made
    made.close()


def test_a_kernel_that_is_killed_takes_its_doce_and_its_sites_with_it(kernel: Kernel, place: Path) -> None:
    kernel.run("import doce; site = doce.create('[[rehearse only: hi]] x', template='static'); site.wait(); site.deploy()")
    assert len(working(place)) >= 4, "doce, an agent, a preview, a deployed site"
    psutil.Process(kernel.manager.provisioner.pid).send_signal(signal.SIGKILL)  # type: ignore[union-attr]
    assert not left(place)


def test_a_kernel_restarted_in_mid_turn(kernel: Kernel, place: Path) -> None:
    """The next one finds the project again; the text so far is kept, and the turn has an end."""
    start = "%load_ext doce\nimport doce\nfrom doce.notebook import panel"
    kernel.run(f"{start}\nsite = doce.create('[[rehearse long 20000]] a page', template='static')")
    kernel.run("for event in site.events():\n    if event.type == 'chat.message.part.added': break")
    kernel.run("%doce open")
    kernel.restart()
    kernel.run(start)
    kernel.run("%doce open")
    assert "interrupted" in kernel.run("turn = list(panel.panels)[0].wait(100); print(turn.state, turn.hint)")
    assert kernel.run("print(len(turn.answer) > 10)") == "True\n"
    assert "completed" in kernel.run(
        "print(doce.projects()[0]['id'] and doce.open(doce.projects()[0]['id']).chat('[[rehearse only: on]] go on').wait().state)"
    )


def test_words_errors_and_a_broken_start(place: Path) -> None:
    done = run(
        cells(
            "%load_ext doce",
            "%doce status",
            "%doce open nothing",
            "%%doce\n \n",
            "%doce help",
            "1/0",
            "%%doce --new --template static --wait\n[[rehearse only: fixed]] {Err[6]}",
            "import doce\ndoce.projects()[0]['prompt']",
            "%%doce --wait\n[[rehearse 401]] more",
            "%doce delete",
            "%doce list",
            "%doce help deploy",
            "%doce deploy",
        ),
        place,
        allow_errors=True,
    ).cells
    assert "no project yet" in refused(done[1])
    assert "There is no project 'nothing'" in refused(done[2])
    assert "Write it below" in refused(done[3])
    assert "%%doce [project]" in told(done[4], "text/markdown")
    assert "rollback" in told(done[4])
    assert "fixed" in told(done[6], "text/markdown")
    assert "ZeroDivisionError" in told(done[7])
    assert "interactiveshell.py" not in told(done[7])
    assert "The turn ended as failed" in refused(done[8]), "a script must not go on"
    assert "Failed" in told(done[8], "text/markdown")
    assert "Write: delete" in refused(done[9])
    assert "<table>" in told(done[10], "text/html")
    assert told(done[11]).startswith("deploy PROJECT")
    assert told(done[12]).startswith(("queued", "building"))
    assert not any("Traceback" in refused(cell) for cell in done if "1/0" not in cell.source)


def test_stop_before_the_agent_has_the_prompt(kernel: Kernel) -> None:
    """The panel's turn is taken back; the project goes on, and so does the turn of another panel."""
    kernel.run("%load_ext doce\nfrom doce.notebook import panel")
    kernel.run("%%doce --new --template static\n[[rehearse hang]] first")
    kernel.run("%%doce\n[[rehearse only: second]] second")
    kernel.run("%%doce\n[[rehearse only: third]] third")
    kernel.run("first, second, third = sorted(panel.panels, key=lambda one: one._after)")
    kernel.run("second._stop.click()")
    assert kernel.run("print(second.wait(60).state)") == "removed\n"
    kernel.run("for event in __import__('doce').open(first.id).events():\n    if event.type == 'chat.prompt.sent': break")
    assert kernel.run("print(first.turn.over)") == "False\n"
    kernel.run("first._stop.click()")
    assert kernel.run("print(first.wait(100).state, third.wait(100).answer)") == "stopped third\n"


def test_async_readers_and_readers_that_stop_early(kernel: Kernel) -> None:
    kernel.run("import doce; site = doce.create('[[rehearse only: hello]] x', template='static'); site.wait()")
    assert kernel.run(
        "chat = site.chat('[[rehearse only: yes]] x')\nasync for event in chat: pass\nprint(chat.turn.state, chat.turn.answer)"
    ) == ("completed yes\n")
    kernel.run("async for event in site.events(): break\nfor event in site.events(): break")
    kernel.run("import gc, threading; gc.collect()")
    # Nobody watches any more but who asks: the streams that were left are closed.
    kernel.run(
        "import time\nlook = lambda: doce.connect().request('POST', f'/api/projects/{site.id}/presence', body={'viewerId': 'me'})\n"
        "for _ in range(200):\n    if look()['viewerCount'] == 1: break\n    time.sleep(0.1)\nassert look()['viewerCount'] == 1"
    )
    assert "doce" not in kernel.run("print([thread.name for thread in threading.enumerate() if 'panel' in thread.name])")


@pytest.mark.nightly
def test_ten_panels_at_once_two_on_one_project_and_nothing_left(place: Path) -> None:
    done = run(
        cells(
            "%load_ext doce\nimport doce, threading\nfrom doce.notebook import panel, background\nbefore = threading.active_count()",
            "%%doce --new --template static\n[[rehearse long 3000]] a page",
            "first = list(panel.panels)[0]\nfirst.wait(60).state",
            *[f"%%doce\n[[rehearse only: answer {number}]] more" for number in range(8)],
            "%doce open",
            "turns = [one.wait(90) for one in list(panel.panels)]\nsorted(turn.state for turn in turns)",
            "sorted(turn.answer for turn in turns if turn.answer.startswith('answer'))",
            "site = doce.projects()[0]; log = ''.join(e.payload['deltaText'] for e in doce.open(site['id']).events(follow=False) "
            "if e.type == 'chat.message.part.added')\nfirst.turn.answer in log, len(first.turn.answer) > 2500",
            "import time\nfor _ in range(100):\n    left = [t.name for t in threading.enumerate() if t.name.startswith('doce-panel')]\n"
            "    if not left: break\n    time.sleep(0.1)\nleft",
        ),
        place,
    ).cells
    assert told(done[2]) == "'completed'"
    states = told(done[12])
    assert states.count("completed") == 10, states
    # The one that was opened shows the last turn, as its own panel does.
    assert [f"answer {number}" in told(done[13]) for number in range(8)] == [True] * 8
    assert told(done[14]) == "(True, True)"
    assert told(done[15]) == "[]"


@pytest.mark.nightly
def test_doce_killed_in_mid_turn_is_caught_up_with(place: Path) -> None:
    """The panel reads on after doce is back, with no text lost or doubled."""
    done = run(
        cells(
            "%load_ext doce\nimport doce, os, signal, psutil, subprocess, sys\nfrom doce.notebook import panel, background",
            "%%doce --new --template static\n[[rehearse long 8000]] a page",
            "shown = list(panel.panels)[0]\nimport time\nwhile not shown.turn.answer: time.sleep(0.05)",
            # Somebody's doce on the same folder and port: what the kernel started is killed, and started by hand again.
            "keeper = psutil.Process(background._keeper.pid)\nchild = keeper.children()[0]\n"
            "port = background.connect().address.url.rpartition(':')[2]\nchild.kill(); child.wait()\n"
            "again = subprocess.Popen([sys.executable, '-m', 'doce', 'serve', '--port', port], "
            "stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)",
            "state = shown.wait(100).state; state",
            "said = [e for e in doce.open(shown.id).events(follow=False) if e.type == 'chat.message.final']\n"
            "shown.turn.answer == '\\n\\n'.join(e.payload['text'] for e in said if e.payload['text'])",
            "again.terminate(); again.wait(20)",
        ),
        place,
    ).cells
    assert told(done[4]) == "'completed'"
    assert told(done[5]) == "True"


def test_the_stop_button_of_the_kernel_stops_a_waiting_cell(kernel: Kernel) -> None:
    kernel.run("%load_ext doce\nimport doce\nfrom doce.notebook import panel")
    asked = kernel.client.execute("%%doce --new --template static --wait\n[[rehearse long 20000]] a page")
    while True:
        message = kernel.client.get_iopub_msg(timeout=PATIENCE_S)
        if message["msg_type"] == "comm_msg" and "working" in str(message["content"]):
            break
    kernel.manager.interrupt_kernel()
    while kernel.client.get_shell_msg(timeout=PATIENCE_S)["parent_header"].get("msg_id") != asked:
        continue
    assert kernel.run("print(list(panel.panels)[0].turn.state)") == "stopped\n"


def test_an_error_of_a_cell_is_an_error_of_the_run(place: Path) -> None:
    with pytest.raises(CellExecutionError):
        run(cells("%load_ext doce", "%%doce --nonsense\nx"), place)
