"""The story: tools, a doce, a project from a sentence, its page, deployed; a change, deployed; taken back; an end."""

from __future__ import annotations

import contextlib
import shlex
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from doce.cli.printable import count, duration
from doce.cli.watch import Turn
from doce.client import Doce, Event
from doce.clock import SystemClock
from doce.demo.model import choose
from doce.demo.page import Page, check_shows, fetch, wait_for_change
from doce.demo.server import Server, halt
from doce.demo.telling import Telling, totals
from doce.docker.engine import Engine
from doce.docker.images import Images
from doce.errors import DoceError, NotFound, Unavailable
from doce.projects import templates
from doce.projects.tools import AGENT
from doce.settings import machine_path
from doce.toolchain import Toolchain

PROMPT = "a portfolio for a ceramicist"
SECOND = "make it dark and add a price list"
#: The image of what serves deployments.
WEB_SERVER = "web"


@dataclass(frozen=True)
class Wishes:
    """What somebody wants to see."""

    prompt: str = PROMPT
    second: str = SECOND
    template: str | None = None
    model: str | None = None
    #: Run the project in containers.
    docker: bool = False
    #: Leave it running at the end.
    keep: bool = False


class Demo:
    """One run. `run` raises DoceError for whatever went wrong; `end` always has to follow."""

    def __init__(self, wishes: Wishes, telling: Telling) -> None:
        self._wishes = wishes
        self._tell = telling
        self._server = Server(Path(tempfile.mkdtemp(prefix="doce-demo-")), "docker" if wishes.docker else None)
        self._doce: Doce | None = None
        self._project: str | None = None
        self._begun = time.monotonic()
        #: The page before the agent touched it.
        self._placeholder: Page | None = None

    def run(self) -> None:
        self._tools()
        model = choose(self._server.settings, SystemClock(), self._wishes.model, self._tell.note)
        doce = self._serve()
        project = self._create(doce, model)
        with contextlib.closing(doce.events(project)) as events:
            first = self._turn(events, None)
            page = self._look(self._preview(doce, project), self._wishes.prompt)
            live = self._publish(doce, project, events, "deploy")
            second = self._turn(events, self._ask(doce, project))
            self._look_again(page, second)
            changed = self._publish(doce, project, events, "deploy again")
            self._take_back(live, changed, self._publish(doce, project, events, "rollback"))
        self._sum_up([first, second], page)
        if self._wishes.keep:
            self._keep(doce, project)

    def _tools(self) -> None:
        """Node, OpenCode and what the template needs; fetched once, kept outside of the demo's folder."""
        self._tell.begin("tools", "looking for node and OpenCode")
        started = time.monotonic()
        chain = Toolchain(
            self._server.settings.cache,
            path=machine_path(),
            report=lambda message, fraction: self._tell.progress("tools", message, fraction),
        )
        template = templates.get(self._wishes.template or self._server.settings.template)
        found = chain.ensure("git", "node", "opencode", *(["pnpm"] if "pnpm" in template.install.command else []))
        said = ", ".join(
            f"{name} {tool.version} ({'from this machine' if tool.source == 'machine' else 'fetched'})" for name, tool in found.items()
        )
        self._tell.done("tools", f"tools: {said}", ms=_ms(started), tools={name: tool.version for name, tool in found.items()})
        for tool in found.values():
            if tool.untested:
                self._tell.note(f"Note: {tool.name} for this platform is untested with doce.")
        if self._server.settings.runtime == "docker":
            self._images(chain, template)

    def _images(self, chain: Toolchain, template: templates.Template) -> None:
        """What containers are made of, built once."""
        settings = self._server.settings
        self._tell.begin("images", "looking for the engine and images")
        started = time.monotonic()
        engine = Engine(settings.docker_host)
        with contextlib.closing(engine):
            engine.ping()
            images = Images(settings, engine, chain)
            for name in (template.image, AGENT, WEB_SERVER):
                images.ensure(name, lambda line: self._tell.progress("images", line))
        self._tell.done("images", "images for preview, agent and web server are there", ms=_ms(started))

    def _serve(self) -> Doce:
        self._tell.begin("serve", "starting doce")
        started = time.monotonic()
        address = self._server.start()
        self._doce = Doce(address=address)
        self._doce.health()
        self._tell.done("serve", f"doce runs at {address.url}", ms=_ms(started), url=address.url)
        return self._doce

    def _create(self, doce: Doce, model: str) -> str:
        self._tell.note(f"Prompt: {self._wishes.prompt}", prompt=self._wishes.prompt, model=model)
        project = doce.create(self._wishes.prompt, template=self._wishes.template, model=model)
        self._project = str(project["id"])
        for port in ("previewPort", "opencodePort"):
            self._server.watch_port(project[port])
        self._tell.done(
            "project", f"project {project['slug']}, template {project['template']}", project=project["id"], slug=project["slug"]
        )
        return self._project

    def _turn(self, events: Generator[Event], prompt: str | None) -> Turn:
        """Show events until the prompt has ended. Raises DoceError when it did not end well."""
        watch = self._tell.watch
        for event in events:
            self._tell.event(event)
            if event.type == "project.status" and event.payload.get("status") == "running" and self._placeholder is None:
                self._placeholder = fetch(event.payload["previewUrl"])
            ended = watch.turns.get(prompt or watch.first_prompt or "")
            if watch.broken:
                raise DoceError(watch.broken[0], hint=watch.broken[1])
            if ended and ended.state != "completed":
                raise DoceError(ended.error or f"The prompt was {ended.state}.", hint=ended.hint)
            if ended:
                return ended
        raise Unavailable("The events of the project ended before the prompt did.")

    def _preview(self, doce: Doce, project: str) -> str:
        found = doce.project(project)
        for port in ("previewPort", "opencodePort"):
            self._server.watch_port(found[port])
        if not found["previewUrl"]:
            raise Unavailable(f"The project has no preview: it is {found['status']}.", hint=found["errorHint"])
        return str(found["previewUrl"])

    def _look(self, url: str, prompt: str) -> Page:
        page = fetch(url)
        words = check_shows(page, prompt, self._placeholder)
        about = f", it says {', '.join(words[:5])}" if words else ""
        self._tell.done("preview", f"the page is there: “{page.title}”{about}: {url}", url=url, title=page.title, words=words)
        return page

    def _ask(self, doce: Doce, project: str) -> str:
        prompt = doce.chat(project, self._wishes.second)
        self._tell.note(f"\nSecond prompt: {self._wishes.second}", prompt=self._wishes.second)
        return str(prompt["id"])

    def _look_again(self, before: Page, turn: Turn) -> None:
        if not turn.files:
            raise DoceError("The second prompt ended without changing a file.")
        now = wait_for_change(before)
        self._tell.done("changed", f"the page has changed: {', '.join(turn.files)}", url=now.url, files=list(turn.files))

    def _publish(self, doce: Doce, project: str, events: Generator[Event], step: str) -> Page:
        """Deploy, or go back to the version before, and look at what visitors get. Raises DoceError when it did not end well."""
        path, started = f"/api/projects/{project}/production", time.monotonic()
        self._tell.begin(step, "going back to the version before" if step == "rollback" else "building a version of it")
        after = doce.request("POST", f"{path}/rollback" if step == "rollback" else path)["seq"]
        for event in events:
            self._tell.event(event)
            if event.seq <= after or event.type != "production.status":
                continue
            if event.payload["status"] == "failed":
                raise DoceError(f"The {step} failed: {event.payload['error']}")
            if event.payload["status"] == "running":
                break
        took, found = _ms(started), doce.request("GET", path)
        self._server.watch_port(found["port"])
        page = fetch(found["url"])
        self._tell.done(step, f"{step}: version {found['version']} is live: {page.url}", ms=took, url=page.url, version=found["version"])
        return page

    def _take_back(self, first: Page, second: Page, now: Page) -> None:
        if second.digest == first.digest or now.digest != first.digest:
            raise DoceError("What visitors get did not follow the versions.")

    def _sum_up(self, turns: list[Turn], page: Page) -> None:
        seconds = time.monotonic() - self._begun
        summed = totals(turns)
        used = summed["inputTokens"] + summed["outputTokens"]
        parts = [f"done in {duration(seconds * 1000)}", count(len(summed["files"]), "file"), count(used, "token")]
        parts += [f"${summed['cost']:.4f}"] if summed["cost"] else []
        self._tell.done("summary", " · ".join(parts), seconds=round(seconds, 1), url=page.url, **summed)

    def _keep(self, doce: Doce, project: str) -> None:
        folder = self._server.folder
        slug = str(doce.project(project)["slug"])
        at = f"DOCE_DATA={shlex.quote(str(folder))} doce"
        lines = {
            "preview": doce.project(project)["previewUrl"],
            "deployed": doce.request("GET", f"/api/projects/{project}/production")["url"],
            "change it": f'{at} chat {slug} "…"',
            "stop it": f"{at} undeploy {slug}; {at} halt {slug} -f; kill {self._server.pid}",
            "folder": str(folder),
        }
        said = "\n".join(f"  {name:<10}{line}" for name, line in lines.items())
        self._tell.note(f"\nIt goes on running.\n{said}", url=doce.address.url, folder=str(folder), pid=self._server.pid)

    def end(self, *, kept: bool) -> None:
        """Stop everything that was started, and see that nothing is left. Raises DoceError when something was.

        `kept`: the run went well and was asked to stay.
        """
        if kept:
            if self._doce:
                self._doce.close()
            return
        self._tell.begin("stop", "stopping")
        if self._doce:
            if self._project:
                # When doce is gone or answers no more, what it started is ended below.
                with contextlib.suppress(Unavailable, NotFound):
                    halt(self._doce, self._project)
            self._doce.close()
        left = self._server.stop()
        self._server.remove()
        if left:
            raise DoceError(f"Something was left: {'; '.join(left)}.", hint="It was ended by force.")
        self._tell.done("stop", "everything that was started is stopped")

    def last_words(self) -> str:
        """What the logs say last."""
        return self._server.last_words(self._project)


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
