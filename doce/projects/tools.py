"""Having what a project needs on this machine: programs, the agent's home, a first store of dependencies."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from doce.errors import Unavailable
from doce.opencode.home import prepare_home
from doce.projects import templates
from doce.projects.layout import Layout
from doce.toolchain import Toolchain

logger = logging.getLogger(__name__)

#: The image of coding agents.
AGENT = "agent"


class Tools(Protocol):
    """What a runtime needs of this machine before it can run a project."""

    def prepare(self, template: str, layout: Layout, report: Callable[[str], None]) -> None:
        """Fetch what is missing, once for all projects. `report` is told what is going on, and may raise to end it.

        Raises Unavailable with what to do when something cannot be had.
        """

    def prepare_web(self, report: Callable[[str], None]) -> None:
        """The same for what serves deployed sites."""


class ContainerTools:
    """For runtimes whose services are containers: images, and what is laid into the project's folders."""

    def __init__(self, toolchain: Toolchain, ensure: Callable[[str, Callable[[str], None]], None]) -> None:
        """`ensure` gets an image that is not there, telling what it does."""
        self._toolchain = toolchain
        self._ensure = ensure

    def prepare(self, template: str, layout: Layout, report: Callable[[str], None]) -> None:
        chosen = templates.get(template)
        for image in dict.fromkeys((chosen.image, AGENT)):
            self._ensure(image, report)
        prepare_home(layout.home)
        _fill_store(self._toolchain, chosen, layout, report)

    def prepare_web(self, report: Callable[[str], None]) -> None:
        self._ensure("web", report)


class MachineTools:
    """For runtimes whose services are programs of this machine."""

    def __init__(self, toolchain: Toolchain) -> None:
        self._toolchain = toolchain

    def prepare(self, template: str, layout: Layout, report: Callable[[str], None]) -> None:
        """Fetch what is missing, once for all projects. `report` is told what is going on, and may raise to end it.

        Raises Unavailable with what to do when something cannot be had.
        """
        chosen = templates.get(template)
        names = ["node", "opencode", *(["pnpm"] if "pnpm" in chosen.install.command else [])]
        missing = [name for name in names if self._toolchain.find(name) is None]
        if missing:
            report(f"fetching {' and '.join(missing)} (once)")
        self._toolchain.ensure(*names)
        self._wish_for("rg", report)
        prepare_home(layout.home)
        _fill_store(self._toolchain, chosen, layout, report)

    def prepare_web(self, report: Callable[[str], None]) -> None:
        """The machine's nginx, else doce's own server: nothing is fetched."""

    def _wish_for(self, name: str, report: Callable[[str], None]) -> None:
        """Beside the critical path: without ripgrep the agent's searches fail, and everything else works."""
        if self._toolchain.find(name) is None:
            report(f"fetching {name} (once)")
            try:
                self._toolchain.ensure(name)
            except Unavailable as error:
                logger.warning("%s is not there: %s", name, error)

    def path(self) -> str:
        """PATH for services."""
        return self._toolchain.bin_path()


def _fill_store(toolchain: Toolchain, template: templates.Template, layout: Layout, report: Callable[[str], None]) -> None:
    if "pnpm" in template.install.command and not (layout.workspace / "node_modules").exists():
        report("filling the store of dependencies")
        toolchain.fill_store(template.workspace, layout.store)
