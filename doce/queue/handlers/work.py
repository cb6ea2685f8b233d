"""What handlers work with; the composition root fills it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from doce.clock import Clock
from doce.llm.tokens import GatewayTokens
from doce.productions.deployments import Productions
from doce.productions.stack import ProductionStacks
from doce.projects.layout import Layout
from doce.projects.prompts import PromptStore
from doce.projects.stack import Stacks
from doce.projects.store import ProjectStore
from doce.projects.tools import Tools
from doce.settings import Settings
from doce.stacks.runtime import Runtime


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
    productions: Productions
    production_stacks: ProductionStacks

    def layout(self, project_id: str) -> Layout:
        return Layout((self.settings.projects / project_id).absolute())
