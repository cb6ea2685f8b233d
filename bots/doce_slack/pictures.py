"""A picture of the preview after a turn: taken by a Chromium of this machine, put into the thread when it shows something new."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from doce.actions.services import Services
from doce.errors import DoceError
from doce.settings import Settings, machine_path
from doce_slack.calls import Lost, Refused
from doce_slack.files import arrived, upload
from doce_slack.posting import Place
from doce_slack.workspaces import Do

logger = logging.getLogger(__name__)

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WIDTH, HEIGHT = 1280, 800
FILE = "preview.png"
#: How long taking one may take, and how long a page may load, seconds. Chromium's virtual time would wait for ever for a page that
#: listens for changes of its files, as previews do.
LIMIT_S, LOADS_S = 45.0, 8.0
#: A preview that does not answer may be starting again, as doce may be: rests between looks, seconds.
STARTS_S = (1.0, 2.0, 4.0, 8.0)
#: Pictures that wait for Chromium; more are left out: nobody misses the picture of a turn that has been overtaken.
WAITING = 8


def chromium(settings: Settings) -> str | None:
    """The Chromium that takes pictures; None where there is none, or it may not.

    Its sandbox needs another user than root: as root it runs only where DOCE_SLACK_PREVIEW_IMAGES says so in words.
    """
    if settings.slack_preview_images is False or (settings.slack_preview_images is None and _root()):
        return None
    return next((found for name in NAMES if (found := shutil.which(name, path=machine_path()))), None)


def _root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0


class Pictures:
    """`after` takes one of a turn, in the background. It is owed until then: the thread's cursor stays before the turn."""

    def __init__(self, services: Services, do: Do) -> None:
        self._services, self._do = services, do
        self._chromium = chromium(services.settings)
        self._one = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def after(self, place: Place, prompt_id: str, port: int, name: str, done: Callable[[], None]) -> bool:
        """Returns at once, False when none is taken. `port` is where the preview listens on this machine, `name` the project's;
        `done` is called when the picture is in the thread, or there is none."""
        if self._chromium is None or len(self._tasks) >= WAITING:
            return False

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled():
                done()

        task = asyncio.create_task(self._take(place, prompt_id, port, name), name=f"slack-picture-{prompt_id}")
        self._tasks.add(task)
        task.add_done_callback(ended)
        return True

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, place: Place, prompt_id: str, port: int, name: str) -> None:
        try:
            for about in [one for one in place.known if one.startswith(f"picture:{prompt_id}:")]:
                if await arrived(place, about, FILE):
                    return
            await self._answers(place, port)
            async with self._one:
                assert self._chromium
                png = await photographed(self._chromium, f"http://127.0.0.1:{port}/")
                digest = hashlib.sha256(png).hexdigest()[:16]
                pictures = [parts[-1] for about, parts in place.known.items() if about.startswith("picture:")]
                shown = max((one for one in pictures if one.state == "closed"), key=lambda one: one.created_at, default=None)
                if shown and shown.about.endswith(f":{digest}"):
                    return
                alt = f"The preview of {name}, {WIDTH} by {HEIGHT} pixels"
                await upload(place, f"picture:{prompt_id}:{digest}", FILE, png, name, alt=alt)
        except (DoceError, Refused, Lost, OSError, TimeoutError) as error:
            logger.info("there is no picture of a turn: %s", str(error) or type(error).__name__, extra={"prompt_id": prompt_id})

    async def _answers(self, place: Place, port: int) -> None:
        """Chromium would take a picture of its own error page. Raises DoceError."""
        for rest in (*STARTS_S, 0.0):
            try:
                async with place.workspace.session.get(f"http://127.0.0.1:{port}/", allow_redirects=False) as answer:
                    if answer.status >= 400:
                        raise DoceError(f"The preview answers with status {answer.status}.")
                    return
            except aiohttp.ClientError as error:
                if not rest:
                    raise DoceError(f"The preview does not answer ({type(error).__name__}).") from None
            await asyncio.sleep(rest)


async def photographed(program: str, url: str) -> bytes:
    """A PNG of the page. Raises DoceError when there is none, TimeoutError."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise DoceError("Only pages of the web are photographed.")
    with tempfile.TemporaryDirectory(prefix="doce-picture-", ignore_cleanup_errors=True) as folder:
        made = Path(folder) / "preview.png"
        # Its own profile and home, and nothing of doce's environment, which has doce's secrets.
        flags = [
            "--headless", f"--user-data-dir={folder}/profile", f"--screenshot={made}", f"--window-size={WIDTH},{HEIGHT}",
            "--hide-scrollbars", "--force-device-scale-factor=1", "--no-first-run", "--disable-gpu", "--disable-extensions",
            "--disable-sync", "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
            "--mute-audio", "--deny-permission-prompts", "--force-prefers-reduced-motion", f"--timeout={LOADS_S * 1000:.0f}",
            *(["--no-sandbox"] if _root() else []),
        ]  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            program, *flags, url, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": machine_path(), "HOME": folder}, cwd=folder, start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(LIMIT_S):
                code = await process.wait()
        finally:
            # Whatever it started, too.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                process.kill() if sys.platform == "win32" else os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if code or not made.exists():
            raise DoceError(f"Chromium took no picture (exit code {code}).")
        return made.read_bytes()
