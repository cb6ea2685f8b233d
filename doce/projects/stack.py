"""What runs for a project, described by doce alone: its preview and its coding agent.

Nothing here is read from the workspace: the commands come from the installed template, the rest from doce's settings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pydantic import SecretStr

from doce.errors import Conflict
from doce.llm.catalog import Catalog
from doce.llm.tokens import GatewayTokens
from doce.opencode.client import OpenCode
from doce.opencode.config import agent_environment
from doce.projects import templates
from doce.projects.layout import Layout
from doce.projects.views import ProjectView
from doce.settings import Settings
from doce.stacks.stack import Probe, Service, Stack

PREVIEW = "preview"
OPENCODE = "opencode"
OPENCODE_PORT = 3000
OPENCODE_USER = "opencode"
CONFIG = "OPENCODE_CONFIG_CONTENT"


class Isolation(Protocol):
    """What the stack has to know of the runtime."""

    isolates: bool


class Stacks:
    """Projects as stacks, and the way to their agents."""

    def __init__(
        self, settings: Settings, *, runtime: Isolation, tokens: GatewayTokens, catalog: Catalog, gateway_url: Callable[[], str]
    ) -> None:
        self._settings = settings
        self._runtime = runtime
        self._tokens = tokens
        self._catalog = catalog
        self._gateway_url = gateway_url

    def of(self, project: ProjectView) -> Stack:
        """The two services of `project`. Its ports must have been reserved."""
        layout = Layout((self._settings.projects / project.id).absolute())
        return Stack(
            project_id=project.id,
            slug=project.slug,
            workspace=layout.workspace,
            home=layout.home,
            logs=layout.logs,
            store=layout.store,
            # The agent takes longest, so it begins first.
            services=(self._opencode(project, layout), self._preview(project, layout)),
        )

    def agent(self, project: ProjectView) -> OpenCode:
        """A client of the project's agent."""
        if project.opencode_port is None:
            raise Conflict(f"{project.name} has no agent yet.", hint="It is being made; try again in a moment.")
        return OpenCode(f"http://127.0.0.1:{project.opencode_port}", self._tokens.agent_password(project.id))

    def probes(self, project: ProjectView) -> dict[str, tuple[Probe, int]]:
        """How to tell that each service is ready: (probe, port on this machine)."""
        return {service.name: (service.probe, service.host_port) for service in self.of(project).services}

    def _preview(self, project: ProjectView, layout: Layout) -> Service:
        template = templates.get(project.template)
        port = project.preview_port or 0
        return Service(
            name=PREVIEW,
            image=template.image,
            command=template.dev.command,
            port=template.dev.port if self._runtime.isolates else port,
            host_port=port,
            env={
                "HOST": "0.0.0.0" if self._runtime.isolates else self._settings.bind,
                "npm_config_store_dir": str(layout.store),
                "npm_config_prefer_offline": "true",
                "npm_config_update_notifier": "false",
                "ASTRO_TELEMETRY_DISABLED": "1",
                "NODE_ENV": "development",
                "CI": "true",
            },
            secrets={},
            probe=Probe(path="/", any_status=True),
            install=template.install.command,
        )

    def _opencode(self, project: ProjectView, layout: Layout) -> Service:
        port = project.opencode_port or 0
        inside = OPENCODE_PORT if self._runtime.isolates else port
        host = "0.0.0.0" if self._runtime.isolates else "127.0.0.1"
        password = self._tokens.agent_password(project.id)
        everything = agent_environment(
            gateway_url=self._gateway_url(),
            gateway_token=self._tokens.current(project.id),
            password=password,
            model=project.model,
            models=[model.id for model in self._catalog.models()],
            home=layout.home,
        )
        return Service(
            name=OPENCODE,
            image="agent",
            command=("opencode", "serve", "--hostname", host, "--port", str(inside)),
            port=inside,
            host_port=port,
            env={name: value for name, value in everything.items() if isinstance(value, str) and name != CONFIG},
            # Which models there are changes with the providers' lists; every prompt names its model anyway.
            volatile={CONFIG: str(everything[CONFIG])},
            secrets={name: value for name, value in everything.items() if isinstance(value, SecretStr)},
            probe=Probe(path="/global/health", user=OPENCODE_USER, password=password),
            # As a container's first process OpenCode ignores SIGTERM (reference/docker.md); SIGINT ends it everywhere.
            stop_signal="SIGINT",
            private=True,
        )
