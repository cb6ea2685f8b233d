"""What handlers work with; the composition root fills it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from doce.clock import Clock
from doce.llm.tokens import GatewayTokens
from doce.projects.layout import Layout
from doce.projects.prompts import PromptStore
from doce.projects.stack import Stacks
from doce.projects.store import ProjectStore
from doce.settings import Settings
from doce.stacks.runtime import Runtime


class Tools(Protocol):
    """The toolchain of runtimes that run on this machine."""

    def prepare(self, template: str, layout: Layout, report: Callable[[str], None]) -> None:
        """Have what a project of `template` needs: programs, and its store of dependencies."""
        ...


@dataclass(frozen=True)
class Work:
    """Everything a handler may use."""

    settings: Settings
    clock: Clock
    runtime: Runtime
    stacks: Stacks
    store: ProjectStore
    prompts: PromptStore
    tokens: GatewayTokens
    tools: Tools
    #: A better name for a prompt, from the model; None when it has none.
    name_project: Callable[[str, str, str], str | None]
    #: PATH for the programs doce itself runs (git).
    path: str

    def layout(self, project_id: str) -> Layout:
        return Layout((self.settings.projects / project_id).absolute())
