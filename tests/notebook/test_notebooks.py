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
    pytest.mark.timeout(300),
    # Of the kernel's own client: sockets it closes when it is collected.
    pytest.mark.filterwarnings(
        "default::ResourceWarning", "default::DeprecationWarning", "default::pytest.PytestUnraisableExceptionWarning"
    ),
]

FOLDER = Path(__file__).parents[2] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


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
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(place)}}, **options)
    client.execute()
    return notebook


def cells(*sources: str) -> Any:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])


def told(cell: Any, kind: str = "text/plain") -> str:
    return "\n".join("".join(one["data"].get(kind, "")) for one in cell.outputs if "data" in one)


def serving(place: Path) -> list[psutil.Process]:
    """The doce that a kernel started in `place`."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if str(place) in " ".join(process.info["cmdline"] or []) and "serve" in (process.info["cmdline"] or []):
            found.append(process)
    return found


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
    assert not serving(place), "the doce of the kernel ends with it"


def test_a_kernel_that_is_killed_takes_its_doce_with_it(place: Path) -> None:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(place))
    try:
        client = manager.blocking_client()
        client.start_channels()
        client.wait_for_ready(60)
        client.execute_interactive("import doce; doce.projects()", timeout=60)
        (process,) = serving(place)
        kernel = psutil.Process(manager.provisioner.pid)  # type: ignore[union-attr]
        client.stop_channels()
        kernel.send_signal(signal.SIGKILL)
        process.wait(20)
    finally:
        manager.shutdown_kernel(now=True)


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
        ),
        place,
        allow_errors=True,
    ).cells
    assert "no project yet" in told(done[1], "text/markdown")
    assert "nothing" in told(done[2], "text/markdown")
    assert "Write it below" in told(done[3], "text/markdown")
    assert "rollback" in told(done[4], "text/markdown")
    assert "fixed" in told(done[6], "text/markdown")
    assert "ZeroDivisionError" in told(done[7])
    assert "The turn ended as failed" in "".join(one.get("text", "") for one in done[8].outputs)
    assert "Failed" in told(done[8], "text/markdown")


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


def test_the_stop_button_of_the_kernel_stops_a_waiting_cell(place: Path) -> None:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(place))
    try:
        client = manager.blocking_client()
        client.start_channels()
        client.wait_for_ready(60)
        client.execute_interactive("%load_ext doce\nimport doce\nfrom doce.notebook import panel", timeout=60)
        asked = client.execute("%%doce --new --template static --wait\n[[rehearse long 20000]] a page")
        site: list[str] = []
        while True:
            message = client.get_iopub_msg(timeout=60)
            if message["msg_type"] == "comm_msg" and "working" in str(message["content"]):
                break
        manager.interrupt_kernel()
        while client.get_shell_msg(timeout=60)["parent_header"].get("msg_id") != asked:
            continue
        client.execute_interactive(
            "print(list(panel.panels)[0].turn.state)", timeout=60,
            output_hook=lambda message: site.append(message["content"].get("text", "")),
        )  # fmt: skip
        assert "stopped" in "".join(site)
        client.stop_channels()
    finally:
        manager.shutdown_kernel(now=True)


def test_an_error_of_a_cell_is_an_error_of_the_run(place: Path) -> None:
    with pytest.raises(CellExecutionError):
        run(cells("%load_ext doce", "%%doce --nonsense\nx"), place)
