"""The Slack door in this process: a twin of Slack, a database, every action; no agent, no jobs done.

What an agent would do is written into the log by hand (`House.turn`, `House.ask`, `House.deployed`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from doce.actions.services import Services
from doce.app import Parts, build
from doce.auth.users import Person
from doce.chats.claims import Claim
from doce.db.connection import database
from doce.db.models import Job as JobRow
from doce.db.models import Project
from doce.events import log
from doce.events import vocabulary as said
from doce.productions.digest import Output
from doce.projects.status import ProjectStatus, PromptState
from doce.projects.views import ProjectView, PromptView
from doce.queue import jobs
from doce.queue.context import write_log
from doce.queue.enqueue import enqueue
from doce.queue.types import Job, ProductionBuild
from doce.settings import Settings
from doce.testing.slack import Message, Seen, Slack, User, View
from doce.testing.slack.layout import texts
from doce_slack.door import SlackDoor
from doce_slack.workspaces import KIND

PUBLIC = "https://doce.example"


@dataclass(eq=False)
class House:
    """The twin, the door and what is behind it. `ada` is an admin of doce and linked, `ben` a member and linked; cleo is nobody."""

    slack: Slack
    door: SlackDoor
    parts: Parts
    ada: Person
    ben: Person

    @property
    def services(self) -> Services:
        return self.parts.services

    @property
    def team(self) -> str:
        return self.slack.workspace.id

    # What there is

    def project(self, owner: Person, name: str = "Clay", prompt: str = "a portfolio for a ceramicist") -> ProjectView:
        """A project that runs, its first turn over."""
        made = self.services.projects.create(owner.id, prompt, name=name)
        self.ready(made)
        self.preview(made, 41000 + Project.select().count())
        return self.services.projects.get(made.id)

    def turn(self, prompt: PromptView, *payloads: said.Payload, end: bool = True) -> None:
        """The agent takes a prompt, does something and is done."""
        self.services.prompts.intend(prompt.id, message_id=f"msg_{prompt.id}", session_id="ses_1")
        self.services.prompts.mark_sent(prompt.id)
        for payload in payloads:
            log.append(payload, project_id=prompt.project_id, session_id="ses_1", prompt_id=prompt.id)
        if end:
            self.services.prompts.end(prompt.id, PromptState.COMPLETED)

    def prompt(self, project: ProjectView, by: Person, text: str) -> PromptView:
        return self.services.projects.prompt(project.id, by.id, text)

    def ask(self, project: ProjectView, prompt: PromptView, request: said.Payload) -> None:
        log.append(request, project_id=project.id, session_id="ses_1", prompt_id=prompt.id)

    def preview(self, project: ProjectView, port: int) -> None:
        """Its preview listens there."""
        with database.atomic():
            Project.update(preview_port=port).where(Project.id == project.id).execute()

    def ready(self, project: ProjectView) -> None:
        """The project runs and its first turn is over."""
        for status in (ProjectStatus.STARTING, ProjectStatus.RUNNING):
            self.parts.work.store.set_status(project.id, status)
        self.turn(self.services.prompts.page(project.id, 1, None).items[0])

    def agent(self, agent: Any) -> None:
        """Answers go to this one."""
        self.services.requests._agent = lambda project_id: agent

    def jobs(self, project: ProjectView) -> list[Job]:
        return list(jobs.list(project_id=project.id, limit=50))

    def deployed(self, project: ProjectView, *, files: int = 3, told: bool = True) -> int:
        """One more version, live, as jobs would leave it; its number."""
        productions, now = self.services.productions, self.services.clock.now_ms()
        output = Output(digest=f"{len(productions.releases.all(project.id, None)) + 1:08x}" * 8, files=files, bytes=files * 100)
        number = productions.releases.record(project.id, output, "c" * 40)
        layout = productions.layout(project.id)
        layout.release(output.hash).mkdir(parents=True, exist_ok=True)
        layout.switch(output.hash, now)
        with database.atomic():
            live = JobRow.update(state="succeeded", finished_at=now).where(JobRow.project_id == project.id, JobRow.finished_at.is_null())
            live.where(JobRow.type == ProductionBuild.type).execute()
            self._produced(project, production_port=42001, production_hash=output.hash, production_started_at=now, production_error=None)
            if told:
                productions.tell(project.id)
        return number

    def deploying(self, project: ProjectView) -> int:
        """A deploy begins; the number of its job."""
        with database.atomic():
            self._produced(project, production_error=None)
            job = enqueue(ProductionBuild(project_id=project.id, requested_by=project.owner_user_id, snapshot="c" * 40)).job
            self.services.productions.tell(project.id)
        return job.id

    def _produced(self, project: ProjectView, **columns: Any) -> None:
        Project.update(**columns).where(Project.id == project.id).execute()

    def failed_deploy(self, project: ProjectView, error: str, lines: list[str]) -> int:
        """A deploy that breaks while it is built, as jobs would tell it; the number of its job."""
        productions, now = self.services.productions, self.services.clock.now_ms()
        job = self.deploying(project)
        for line in lines:
            write_log(job, line, level="info", at=now)
        with database.atomic():
            JobRow.update(state="failed", finished_at=now, last_error=error).where(JobRow.id == job).execute()
            self._produced(project, production_error=error)
            productions.tell(project.id)
        return job

    # What people do

    async def made(self, who: str = "ada", text: str = "new a bakery in Porto", where: str = "#sites") -> tuple[Seen, ProjectView]:
        """A project from a command: its card and itself."""
        before = len(self.slack.messages(where))
        await self.slack.slash(who, where, "/doce", text)
        card = (await self.slack.until(lambda _: self.slack.messages(where)[before:]))[0]
        thread = await self.slack.until(lambda _: self.services.chats.threads.at(KIND, self.team, card.channel, card.ts))
        return card, self.services.projects.get(thread.project_id)

    def message(self, seen: Seen) -> Message:
        return self.slack.world.message(seen.channel, seen.ts)

    async def dialog(self, who: str, timeout: float = 5.0) -> View:
        """What opens in front of somebody."""
        found: View = await self.slack.until(lambda _: self.slack.modal(who), timeout)
        return found

    async def told(self, who: str, word: str, where: str | None = None) -> Seen:
        """Something that only they see, with this word in it."""
        found: Seen = await self.slack.until(lambda _: next((one for one in self.slack.ephemeral(who, where) if word in one.shown), None))
        return found

    async def until(self, so: Callable[[], Any], timeout: float = 10.0) -> Any:
        """What `so` says of doce once that is true: asked after every event."""
        subscription = self.services.feed.subscribe(None, log.head())
        try:
            async with asyncio.timeout(timeout):
                while not (found := await asyncio.to_thread(so)):
                    await anext(aiter(subscription))
                return found
        finally:
            subscription.close()

    def user(self, who: str) -> User:
        return self.slack.user(who)


def words(view: View) -> str:
    """Everything that a dialog or App Home says."""
    return "\n".join(texts(view.blocks))


@contextlib.asynccontextmanager
async def house(folder: Path, **settings: Any) -> AsyncIterator[House]:
    async with Slack(rate=float("inf")) as slack:
        given = {
            "data": folder / "data", "cache": folder / "cache", "public_url": PUBLIC, "slack_api_url": slack.api_url,
            "slack_bot_token": SecretStr(slack.token), "slack_app_token": SecretStr(slack.app.app_token), "min_free_mb": 1, **settings,
        }  # fmt: skip
        (folder / "data").mkdir(parents=True, exist_ok=True)
        parts = build(Settings(**given))
        pool = ThreadPoolExecutor(4)

        def do(work: Callable[..., Any], *args: Any, **kwargs: Any) -> Awaitable[Any]:
            return asyncio.get_running_loop().run_in_executor(pool, partial(work, *args, **kwargs))

        users, identities = parts.services.users, parts.services.identities
        ada, ben = users.add("ada", "admin"), users.add("ben", "member")
        for person, name in ((ada, "ada"), (ben, "ben")):
            code, _ = identities.link_code(person.id)
            identities.redeem(code, KIND, slack.workspace.id, slack.user(name).id, name)
        door = SlackDoor(parts.services, do)
        messages, loop = parts.services.chats.messages, asyncio.get_running_loop()
        place = messages.placed

        def placed(*args: Any, **kwargs: Any) -> Any:
            """Whoever waits for something in the twin also hears when doce has noted what it posted."""
            made = place(*args, **kwargs)
            loop.call_soon_threadsafe(slack.world.changed)
            return made

        handle = door.intake._handle

        async def handled(claim: Claim) -> None:
            """And when something of theirs has been done."""
            try:
                await handle(claim)
            finally:
                slack.world.changed()

        messages.placed, door.intake._handle = placed, handled  # type: ignore[method-assign]
        async with parts.feed:
            await door.start()
            await slack.connected()
            try:
                yield House(slack, door, parts, ada, ben)
            finally:
                await door.stop()
                parts.feed.close()
        pool.shutdown()
        database.close()


def running(scenario: Callable[[House], Awaitable[None]], folder: Path, **settings: Any) -> None:
    """A scenario from its beginning to its end."""

    async def run() -> None:
        async with house(folder, **settings) as made:
            await scenario(made)

    asyncio.run(run())
