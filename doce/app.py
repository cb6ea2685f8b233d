"""The composition root: settings → services → doors. The only place that wires."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from doce import __version__, addresses
from doce import logger as logs
from doce.actions.services import Services
from doce.auth import setup as first_setup
from doce.auth.attempts import Attempts
from doce.auth.identities import Identities
from doce.auth.secrets import SecretKey
from doce.auth.sessions import Sessions
from doce.auth.users import ApiTokens, Users
from doce.chats.chats import Chats
from doce.clock import SystemClock
from doce.db import setting
from doce.db.connection import database, open_database
from doce.docker import DockerRuntime
from doce.docker.container import HOST
from doce.docker.engine import Engine
from doce.docker.images import Images
from doce.errors import Conflict, Unavailable
from doce.events.feed import Feed
from doce.events.writer import EventWriter
from doce.health import ready
from doce.llm.catalog import Catalog
from doce.llm.complete import Namer
from doce.llm.gateway import Gateway
from doce.llm.providers import Providers
from doce.llm.server import GatewayServer
from doce.llm.tokens import GatewayTokens
from doce.llm.usage import UsageCounter
from doce.presence.presence import Presence
from doce.process import ProcessRuntime
from doce.productions.deployments import Productions
from doce.productions.releases import Releases
from doce.productions.stack import ProductionStacks
from doce.projects.arrivals import Arrivals
from doce.projects.incoming import Incoming
from doce.projects.lifecycle import Projects
from doce.projects.members import Members
from doce.projects.prompts import PromptStore
from doce.projects.requests import Requests
from doce.projects.stack import Stacks
from doce.projects.status import ProjectStatus
from doce.projects.store import ProjectStore
from doce.projects.tools import ContainerTools, MachineTools, Tools
from doce.projects.views import ProjectView
from doce.queue import owner, registry
from doce.queue.handlers import docker, opencode, project
from doce.queue.handlers.production import Production
from doce.queue.handlers.work import Work
from doce.queue.registry import Handler
from doce.queue.types import Job, JobType
from doce.queue.worker import Worker
from doce.settings import Settings, machine_path
from doce.stacks.runtime import Runtime
from doce.testing import faults
from doce.toolchain import Toolchain
from doce.transport import Listener, listen
from doce.upkeep.disk import DiskWatch
from doce.upkeep.keeper import RelayKeeper
from doce.upkeep.monitor import Monitor
from doce.upkeep.reaper import Reaper
from doce.upkeep.reconciler import Reconciler
from doce.upkeep.relay import Desk
from doce.upkeep.rounds import Rounds
from doce.upkeep.shift import Shift
from doce.web.routes import application

if TYPE_CHECKING:
    from doce_slack.door import SlackDoor

logger = logging.getLogger(__name__)

HOUR_S = 3600.0
#: Least time between two looks of `doce worker` at the queue, ms.
WORKER_POLL_MS = 50


@dataclass(frozen=True)
class Parts:
    """What every process of doce is made of."""

    settings: Settings
    work: Work
    services: Services
    gateway: GatewayServer
    runtime: Runtime
    writer: EventWriter
    feed: Feed

    def waiting(self) -> set[str]:
        """Projects whose files may not have been taken over yet."""
        return {project.id for project in self.work.store.live(ProjectStatus.CREATED, ProjectStatus.ERROR)}

    def worker(self, poll_ms: int | None = None) -> Worker:
        return Worker(
            handlers(self.work),
            workers=self.settings.workers,
            lease_s=self.settings.lease_s,
            heartbeat_s=self.settings.heartbeat_s,
            stop_grace_s=self.settings.stop_grace_s,
            history_days=self.settings.job_history_days,
            poll_ms=poll_ms,
        )


def build(settings: Settings) -> Parts:
    """Wire everything; opens the database and adopts what still runs, starts nothing."""
    clock = SystemClock()
    faults.configure(settings.fault)
    open_database(settings.database)
    key = SecretKey.load(settings.data / "secret.key")
    toolchain = Toolchain(settings.cache, path=machine_path())
    instance = setting.keep("instance", lambda: secrets.token_hex(6))
    runtime, tools, listens = _runtime(settings, instance, toolchain)
    tokens, catalog = GatewayTokens(key, clock), Catalog(settings, clock)
    usage = UsageCounter(catalog, clock)
    gateway = GatewayServer(settings, Gateway(tokens=tokens, catalog=catalog, usage=usage), **listens)
    stacks = Stacks(settings, runtime=runtime, tokens=tokens, catalog=catalog, gateway_url=lambda: gateway.url)
    store, prompts = ProjectStore(settings, clock), PromptStore(clock)
    requests = Requests(clock, store=store, agent=lambda project_id: stacks.agent(store.get(project_id)))
    projects = Projects(settings, clock, store=store, prompts=prompts, models=catalog, isolates=lambda: runtime.isolates)
    feed, incoming = Feed(), Incoming(settings)
    arrivals = Arrivals(settings, clock, store=store, prompts=prompts, projects=projects, incoming=incoming)
    presence = Presence(clock, store=store, stale_s=settings.viewer_stale_s, ready=partial(_answering, stacks))
    productions = Productions(settings, clock, Releases(clock), path=machine_path())
    work = Work(
        settings=settings, clock=clock, runtime=runtime, stacks=stacks, store=store, prompts=prompts, tokens=tokens, tools=tools,
        name_project=Namer(catalog, usage).name_project, path=machine_path(),
        productions=productions, production_stacks=ProductionStacks(settings, isolates=runtime.isolates, path=machine_path()),
    )  # fmt: skip
    services = Services(
        settings=settings, clock=clock, users=Users(clock), tokens=ApiTokens(clock), sessions=Sessions(clock),
        identities=Identities(clock), members=Members(clock), attempts=Attempts(clock), projects=projects,
        prompts=prompts, requests=requests, catalog=catalog, providers=Providers(key, clock, catalog), feed=feed, presence=presence,
        incoming=incoming, arrivals=arrivals, monitor=Monitor(settings, clock, runtime=runtime), productions=productions,
        chats=Chats.of(key, clock), agent=stacks.agent,
    )  # fmt: skip
    return Parts(settings, work, services, gateway, runtime, EventWriter(settings.database), feed)


def _answering(stacks: Stacks, project: ProjectView) -> dict[str, bool]:
    """Which services of a project that starts are ready."""
    if project.preview_port is None or project.opencode_port is None:
        return {}
    return {name: ready(probe, port).ok for name, (probe, port) in stacks.probes(project).items()}


def _runtime(settings: Settings, instance: str, toolchain: Toolchain) -> tuple[Runtime, Tools, dict[str, Any]]:
    """What runs projects, what gets them ready for it, and where the gateway listens for them."""
    if settings.runtime != "docker":
        tools = MachineTools(toolchain)
        return ProcessRuntime(settings.data.absolute(), instance, tools.path), tools, {}
    engine = Engine(settings.docker_host)
    images = Images(settings, engine, toolchain)
    # Docker Desktop brings what containers send to their host to the loopback address; Linux has the bridge.
    listens = engine.bridge_address if sys.platform == "linux" else (lambda: "127.0.0.1")
    gateway = {"listens": listens, "called": HOST}
    return DockerRuntime(settings, instance, engine, images), ContainerTools(toolchain, images.ensure), gateway


def handlers(work: Work) -> Mapping[str, Handler]:
    """What does each type of job."""

    def broken(job: Job, error: str) -> None:
        project.into_error(work, job.project_id, error)

    def handler(run: Any, failed: Any = broken) -> Handler:
        return Handler(partial(run, work), failed=failed)

    return {
        JobType.PROJECT_CREATE: handler(project.create),
        JobType.PROJECT_DELETE: handler(project.delete, None),
        JobType.PROJECTS_DELETE_ALL_FOR_USER: handler(project.delete_all, None),
        JobType.DOCKER_COMPOSE_UP: handler(docker.compose_up),
        JobType.DOCKER_WAIT_READY: handler(docker.wait_ready),
        JobType.DOCKER_ENSURE_RUNNING: handler(docker.ensure_running),
        JobType.DOCKER_STOP: handler(docker.stop),
        **_production(Production(work)),
        JobType.OPENCODE_SESSION_CREATE: handler(opencode.session_create),
        JobType.OPENCODE_SEND_USER_PROMPT: handler(opencode.send_user_prompt, lambda job, error: opencode.give_up(work, job, error)),
    }


def _production(production: Production) -> dict[str, Handler]:
    steps: dict[JobType, Any] = {
        JobType.PRODUCTION_BUILD: production.build,
        JobType.PRODUCTION_START: production.start,
        JobType.PRODUCTION_WAIT_READY: production.wait_ready,
        JobType.PRODUCTION_ROLLBACK: production.rollback,
        JobType.PRODUCTION_STOP: production.stop,
    }
    return {name: Handler(step, failed=production.failed, cancelled=production.cancelled) for name, step in steps.items()}


@contextlib.contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """One `doce serve` a data folder. Raises Conflict naming the folder; the lock dies with the process, however it dies."""
    settings.data.mkdir(parents=True, exist_ok=True)
    with (settings.data / "serve.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(
                f"Another `doce serve` uses the data folder {settings.data}.", hint="Stop it first, or set DOCE_DATA to another folder."
            ) from None
        yield


def serve(settings: Settings) -> int:
    """`doce serve`: HTTP, gateway, relay, reconciler and, unless DOCE_WORKERS=0, the queue's workers. Returns an exit code."""
    logs.configure(settings.log_level)
    with only_one(settings):
        sock = listen(settings.bind, settings.port)
        # Whatever shows an address of doce's shows the port that was really taken.
        parts = build(settings.model_copy(update={"port": sock.getsockname()[1]}))
        parts.services.incoming.sweep(parts.waiting())
        parts.gateway.recover()
        runner = asyncio.Runner(loop_factory=_loop_factory())
        with runner:
            app = application(parts.services)
            slack = _slack_door(parts.services, app.state.office.do, app.state.pages.page)
            if slack:
                app.router.routes[:0] = slack.routes()
            runner.run(_serve(parts, Listener(app, sock), slack))
            app.state.office.close()
        if not settings.leave_running:
            for project_id in parts.runtime.projects():
                parts.runtime.destroy(project_id)
        parts.runtime.close()
        database.close()
    return 0


