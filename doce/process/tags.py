"""Finding doce's children again: each carries a tag in its environment, which its own children inherit.

After a kill -9 of doce this is what says which processes are whose. No pid file is needed, and none is trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psutil

VARIABLE = "DOCE_SERVICE"


@dataclass(frozen=True, slots=True)
class Tag:
    """``instance/project/service/fingerprint``"""

    instance: str
    project_id: str
    service: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.instance}/{self.project_id}/{self.service}/{self.fingerprint}"

    @classmethod
    def parse(cls, text: str) -> Tag | None:
        parts = text.split("/")
        return cls(*parts) if len(parts) == 4 else None


def tagged(instance: str) -> Iterator[tuple[psutil.Process, Tag]]:
    """Every process of this machine that carries a tag of `instance`."""
    for process in psutil.process_iter():
        try:
            text = process.environ().get(VARIABLE)
            if text and process.status() != psutil.STATUS_ZOMBIE and (tag := Tag.parse(text)) and tag.instance == instance:
                yield process, tag
        except (psutil.Error, OSError):
            # Gone meanwhile, or another user's.
            continue
