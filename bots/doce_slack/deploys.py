"""A deploy or a rollback as one message: what it does, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from doce.events.vocabulary import ProductionStatus as Told
from doce.logger import mask
from doce.productions.deployments import ProductionView
from doce_slack import blocks
from doce_slack.blocks import Block
from doce_slack.build_logs import Failed
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

    def shown(self, production: ProductionView, project_id: str, reason: Failed | None = None) -> tuple[str, list[Block]]:
        """(plain text, blocks). `reason` is the job that failed, when one did."""
        took = duration(self.ended - self.began)
        if not self.over:
            text = f":rocket: {escaped(self.last.step or 'waiting for a worker').capitalize()} …"
            return text, [blocks.section(text)]
        if self.last.status == "failed":
            still = f" v{production.version} is still live." if production.url else " Nothing was live before."
            while_ = f" while {reason.stage}" if reason else ""
            text = f":red_circle: *The deploy failed{while_}.*{still}"
            body = [blocks.section(text), blocks.section(escaped(cut(mask(self.last.error or "No reason was given."), 1500)))]
            if reason and reason.lines:
                body.append(blocks.section(f"```{escaped(fenced(reason.lines))}```"))
            return text, [
                *body,
                *blocks.actions(
                    blocks.button("Ask doce to fix", "fix", project_id, style="primary"),
                    blocks.button("Retry", "deploy", project_id),
                    blocks.button("Full log", "build_log", f"{project_id}:{reason.job_id}") if reason else None,
                ),
            ]
        if self.last.status == "stopped":
            text = ":black_circle: The site is off. Its versions and its address stay."
            return text, [blocks.section(text)]
        text = f":large_green_circle: *Live* v{production.version} <{self.last.url}> ({took})"
        earlier = [one.version for one in production.releases if not one.pruned and not one.current]
        back = next((one for one in earlier if production.version is None or one < production.version), earlier[0] if earlier else None)
        ask = f"Put v{back} online again, in place of v{production.version}?"
        return text, [
            blocks.section(text),
            *blocks.actions(
                blocks.button("Open", "visit", url=self.last.url) if self.last.url else None,
                blocks.button(f"Rollback to v{back}", "rollback_to", f"{project_id}:v{back}", ask=ask) if back else None,
                blocks.button("Versions…", "rollback", project_id) if len(earlier) > 1 else None,
            ),
        ]


def fenced(lines: list[str], most: int = 2600) -> str:
    """The last lines that fit into a code block, none of which ends it."""
    kept: list[str] = []
    for one in reversed(lines):
        shown = cut(one.replace("```", "'''").rstrip(), 300)
        if sum(map(len, kept)) + len(kept) + len(shown) > most:
            break
        kept.insert(0, shown)
    return "\n".join(kept)