def _loop_factory() -> Any:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


def _slack_door(services: Services, do: Any, page: Any) -> SlackDoor | None:
    """The Slack door, where it is configured. Raises Unavailable where its libraries are missing, BadRequest for wrong settings."""
    if not services.settings.slack:
        return None
    try:
        from doce_slack.door import SlackDoor
    except ImportError as error:
        raise Unavailable(
            f"Slack is configured, but its libraries are not installed ({error.name}).", hint="Install them: pip install 'doce[slack]'."
        ) from None
    return SlackDoor(services, do, page)


async def _serve(parts: Parts, listener: Listener, slack: SlackDoor | None) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with _running(parts, slack):
        url = addresses.doce_url(parts.settings)
        serving = listener.begin()
        await asyncio.to_thread(first_setup.update_url, parts.settings, url)
        logger.info("doce %s listens", __version__, extra={"url": url, "pid": os.getpid()})
        print(f"doce listens at {url}", flush=True)
        if not await asyncio.to_thread(parts.services.users.any):
            code = await asyncio.to_thread(first_setup.code)
            print(f"Nobody is set up yet: open {url} (from another machine with the code {code}), or run `doce setup` here.", flush=True)
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait({stop, serving}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        # Streams first: a server waits for its open connections.
        parts.feed.close()
        await listener.end()


@contextlib.asynccontextmanager
async def _running(parts: Parts, slack: SlackDoor | None = None) -> AsyncIterator[None]:
    """Everything that works in the background, started in order and ended in the reverse of it."""
    parts.writer.start()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(parts.writer.close)
        await stack.enter_async_context(parts.feed)
        # Not waited for: a gateway that cannot listen does not keep doce from answering; agents' calls fail and say so.
        starting = asyncio.create_task(parts.gateway.keep_starting(), name="doce-gateway")
        stack.push_async_callback(parts.gateway.stop)
        stack.push_async_callback(_cancelled, starting)
        desk = Desk(parts.settings, parts.work.clock, parts.work.store, parts.work.prompts, parts.work.stacks, parts.writer)
        keeper = asyncio.create_task(RelayKeeper(desk, owner.name("relay"), is_gone=owner.is_gone).run(), name="doce-relays")
        stack.push_async_callback(_cancelled, keeper)
        # Also without workers: an action that cancels a queued job has its handler's last word to say.
        registry.install(handlers(parts.work))
        worker = parts.worker() if parts.settings.workers else None
        healing = Shift("reconciler", owner.name("reconciler"), ttl_s=15, clock=parts.work.clock, is_gone=owner.is_gone)
        reconciler = Reconciler(parts.work, parts.services.requests, healing)
        stack.callback(parts.runtime.watch(lambda project_id, _service: reconciler.wake(project_id)))
        reconciler.start()
        stack.push_async_callback(asyncio.to_thread, reconciler.stop)
        disk = DiskWatch(parts.work)
        for rounds in _rounds(parts, disk):
            rounds.start()
            stack.push_async_callback(asyncio.to_thread, rounds.stop)
        stack.callback(disk.stop)
        parts.services.presence.start()
        stack.push_async_callback(asyncio.to_thread, parts.services.presence.stop)
        if worker:
            worker.start()
            # In a thread: running handlers get their grace, and the loop goes on serving them meanwhile.
            stack.push_async_callback(asyncio.to_thread, worker.stop)
        if slack:
            await slack.start()
            stack.push_async_callback(slack.stop)
        yield


def _rounds(parts: Parts, disk: DiskWatch) -> list[Rounds]:
    """What is looked at again and again, by one process of several."""
    settings, work = parts.settings, parts.work

    def rounds(name: str, look: Callable[[], object], every_s: float) -> Rounds:
        shift = Shift(name, owner.name(name), ttl_s=max(15.0, 3 * every_s), clock=work.clock, is_gone=owner.is_gone)
        return Rounds(name, look, every_s=every_s, shift=shift)

    reaper = Reaper(settings, work.clock, store=work.store, requests=parts.services.requests)
    return [
        rounds("reaper", reaper.look, settings.reap_s), rounds("disk watch", disk.look, settings.disk_s),
        rounds("sessions", parts.services.sessions.sweep, HOUR_S), rounds("chats", parts.services.chats.claims.sweep, HOUR_S),
    ]  # fmt: skip


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def work(settings: Settings) -> int:
    """`doce worker`: the queue's workers alone, beside a `doce serve` with the same data folder. Returns an exit code."""
    logs.configure(settings.log_level)
    parts = build(settings)
    worker = parts.worker(WORKER_POLL_MS)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    worker.start()
    logger.info("doce worker %s works", __version__, extra={"pid": os.getpid(), "workers": settings.workers})
    print(f"doce worker takes up to {settings.workers} jobs at a time", flush=True)
    stopping.wait()
    worker.stop()
    parts.runtime.close()
    database.close()
    return 0


def set_up(settings: Settings, name: str, password: str | None = None) -> str:
    """`doce setup`: the first admin, and a token for this machine's command line. Returns the admin's name."""
    clock = SystemClock()
    open_database(settings.database)
    try:
        return first_setup.setup(settings, Users(clock), ApiTokens(clock), name, password).name
    finally:
        database.close()
