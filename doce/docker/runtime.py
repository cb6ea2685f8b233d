"""Services as containers. The engine is the truth: every answer is looked up there, by labels.

Another doce with the same data folder (`doce worker`) starts and ends containers too; labels and names tell both the same.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from doce.docker import compose
from doce.docker.compose import INSTANCE, PROJECT, Labelled
from doce.docker.container import Recipe, mounts
from doce.docker.engine import Engine, answering
from doce.docker.images import Images
from doce.docker.network import Networks
from doce.docker.output import Follower
from doce.docker.ownership import container_user, give, known
from doce.docker.watcher import Watcher
from doce.errors import Conflict, NotFound, Unavailable
from doce.ports import PortTaken, is_free
from doce.settings import Settings
from doce.stacks.logs import LogFile
from doce.stacks.runtime import GRACE_S, MAX_OUTPUT, ExecResult, ServiceState
from doce.stacks.stack import Service, Stack, group_of
from doce.stacks.usage import Meter, Usage
from doce.testing import faults

logger = logging.getLogger(__name__)

#: What the engine calls a container that could be started again.
_ENDED = ("created", "exited", "dead")
#: How long the end of a container waits for its last lines to be copied, seconds.
COPY_S = 2.0


class DockerRuntime:
    """A `Runtime` over a Docker engine."""

    name = "docker"
    isolates = True

    def __init__(self, settings: Settings, instance: str, engine: Engine, images: Images) -> None:
        """`instance` names this data folder. Nothing is asked of the engine yet: it may be away."""
        settings.data.mkdir(parents=True, exist_ok=True)
        self._engine = engine
        self._images = images
        self._instance = instance
        self._root = settings.data.absolute() / "projects"
        uid = container_user(settings.data, settings.container_uid)
        self._recipe = Recipe(settings, instance, uid, known(uid, settings.data))
        self._networks = Networks(engine, instance, settings.container_network)
        self._lock = threading.Lock()
        self._meter = Meter()
        self._followers: dict[str, Follower] = {}
        #: Running containers: id → whose.
        self._running: dict[str, Labelled] = {}
        #: Containers that doce ends itself, so that their end is no news.
        self._expected: set[str] = set()
        self._listeners: list[Callable[[str, str], None]] = []
        self._watcher = Watcher(engine, instance, look=self._look, started=self._on_start, ended=self._on_end)
        self._watcher.start()

    def available(self) -> None:
        self._engine.ping()

    def up(self, stack: Stack, *, report: Callable[[str], None], cancelled: Callable[[], None]) -> list[ServiceState]:
        made: dict[str, dict[str, Any]] = {}
        with answering():
            for service in stack.services:
                cancelled()
                made[service.name] = self._up_one(stack, service, report)
        if any(service.group == "preview" for service in stack.services):
            self._show(stack, made)
        return self.ps(stack.project_id)

    def _show(self, stack: Stack, made: dict[str, dict[str, Any]]) -> None:
        """Beside the critical path: the file is for people alone."""
        try:
            compose.write(stack.workspace.parent / "compose.yaml", compose.render(stack, made))
        except OSError as error:
            logger.warning("compose.yaml was not written", extra={"project_id": stack.project_id, "cause": str(error)})

    def stop(self, project_id: str, services: Collection[str] | None = None) -> None:
        with answering():
            self._stop(self._chosen(project_id, services))

    def down(self, project_id: str, services: Collection[str] | None = None, *, grace_s: int = GRACE_S) -> None:
        with answering():
            found = self._chosen(project_id, services)
            self._stop(found, grace_s)
            for container in found:
                self._remove(container)
            if not self._containers(project_id):
                self._networks.remove(project_id)

    def destroy(self, project_id: str) -> None:
        with answering():
            found = self._containers(project_id)
            self._stop(found)
            for container in found:
                self._remove(container)
            self._networks.remove(project_id)

    def ps(self, project_id: str) -> list[ServiceState]:
        with answering():
            return [_state(container) for container in self._containers(project_id)]

    def usage(self, project_id: str) -> list[Usage]:
        with answering():
            running = [container for container in self._containers(project_id) if container.status == "running"]
            found = []
            for container in running:
                with _gone_is_fine():
                    # One look: the engine's own pair of looks takes a second or two.
                    stats = self._engine.client.api.stats(container.id, stream=False, one_shot=True)
                    found.append(self._used(container, stats))
        return found

    def _used(self, container: Any, stats: dict[str, Any]) -> Usage:
        memory = stats.get("memory_stats", {})
        # Pages of files that could be given back at once are no use of memory (`docker stats` counts so too).
        details = memory.get("stats", {})
        spare = int(details.get("inactive_file", details.get("total_inactive_file", 0)))
        busy_s = stats.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0) / 1e9
        began = (_milliseconds(container.attrs["State"].get("StartedAt") or "") or 0) / 1000
        cpu = self._meter.percent((container.id, began), busy_s, at_s=time.time(), since_s=began)
        return Usage(Labelled.of(container.labels).service, round(cpu, 1), max(0, int(memory.get("usage", 0)) - spare))

    def logs(self, project_id: str) -> LogFile:
        return LogFile(self._root / project_id / "logs" / "docker.log")

    def exec(self, project_id: str, service: str, argv: Sequence[str], *, timeout_s: float) -> ExecResult:
        from docker import errors
        from docker.utils.socket import frames_iter

        with answering(), _running(service, errors.APIError):
            container = self._container(project_id, service)
            if container is None or container.status != "running":
                raise _does_not_run(service)
            # The engine cannot end what it began in a container; coreutils' timeout can.
            wrapped = ["timeout", "--kill-after=1", f"{timeout_s:.3f}", *argv]
            api = self._engine.client.api
            started = api.exec_create(container.id, wrapped, workdir=container.attrs["Config"]["WorkingDir"] or None)
            output = bytearray()
            # As a socket: of a stream, docker-py closes the reading half only.
            with _closing_all(api.exec_start(started["Id"], socket=True)) as sock:
                for _kind, piece in frames_iter(sock, tty=False):  # type: ignore[no-untyped-call]
                    output += piece[: MAX_OUTPUT - len(output)]
            code = int(api.exec_inspect(started["Id"])["ExitCode"] or 0)
        text = output.decode("utf-8", "replace")
        if code in (124, 137):
            raise Unavailable(f"{argv[0]} did not end within {timeout_s:g} s and was ended.")
        if code in (126, 127) and text.startswith("timeout: failed to run command"):
            raise NotFound(f"{argv[0]!r} cannot be run here: no such program.")
        return ExecResult(code, text)

    def projects(self) -> set[str]:
        with answering():
            # Plainly: the models would ask for each container once more.
            found = self._engine.client.api.containers(all=True, filters={"label": f"{INSTANCE}={self._instance}"})
            return {container["Labels"].get(PROJECT, "") for container in found} - {""} | self._networks.projects()

    def watch(self, on_end: Callable[[str, str], None]) -> Callable[[], None]:
        # An object of its own, so that one watching twice is ended one at a time.
        def listener(project_id: str, service: str) -> None:
            on_end(project_id, service)

        def end() -> None:
            with contextlib.suppress(ValueError):
                self._listeners.remove(listener)

        self._listeners.append(listener)
        return end

    def close(self) -> None:
        self._listeners.clear()
        self._watcher.stop()
        with self._lock:
            followers = list(self._followers.values())
        for follower in followers:
            follower.stop()
        for follower in followers:
            follower.join(COPY_S)
        self._engine.close()

    # One service.

    def _up_one(self, stack: Stack, service: Service, report: Callable[[str], None]) -> dict[str, Any]:
        image = self._images.tag(service.image)
        made = self._recipe.of(stack, service, image, compose.project_name(stack.project_id))
        there = self._container(stack.project_id, service.name)
        if there is not None and there.status not in _ENDED and Labelled.of(there.labels).fingerprint == service.fingerprint():
            return made
        if there is not None:
            if there.status not in _ENDED:
                report(f"restarting {service.name}: its description changed")
            self._stop([there])
            self._remove(there)
        report(f"starting {service.name} on port {service.host_port}: {' '.join(service.command)}")
        self._start(stack, service, made)
        return made

    def _start(self, stack: Stack, service: Service, made: dict[str, Any]) -> None:
        from docker import errors

        if not service.once and not is_free(service.host_port, self._recipe.address(service)):
            raise PortTaken(service.host_port, service.name)
        self._networks.ensure(stack.project_id)
        for mount in mounts(stack, service):
            if not mount.read_only:
                mount.source.mkdir(parents=True, exist_ok=True)
                give(mount.source, self._recipe.uid)
        container = self._create(made)
        faults.point("docker.created")
        try:
            container.start()
        except Exception as error:
            self._remove(container)
            if isinstance(error, errors.NotFound):
                raise Unavailable(
                    f"The container or network of {service.name} went away while it was being started.", hint="doce tries again by itself."
                ) from error
            if any(words in str(error) for words in ("already allocated", "address already in use", "ports are not available")):
                raise PortTaken(service.host_port, service.name) from error
            raise
        # The event comes too, but a service that ends at once is to be followed before its end is told.
        self._follow(container.id, stack.project_id, service.name, tuple(value.get_secret_value() for value in service.secrets.values()))
        faults.point("process.started")

    def _create(self, made: dict[str, Any]) -> Any:
        from docker import errors, types

        options = {
            **made,
            "log_config": types.LogConfig(**made["log_config"]),
            "ulimits": [types.Ulimit(**one) for one in made["ulimits"]],
            "mounts": [types.Mount(**one) for one in made["mounts"]],
        }
        try:
            return self._engine.client.containers.create(**options)
        except errors.ImageNotFound as error:
            raise Unavailable(f"The image {made['image']} is not there.", hint="`doce images build` makes it; then start again.") from error
        except errors.APIError as error:
            if error.status_code != 409:
                raise
            raise Conflict(
                f"A container called {made['name']} is there already, and this doce did not make it.",
                hint=f"`docker rm -f {made['name']}` removes it; then start again.",
            ) from error

    # What there is.

    def _containers(self, project_id: str) -> list[Any]:
        labels = [f"{INSTANCE}={self._instance}", f"{PROJECT}={project_id}"]
        return list(self._engine.client.containers.list(all=True, filters={"label": labels}, ignore_removed=True))

    def _chosen(self, project_id: str, services: Collection[str] | None) -> list[Any]:
        """The named services; None: the preview group, never what was deployed."""
        return [container for container in self._containers(project_id) if _is_chosen(Labelled.of(container.labels), services)]

    def _container(self, project_id: str, service: str) -> Any | None:
        return next((one for one in self._containers(project_id) if Labelled.of(one.labels).service == service), None)

    def _stop(self, containers: Sequence[Any], grace_s: int = GRACE_S) -> None:
        """End them all at once, each by its own signal, SIGKILL after the grace."""
        running = [container for container in containers if container.status not in _ENDED]
        with self._lock:
            self._expected.update(container.id for container in running)
        failures: list[Exception] = []

        def end(container: Any) -> None:
            try:
                with _gone_is_fine():
                    container.stop(timeout=grace_s)
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=end, args=(container,), daemon=True) for container in running]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        for container in running:
            self._let_copy(container.id)

    def _remove(self, container: Any) -> None:
        self._let_copy(container.id)
        with self._lock:
            self._expected.add(container.id)
        with _gone_is_fine():
            container.remove(force=True, v=True)

    # What the engine tells.

    def _look(self) -> None:
        """After every connection: follow what runs, tell of what ended meanwhile."""
        with answering():
            label = f"{INSTANCE}={self._instance}"
            found = self._engine.client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
        now = {str(container.id): Labelled.of(container.labels) for container in found if container.status not in _ENDED}
        with self._lock:
            lost = {key: whose for key, whose in self._running.items() if key not in now}
            self._running = dict(now)
        for container in found:
            self._follow_again(container)
        for key, whose in lost.items():
            self._tell(key, whose)

    def _on_start(self, container_id: str) -> None:
        with _gone_is_fine(), answering():
            container = self._engine.client.containers.get(container_id)
            with self._lock:
                self._running[container_id] = Labelled.of(container.labels)
            self._follow_again(container)

    def _on_end(self, container_id: str) -> None:
        with self._lock:
            whose = self._running.pop(container_id, None)
        # Whoever is told may want to read why.
        self._let_copy(container_id)
        if whose is not None:
            self._tell(container_id, whose)

    def _tell(self, container_id: str, whose: Labelled) -> None:
        with self._lock:
            expected = container_id in self._expected
            self._expected.discard(container_id)
        if expected:
            return
        for listener in list(self._listeners):
            try:
                listener(whose.project_id, whose.service)
            except Exception:  # a background thread: the others still have to be told
                logger.exception("a service's end could not be told", extra={"service": whose.service, "project_id": whose.project_id})

    # What they write.

    def _follow(self, container_id: str, project_id: str, service: str, secrets: tuple[str, ...]) -> None:
        def gone() -> None:
            with self._lock:
                self._followers.pop(container_id, None)

        with self._lock:
            if container_id in self._followers:
                return
            follower = Follower(self._engine, container_id, service, self._root / project_id / "logs", secrets, gone)
            self._followers[container_id] = follower
        follower.start()

    def _follow_again(self, container: Any) -> None:
        """What another doce started: the secrets are where the service has them."""
        whose = Labelled.of(container.labels)
        names = set(filter(None, container.labels.get(compose.SECRETS, "").split(",")))
        pairs = (entry.partition("=") for entry in container.attrs["Config"]["Env"] or [])
        self._follow(container.id, whose.project_id, whose.service, tuple(value for name, _, value in pairs if name in names))

    def _let_copy(self, container_id: str) -> None:
        with self._lock:
            follower = self._followers.get(container_id)
        if follower is not None:
            follower.join(COPY_S)


def _does_not_run(service: str) -> Conflict:
    return Conflict(f"{service} does not run.", hint="Start the project first.")


@contextlib.contextmanager
def _running(service: str, refusals: type[Exception]) -> Iterator[None]:
    """What ended, or was removed, after it was looked at does not run."""
    try:
        yield
    except refusals as error:
        if getattr(error, "status_code", None) not in (404, 409):
            raise
        raise _does_not_run(service) from error


def _is_chosen(whose: Labelled, services: Collection[str] | None) -> bool:
    return group_of(whose.service) == "preview" if services is None else whose.service in services


@contextlib.contextmanager
def _gone_is_fine() -> Iterator[None]:
    """What is gone, or being removed by somebody else, need not be stopped or removed."""
    from docker import errors

    try:
        yield
    except errors.NotFound:
        pass
    except errors.APIError as error:
        if error.status_code != 409 and "is already in progress" not in str(error):
            raise


@contextlib.contextmanager
def _closing_all(sock: Any) -> Iterator[Any]:
    """A hijacked connection: the response that it came with holds the real socket."""
    try:
        yield sock
    finally:
        response, inner = getattr(sock, "_response", None), getattr(sock, "_sock", None)
        for part in (response, sock, inner):
            if part is not None:
                part.close()


def _state(container: Any) -> ServiceState:
    whose, state = Labelled.of(container.labels), container.attrs["State"]
    running = container.status not in _ENDED
    return ServiceState(
        service=whose.service,
        state="running" if running else "exited",
        id=container.id,
        exit_code=int(state.get("ExitCode") or 0) if container.status == "restarting" or not running else None,
        host_port=whose.host_port,
        started_at=_milliseconds(state.get("StartedAt") or ""),
        fingerprint=whose.fingerprint,
    )


def _milliseconds(time: str) -> int | None:
    """Epoch ms of the engine's ``2026-01-31T12:00:00.123456789Z``; None for its year 1."""
    if not time or time.startswith("0001"):
        return None
    seconds, _, fraction = time.rstrip("Z").partition(".")
    return int(datetime.fromisoformat(f"{seconds}+00:00").timestamp()) * 1000 + int((fraction + "000")[:3])
