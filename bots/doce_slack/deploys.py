"""A deploy or a rollback as one message: what it does, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from doce.events.vocabulary import ProductionStatus as Told
from doce.productions.deployments import ProductionView
from doce_slack import blocks
from doce_slack.blocks import Block
from doce_slack.text import cut, duration, escaped

UNDER_WAY = ("queued", "building")


@dataclass
class Deploy:
    """From the event that began it on. `seq` is that event, `began` and `ended` epoch ms."""

    seq: int
    began: int
    last: Told
    ended: int = 0

    @property
    def about(self) -> str:
        return f"deploy:{self.seq}"

    @property
    def over(self) -> bool:
        return self.ended > 0

    def take(self, told: Told, time: int) -> None:
        self.last = told
        if told.status not in UNDER_WAY and not told.step:
            self.ended = time

    def shown(self, production: ProductionView, project_id: str) -> tuple[str, list[Block]]:
        """(plain text, blocks)"""
        took = duration(self.ended - self.began)
        if not self.over:
            text = f":rocket: {escaped(self.last.step or 'waiting for a worker').capitalize()} …"
            return text, [blocks.section(text)]
        if self.last.status == "failed":
            still = f" v{production.version} is still live." if production.url else " Nothing was live before."
            text = f":red_circle: *The deploy failed.*{still}"
            body = [blocks.section(text), blocks.section(f"```{escaped(cut(self.last.error or 'No reason was given.', 2500))}```")]
            return text, [
                *body,
                *blocks.actions(
                    blocks.button("Ask doce to fix", "fix", project_id, style="primary"),
                    blocks.button("Retry", "deploy", project_id),
                    blocks.button("Full log", "build_log", project_id),
                ),
            ]
        if self.last.status == "stopped":
            text = ":black_circle: The site is off. Its versions and its address stay."
            return text, [blocks.section(text)]
        text = f":large_green_circle: *Live* v{production.version} <{self.last.url}> ({took})"
        earlier = [one for one in production.releases if not one.pruned and not one.current]
        return text, [
            blocks.section(text),
            *blocks.actions(
                blocks.button("Open", "visit", url=self.last.url) if self.last.url else None,
                blocks.button("Rollback…", "rollback", project_id) if earlier else None,
            ),
        ]
