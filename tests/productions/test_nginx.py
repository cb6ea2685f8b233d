"""The web server's configuration, read by a real nginx."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from doce.ports import is_free
from doce.productions.layout import ProductionLayout
from doce.productions.stack import Ports, ProductionStacks
from doce.projects.views import ProjectView
from doce.settings import Settings, machine_path
from tests.contract.test_runtime import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("nginx") is None, reason="NO NGINX here: Debian's package nginx-light is one"),
]


@contextmanager
def served(layout: ProductionLayout, stacks: ProductionStacks, project: ProjectView) -> Iterator[Ports]:
    """The project's nginx, begun as doce's runtime begins it."""
    ports = Ports(free_port(), free_port())
    stacks.configure(project, ports)
    (service,) = stacks.web(project, ports).services
    process = subprocess.Popen(service.command, cwd=service.folder, stderr=subprocess.PIPE, text=True)
    bell = threading.Event()
    try:
        while is_free(ports.web) or is_free(ports.check):
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            bell.wait(0.02)
        yield ports
    finally:
        process.terminate()
        _, said = process.communicate(timeout=10)
    assert said == "", "it warns of nothing"


@pytest.mark.parametrize(
    "name", ["plain", "two words", "a$b", "${dollar}", '"quoted"', "it's", "back\\slash", "semi;colon {x}", "ümläut #1"]
)
def test_wherever_the_data_folder_is(tmp_path: Path, name: str) -> None:
    tmp_path.chmod(0o755)
    settings = Settings(data=tmp_path / name / "data")
    stacks = ProductionStacks(settings, isolates=False, path=machine_path())
    project = ProjectView.model_construct(id="prj_a", slug="a", name="A", template="static")
    layout = stacks.layout(project.id)
    for number, hash in enumerate(("0a0a0a0a", "1b1b1b1b")):
        (layout.release(hash) / "dist").mkdir(parents=True)
        (layout.release(hash) / "dist" / "index.html").write_text(f"page {number}")
        (layout.release(hash) / "dist" / f"{number}.txt").write_text(f"file {number}")
    layout.switch("0a0a0a0a", 1)
    with served(layout, stacks, project) as ports, httpx.Client(trust_env=False) as client:
        site, check = f"http://127.0.0.1:{ports.web}", f"http://127.0.0.1:{ports.check}"
        assert client.get(f"{site}/").text == "page 0"
        assert client.get(f"{check}/1b1b1b1b/").text == "page 1"
        layout.switch("1b1b1b1b", 2)
        assert client.get(f"{site}/").text == "page 1"
        assert client.get(f"{site}/0.txt").text == "file 0", "of the version before"
        assert client.get(f"{site}/nothing").status_code == 404
        command = stacks.reload(project.id)
        assert command
        done = subprocess.run(command, cwd=layout.root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
