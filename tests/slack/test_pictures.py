"""Pictures of previews: when one is taken, and a real one."""

from __future__ import annotations

import asyncio
import http.server
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from doce.errors import DoceError
from doce.settings import Settings, machine_path
from doce_slack import pictures
from doce_slack.pictures import chromium, photographed

from .surface_house import House, running

pytestmark = pytest.mark.slow

PNG = b"\x89PNG\r\n\x1a\n"


@contextmanager
def site(folder: Path) -> Iterator[int]:
    """Files of a folder, served; gives the port."""

    over = threading.Event()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def do_GET(self) -> None:
            if self.path != "/events":
                super().do_GET()
                return
            # A stream that never ends, as a preview's that waits for changes.
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.flush()
            over.wait(60)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        over.set()
        server.shutdown()


def fake(folder: Path, does: str) -> str:
    """A program in place of Chromium: `does` is shell with the file to make in $SHOT and the address in $URL."""
    folder.mkdir(exist_ok=True)
    program = folder / "chromium"
    find = 'for a in "$@"; do case "$a" in --screenshot=*) SHOT="${a#*=}";; http*) URL="$a";; esac; done\n'
    program.write_text(f"#!/bin/sh\n{find}{does}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def test_when_a_chromium_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = fake(tmp_path / "bin", "exit 0")
    monkeypatch.setattr(pictures, "machine_path", lambda: str(tmp_path / "bin"))
    monkeypatch.setattr(pictures, "_root", lambda: False)
    assert chromium(Settings()) == program
    assert chromium(Settings(slack_preview_images=False)) is None
    monkeypatch.setattr(pictures, "_root", lambda: True)
    assert chromium(Settings()) is None
    assert chromium(Settings(slack_preview_images=True)) == program
    monkeypatch.setattr(pictures, "machine_path", lambda: str(tmp_path))
    assert chromium(Settings(slack_preview_images=True)) is None


def test_a_page_is_photographed_without_doces_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCE_SLACK_BOT_TOKEN", "xoxb-secret")
    program = fake(tmp_path / "bin", f"env > {tmp_path}/env; echo $URL > $SHOT")
    assert asyncio.run(photographed(program, "http://127.0.0.1:4/")) == b"http://127.0.0.1:4/\n"
    assert "xoxb" not in (tmp_path / "env").read_text()


def test_no_picture_is_an_error_and_leaves_nothing_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DoceError, match="exit code 3"):
        asyncio.run(photographed(fake(tmp_path / "bin", "exit 3"), "http://127.0.0.1:4/"))
    with pytest.raises(DoceError, match="of the web"):
        asyncio.run(photographed(fake(tmp_path / "bin", "exit 0"), "file:///etc/passwd"))
    monkeypatch.setattr(pictures, "LIMIT_S", 0.3)
    child = tmp_path / "child"
    with pytest.raises(TimeoutError):
        asyncio.run(photographed(fake(tmp_path / "bin", f"sleep 100 & echo $! > {child}; wait"), "http://127.0.0.1:4/"))
    stat_ = Path(f"/proc/{child.read_text().strip()}/stat")
    assert not stat_.exists() or ") Z " in stat_.read_text()


def test_one_picture_a_turn_and_none_of_what_was_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("one")
    fake(tmp_path / "bin", f"cp {tmp_path}/site/index.html $SHOT")
    monkeypatch.setattr(pictures, "machine_path", lambda: f"{tmp_path}/bin:{os.defpath}")

    async def scenario(house: House) -> None:
        slack = house.slack

        def files() -> list[str]:
            return [name for one in slack.thread("#sites", card.ts) for name in one.files]

        async def turn(text: str) -> None:
            before = len(slack.thread("#sites", card.ts))
            house.turn(house.prompt(project, house.ben, text))
            await slack.until(lambda _: any("✅" in one.shown for one in slack.thread("#sites", card.ts)[before:]))
            await asyncio.gather(*house.door._pictures._tasks)

        card, project = await house.made("ben")
        house.preview(project, port)
        house.ready(project)
        await slack.until(lambda _: files())
        file = next(iter(slack.world.files.values()))
        assert file.alt_text == f"The preview of {project.name}, 1280 by 800 pixels"
        await turn("change nothing")
        assert len(files()) == 1
        (tmp_path / "site" / "index.html").write_text("two")
        await turn("change something")
        assert len(files()) == 2
        (tmp_path / "site" / "index.html").unlink()
        await turn("break it")
        assert len(files()) == 2

    with site(tmp_path / "site") as port:
        running(scenario, tmp_path, slack_preview_images=True)


@pytest.mark.system
def test_a_real_chromium_takes_a_real_picture(tmp_path: Path) -> None:
    program = shutil.which("chromium", path=machine_path())
    if program is None:
        pytest.skip("NO CHROMIUM on this machine")
    (tmp_path / "index.html").write_text(
        "<body style='margin:0;background:rgb(200,30,60)'><h1>Clay</h1><script>new EventSource('/events')</script>"
    )
    (tmp_path / "leak.html").write_text("<script>location = 'file:///etc/hostname'</script><body style='background:#fff'>")
    with site(tmp_path) as port:
        first = asyncio.run(photographed(program, f"http://127.0.0.1:{port}/"))
        again = asyncio.run(photographed(program, f"http://127.0.0.1:{port}/"))
        leak = asyncio.run(photographed(program, f"http://127.0.0.1:{port}/leak.html"))
        (tmp_path / "blank.html").write_text("<body style='background:#fff'>")
        blank = asyncio.run(photographed(program, f"http://127.0.0.1:{port}/blank.html"))
    assert first.startswith(PNG)
    assert (int.from_bytes(first[16:20], "big"), int.from_bytes(first[20:24], "big")) == (1280, 800)
    assert first == again
    assert leak == blank
