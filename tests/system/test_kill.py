"""kill -9 of doce at any point: jobs resume, streams resume with no gap and no double, no prompt is sent twice, nothing is orphaned."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import psutil
import pytest

from doce.client.reading import Event

from .house import House, check_log, ended_prompt, house

pytestmark = [pytest.mark.system, pytest.mark.slow]


def user_messages(home: House, project: str) -> int:
    """How many prompts the agent itself knows of."""
    return len([event for event in home.doce.events(project, follow=False) if event.type == "chat.prompt.sent"])


def test_a_turn_goes_on_over_a_kill_and_readers_miss_nothing(tmp_path: Path, cache: Path) -> None:
    with house(tmp_path / "data", cache) as home:
        project, _ = home.create("a bookshop")
        agent = {process.pid for process in home.agents(project)}
        prompt = home.doce.chat(project, "[[rehearse slow 15]] [[rehearse long 6000]]")
        seen: list[Event] = home.until(project, lambda event: event.type == "chat.message.part.added" and event.prompt_id == prompt["id"])
        cursor = seen[-1].seq
        home.kill()
        assert {process.pid for process in home.agents(project)} == agent, "the agent lives on"
        home.start()
        rest = home.until(project, lambda event: ended_prompt(event) and event.prompt_id == prompt["id"], after=cursor)
        assert rest[-1].type == "chat.prompt.completed"
        assert [event.seq for event in seen + rest] == [event.seq for event in home.doce.events(project, follow=False)][: len(seen + rest)]
        check_log(seen + rest)
        finals = [event for event in rest if event.type == "chat.message.final" and event.prompt_id == prompt["id"]]
        assert len(finals[-1].payload["text"]) == 6000
        assert {process.pid for process in home.agents(project)} == agent, "and was adopted, not started again"


@pytest.mark.parametrize(
    "point",
    [
        "docker.up", "opencode.prompt.intended", "opencode.prompt.sent",
        *(
            pytest.param(point, marks=pytest.mark.nightly)
            for point in (
                "project.create.copied", "process.started", "opencode.session.created", "opencode.prompt.before", "queue.finish@4",
                "queue.finished@2",
            )
        ),
    ],
)  # fmt: skip
def test_killed_in_the_pipeline_it_goes_on_and_sends_the_prompt_once(tmp_path: Path, cache: Path, point: str) -> None:
    name, _, nth = point.partition("@")
    home = House(tmp_path / "data", cache)
    (tmp_path / "data").mkdir()
    try:
        home.start(DOCE_FAULT=f"{name}=kill{f'@{nth}' if nth else ''}")
        project = home.doce.create("a tea shop with prices")["id"]
        assert home.process
        assert home.process.wait(40) == -signal.SIGKILL
        home.start()
        events = home.until(project, ended_prompt)
        assert events[-1].type == "chat.prompt.completed", events[-1].payload
        check_log(events)
        assert user_messages(home, project) == 1
        assert "Prices" in home.page(project)
        sent = [event for event in events if event.type == "chat.message.final" and event.payload.get("finish") == "stop"]
        assert len(sent) == 1, "the agent answered once"
        assert len([process for process in home.agents(project, "preview") if process.ppid() == os.getpid()]) == 0
        home.doce.delete(project)
        home.until(project, lambda event: event.type == "project.deleted", timeout_s=20)
        assert home.agents(project) + home.agents(project, "preview") == []
    finally:
        home.stop()
        for process in psutil.process_iter():
            try:
                if str(tmp_path) in process.environ().get("HOME", ""):
                    process.kill()
            except (psutil.Error, OSError):
                continue


@pytest.mark.parametrize(
    "point", ["docker.stop", pytest.param("project.delete.destroyed", marks=pytest.mark.nightly), "project.delete.removed"]
)
def test_killed_while_it_ends_a_project_it_finishes_the_job(tmp_path: Path, cache: Path, point: str) -> None:
    with house(tmp_path / "data", cache) as home:
        project, _ = home.create("a kiosk")
        home.stop()
        home.start(DOCE_FAULT=f"{point}=kill")
        if point == "docker.stop":
            home.doce.request("POST", f"/api/projects/{project}/halt")
        else:
            home.doce.delete(project)
        assert home.process
        home.process.wait(20)
        home.start()
        over = "stopped" if point == "docker.stop" else "deleted"

        def done(event: Event) -> bool:
            return event.type == "project.deleted" or (event.type == "project.status" and event.payload["status"] == over)

        home.until(project, done, timeout_s=30)
        assert home.agents(project) + home.agents(project, "preview") == []
        if over == "deleted":
            assert not (home.folder / "projects" / project).exists()


def test_sigterm_ends_open_streams_and_exits_in_time_and_agents_go_on(tmp_path: Path, cache: Path) -> None:
    with house(tmp_path / "data", cache) as home:
        project, _ = home.create("a florist")
        prompt = home.doce.chat(project, "[[rehearse slow 20]] [[rehearse long 4000]]")
        home.until(project, lambda event: event.type == "chat.message.part.added" and event.prompt_id == prompt["id"])
        ended = threading.Event()

        def watch() -> None:
            try:
                for _ in home.doce.events(project):
                    pass
            except Exception:
                ended.set()

        threading.Thread(target=watch, daemon=True).start()
        took = home.stop()
        assert took < 10
        home.start()
        events = home.until(project, lambda event: ended_prompt(event) and event.prompt_id == prompt["id"])
        assert events[-1].type == "chat.prompt.completed"
        check_log(events)


def test_a_worker_beside_a_server_without_workers(tmp_path: Path, cache: Path) -> None:
    with house(tmp_path / "data", cache, DOCE_WORKERS="0") as home:
        import sys

        worker = subprocess.Popen(
            [sys.executable, "-m", "doce", "worker"], env={**home.environment, "DOCE_WORKERS": "2"}, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            project, events = home.create("a barber shop")
            assert events[-1].type == "chat.prompt.completed"
            worker.kill()
            worker.wait()
            assert home.agents(project)
            prompt = home.doce.chat(project, "[[rehearse only: nobody works on me yet]]")
            assert home.prompt(project, prompt["id"])["state"] == "queued"
        finally:
            worker.kill()
            worker.wait()


def test_a_second_server_on_the_same_folder_is_refused(tmp_path: Path, cache: Path) -> None:
    with house(tmp_path / "data", cache) as home:
        other = home.command("serve", "--port", "0", check=False)
        assert other.returncode == 1
        assert "Another `doce serve`" in other.stderr
