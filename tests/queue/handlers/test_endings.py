"""What is told of a service that ended."""

from __future__ import annotations

import socket

import pytest

from doce.queue.handlers.endings import how, lost_its_port, said
from doce.stacks.runtime import ServiceState

LOG = """\
[host] starting opencode on port 42001: opencode serve
[host] starting preview on port 41001: node dev-server.mjs
[app] preview | Error: listen EADDRINUSE: address already in use 127.0.0.1:41001
[app] opencode | ready
[host] starting preview on port 41002: node dev-server.mjs
[app] preview | ready
[app] opencode | Error: Unexpected error
[app] opencode |\x20
[app] opencode | ServeError
"""


def ended(service: str, port: int | None) -> ServiceState:
    return ServiceState(service, "exited", host_port=port, exit_code=1)


@pytest.fixture
def free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_what_it_said_is_of_its_last_start() -> None:
    assert said(LOG, "preview") == ["ready"]
    assert said(LOG, "opencode") == ["ready", "Error: Unexpected error", "", "ServeError"]
    assert said(LOG.partition("[app] preview")[1], "preview") == []
    assert said("", "preview") == []


def test_a_lost_port_is_told_by_its_words_or_by_who_listens_there(free: int) -> None:
    assert lost_its_port(ended("opencode", free), "127.0.0.1", LOG), "OpenCode's own word for it"
    assert not lost_its_port(ended("preview", free), "127.0.0.1", LOG), "that was the start before"
    assert not lost_its_port(ended("preview", None), "127.0.0.1", LOG)
    with socket.socket() as other:
        other.bind(("127.0.0.1", free))
        other.listen()
        assert lost_its_port(ended("preview", free), "127.0.0.1", LOG)


def test_how() -> None:
    assert how(ended("preview", 1)) == "with exit code 1"
    assert how(ServiceState("preview", "exited")) == "by itself"
