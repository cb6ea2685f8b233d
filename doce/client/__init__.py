"""The HTTP client that the command line, notebooks and scripts share.

    from doce.client import Doce

    with Doce() as doce:
        project = doce.create("a portfolio for a ceramicist")
        for event in doce.events(project["id"]):
            print(event.type)

`AsyncDoce` is the same with ``await`` and ``async for``. Both raise the errors of `doce.errors`, with the sentence doce said.
"""

from __future__ import annotations

from doce.client.address import Address, find
from doce.client.calls import Call
from doce.client.faces import AsyncDoce, Doce
from doce.client.reading import Event, JobNews, LogChunk

__all__ = ["Address", "AsyncDoce", "Call", "Doce", "Event", "JobNews", "LogChunk", "find"]
