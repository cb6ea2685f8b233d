"""`doce serve` is killed -9 at each point of its way: afterwards everything is there, and once.

The process is real, and so is Socket Mode; what an agent would say is written into the log by the test, so that each word comes at
a moment that the test knows.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from doce.db.connection import database, open_database
from doce.db.models import ChatMessage, ChatThread, Project, Prompt
from doce.events import log
from doce.events import vocabulary as told
from doce.settings import load

from .house import Office, logged, office, said, squeezed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

#: point → the times it is passed at which doce dies
POINTS = {
    "slack.claimed": (1, 2), "slack.settle": (1, 2), "slack.settled": (1, 2), "slack.intended": (1, 2, 3), "slack.called": (1, 2, 3),
    "slack.placed": (1, 2, 3), "slack.appended": (1,), "slack.ended": (1, 2), "slack.closed": (1, 2), "slack.rolling": (1,),
    "slack.rolled": (1,),
}  # fmt: skip
CASES = [(f"{point}=kill@{time}", True) for point, times in POINTS.items() for time in times]
CASES += [(f"{point}=kill@{time}", False) for point in ("slack.called", "slack.appended", "slack.ended") for time in (1, 2)]


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("killed") / "data"
    with office(folder, load().cache, linked=("ada",), DOCE_WORKERS="0", DOCE_SLACK_ROLL_S="1.5") as made:
        open_database(folder / "db.sqlite")
        try:
            yield made
        finally:
            database.close()


class Watch:
    """Starts doce again when it dies of its fault."""

    def __init__(self, acme: Office) -> None:
        self._acme = acme
        self.died = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.02):
            process = self._acme.home.process
            if process and process.poll() is not None:
                self.died = True
                self._acme.home.start()
                return


class Agent:
    """What an agent would say in the turn of a prompt."""

    def __init__(self, project: str, prompt: Prompt) -> None:
        self._project, self._prompt, self._offset = project, prompt, 0
        self._tell(told.PromptSent(message_id="msg_0", text=prompt.text))

    def _tell(self, payload: told.Payload) -> None:
        log.append(payload, project_id=self._project, prompt_id=self._prompt.id, session_id="ses_1")

    def say(self, text: str) -> None:
        self._tell(told.MessagePartAdded(message_id=self._prompt.id, part_id="prt_1", offset=self._offset, delta_text=text))
        self._offset += len(text)

    def work(self) -> None:
        self._tell(told.ToolStart(tool_call_id=f"call_{self._prompt.id}", name="bash", title="ls", input={"command": "ls"}))
        result: dict[str, Any] = {"name": "bash", "title": "ls", "output": "a\nb", "metadata": {}}
        self._tell(told.ToolFinish(tool_call_id=f"call_{self._prompt.id}", **result))

    def completed(self) -> None:
        self._tell(told.PromptCompleted(duration_ms=1))


def patiently(look: Any, timeout_s: float = 45) -> Any:
    """What `look` gives once it is something: doce may be dead at the moment."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        with contextlib.suppress(IndexError, StopIteration, AssertionError):
            if found := look():
                return found
        threading.Event().wait(0.05)
    raise AssertionError(f"it never came: {look}")


#: The others in `scripts/test all`.
OFTEN = ("slack.claimed=kill@1", "slack.settle=kill@1", "slack.called=kill@2", "slack.appended=kill@1", "slack.ended=kill@2")


def _case(fault: str, streams: bool) -> ParameterSet:
    return pytest.param(fault, streams, marks=() if streams and fault in OFTEN else pytest.mark.nightly)


@pytest.mark.parametrize(("fault", "streams"), [_case(*case) for case in CASES])
def test_nothing_is_lost_or_doubled_by_a_kill(acme: Office, fault: str, streams: bool) -> None:
    acme.town.streams = streams
    known, before = set(projects()), {one.ts for one in acme.look(lambda: acme.town.messages("#sites"))}
    acme.home.kill()
    acme.home.start(DOCE_FAULT=fault)
    acme.ready()
    with Watch(acme) as watch:
        acme.slash("new a bakery")
        project = patiently(lambda: next(one for one in projects() if one not in known))
        root = acme.until(lambda: [one for one in acme.town.messages("#sites") if one.ts not in before and one.author == "doce"], 45)[0].ts
        speak(Agent(project, prompts(project)[0]))
        acme.say("make it dark", root)
        speak(Agent(project, patiently(lambda: prompts(project)[1])))
        patiently(lambda: told_all(acme, project, root))
    assert watch.died, "the fault was never met"
    acme.run(acme.town.settled())
    cards = [one for one in acme.look(lambda: acme.town.messages("#sites")) if one.ts not in before and one.author == "doce"]
    assert len(cards) == 1, "one root card"
    assert len(set(projects()) - known) == 1
    assert len(prompts(project)) == 2, "each was asked once"


def projects() -> list[str]:
    return [row.id for row in Project.select()]


def prompts(project: str) -> list[Prompt]:
    return list(Prompt.select().where(Prompt.project_id == project).order_by(Prompt.position))


def speak(agent: Agent) -> None:
    """A turn that takes a while, in words."""
    for number in range(24):
        agent.say(f"Word {number}. ")
        if number == 6:
            agent.work()
        threading.Event().wait(0.15)
    agent.completed()


def told_all(acme: Office, project: str, root: str) -> bool:
    """The thread says what the log says, nothing is open and the cursor is at the end."""
    messages = acme.thread(root)[1:]
    shown = "".join(said(one) for one in messages if said(one)).replace("\n\n_continued below_", "")
    events = list(log.all_after(project))
    wanted = "".join(logged(events, prompt.id) for prompt in prompts(project))
    thread = ChatThread.get(ChatThread.project_id == project)
    open_ = (
        ChatMessage.select().where(ChatMessage.thread_id == thread.id, ChatMessage.state != "closed", ChatMessage.about != "card").count()
    )
    return squeezed(shown) == squeezed(wanted) and not open_ and thread.cursor >= log.last_seq(project)
