"""What runs for a deployment: a build that ends, a web server, and a server for each release that is one."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from doce.productions import nginx
from doce.productions.layout import ProductionLayout
from doce.projects import templates
from doce.projects.layout import Layout
from doce.projects.views import ProjectView
from doce.settings import Settings
from doce.stacks.stack import Mount, Probe, Service, Stack

BUILD, WEB = "build", "web"
#: Ports inside containers: visitors, doce's own look, a release's server.
INSIDE, INSIDE_CHECK, INSIDE_SERVER = 8080, 8081, 8080
#: Where the engine answers questions for the names of containers of one network.
RESOLVER = "127.0.0.11"


@dataclass(frozen=True)
class Ports:
    """Ports of this machine. `check` is for doce alone, `server` is the release's own."""

    web: int
    check: int
    server: int = 0


class ProductionStacks:
    """Deployments as stacks."""

    def __init__(self, settings: Settings, *, isolates: bool, path: str) -> None:
        """`path`: where nginx is looked for when nothing isolates."""
        self._settings = settings
        self._isolates = isolates
        self._nginx = None if isolates else shutil.which("nginx", path=path)

    def layout(self, project_id: str) -> ProductionLayout:
        return ProductionLayout((self._settings.production / project_id).absolute())

    def build(self, project: ProjectView, snapshot: str) -> Stack:
        """The throw-away service that builds a commit. It sees its own copy, and the project's store of dependencies."""
        template, folder = templates.get(project.template), self.layout(project.id).build(snapshot)
        layout = Layout((self._settings.projects / project.id).absolute())
        source, home = folder / "src", folder / "home"
        service = Service(
            name=BUILD,
            image=template.image,
            command=template.build.command,
            port=0,
            host_port=0,
            env={
                "npm_config_store_dir": str(layout.store), "npm_config_prefer_offline": "true", "npm_config_update_notifier": "false",
                "ASTRO_TELEMETRY_DISABLED": "1", "NODE_ENV": "production", "CI": "true",
            },
            install=template.install.command,
            mounts=tuple(Mount(place, str(place), read_only=False) for place in (source, home, layout.store)),
            folder=source,
            once=True,
        )  # fmt: skip
        return Stack(project.id, project.slug, source, home, layout.logs, (service,), layout.store)

    def web(self, project: ProjectView, ports: Ports) -> Stack:
        """The web server; its configuration is written by `configure`."""
        layout = self.layout(project.id)
        service = Service(
            name=WEB,
            image="web",
            command=self._server(layout),
            port=INSIDE if self._isolates else ports.web,
            host_port=ports.web,
            second=(INSIDE_CHECK if self._isolates else ports.check, ports.check),
            env={"HOST": "0.0.0.0" if self._isolates else self._settings.bind},
            mounts=(Mount(layout.root, str(layout.root)), Mount(layout.web / "tmp", str(layout.web / "tmp"), read_only=False)),
            folder=layout.root,
            proxies=templates.get(project.template).kind == "server",
            stop_signal="SIGQUIT" if self._isolates or self._nginx else "SIGTERM",
            lasting=True,
        )
        return self._stack(project, layout, service)

    def server(self, project: ProjectView, hash: str, port: int) -> Stack:
        """The server of one release."""
        layout, template = self.layout(project.id), templates.get(project.template)
        folder = layout.release(hash) / "dist"
        service = Service(
            name=f"release-{hash}",
            image=template.image,
            command=template.start.command,
            port=INSIDE_SERVER if self._isolates else port,
            host_port=port,
            env={"HOST": "0.0.0.0" if self._isolates else "127.0.0.1", "NODE_ENV": "production"},
            probe=Probe(path=template.start.health),
            mounts=(Mount(folder, str(folder)),),
            folder=folder,
            private=True,
            lasting=True,
        )
        return self._stack(project, layout, service, folder)

    def place(self, project: ProjectView, hash: str, port: int) -> str:
        """Where the web server finds a release's server, ``host:port``."""
        return f"doce_{project.id}-release-{hash}-1:{INSIDE_SERVER}" if self._isolates else f"127.0.0.1:{port}"

    def configure(self, project: ProjectView, ports: Ports) -> bool:
        """Write what the web server reads when it starts; True when it is something else than before."""
        layout = self.layout(project.id)
        temporary = layout.web / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        if self._isolates:
            listen, check = f"0.0.0.0:{INSIDE}", f"0.0.0.0:{INSIDE_CHECK}"
        else:
            listen, check = f"{self._settings.bind}:{ports.web}", f"127.0.0.1:{ports.check}"
        # Started by root, nginx would read as "nobody", who may not look into a folder of root's.
        user = "root root" if not self._isolates and os.geteuid() == 0 else None
        proxied = templates.get(project.template).kind == "server"
        text = nginx.render(nginx.Site(layout.root, listen, check, proxied, RESOLVER if self._isolates else None, user))
        own = json.dumps({"root": str(layout.root), "listen": listen, "check": check, "proxied": proxied})
        changed = False
        for path, content in ((self._file(layout), text), (layout.web / "server.json", own)):
            if not path.exists() or path.read_text() != content:
                half = path.with_name(f".{path.name}.new")
                half.write_text(content)
                half.replace(path)
                changed = True
        return changed

    def reload(self, project_id: str) -> tuple[str, ...] | None:
        """What makes a web server that runs read its configuration again; None: it reads nothing that could change."""
        return (*self._server(self.layout(project_id)), "-s", "reload") if self._isolates or self._nginx else None

    def _server(self, layout: ProductionLayout) -> tuple[str, ...]:
        if self._isolates or self._nginx:
            return (self._nginx or "nginx", "-e", "stderr", "-c", str(self._file(layout)))
        return (sys.executable, "-m", "doce.productions.server", str(layout.web / "server.json"))

    def _file(self, layout: ProductionLayout) -> Path:
        return layout.web / "nginx.conf"

    def _stack(self, project: ProjectView, layout: ProductionLayout, service: Service, workspace: Path | None = None) -> Stack:
        logs = Layout((self._settings.projects / project.id).absolute()).logs
        return Stack(project.id, project.slug, workspace or layout.root, layout.web, logs, (service,))
