"""Agent sessions: the thread in which the app works, and what it says of itself there."""

from __future__ import annotations

from doce.testing.slack import shapes
from doce.testing.slack.call import Call, Raw, method
from doce.testing.slack.refusal import Refused
from doce.testing.slack.things import Channel, Session

STATES = ("processing", "active", "suspended", "closed")


def _session(call: Call) -> tuple[Channel, str]:
    if not call.slack.agents:
        raise Refused("unknown_method", req_method=call.method)
    channel = call.channel("channel_id")
    root = call.text("thread_ts")
    if root and root not in call.slack.world.posted[channel.id]:
        raise Refused("thread_not_found")
    return channel, root


@method("agents.sessions.setStatus", scopes="assistant:write chat:write", tier=3)
def set_status(call: Call) -> Raw:
    channel, root = _session(call)
    status = call.text("status")
    if status not in STATES:
        raise Refused("invalid_arguments", messages=[f"status must be one of {', '.join(STATES)}"])
    if len(call.text("title")) > 200:
        raise Refused("invalid_arguments", messages=["title must be less than 201 characters"])
    sessions = call.slack.world.sessions
    if (channel.id, root) not in sessions:
        first = call.slack.world.posted[channel.id].get(root)
        initiator = call.text("initiator_user_id") or (first.user if first else channel.user)
        sessions[channel.id, root] = Session(channel.id, root, title=call.text("title"), initiator=initiator)
    session = sessions[channel.id, root]
    session.status, session.since = status, call.slack.clock.now()
    if status != "processing":
        session.loading = ""
    call.slack.world.changed()
    answer: Raw = {"session": shapes.session(session)}
    if not call.slack.app.wants("agent_session_stopped"):
        warning = "missing_agent_session_stopped_event_subscription"
        answer |= {"warning": warning, "response_metadata": {"warnings": [warning]}}
    return answer


@method("agents.sessions.rename", scopes="assistant:write chat:write", tier=3)
def rename(call: Call) -> Raw:
    channel, root = _session(call)
    session = call.slack.world.sessions.get((channel.id, root))
    if session is None:
        raise Refused("session_not_found")
    title = call.required("title")
    if len(title) > 200:
        raise Refused("invalid_arguments", messages=["title must be less than 201 characters"])
    session.title = title
    call.slack.world.changed()
    return {"session": shapes.session(session)}


def _thread(call: Call) -> Session:
    channel = call.channel("channel_id")
    root = call.text("thread_ts")
    return call.slack.world.sessions.setdefault((channel.id, root), Session(channel.id, root))


@method("assistant.threads.setStatus", scopes="assistant:write chat:write", tier=4)
def loading(call: Call) -> Raw:
    session = _thread(call)
    session.loading = call.text("status")
    call.slack.world.changed()
    return {}


@method("assistant.threads.setTitle", scopes="assistant:write", tier=4)
def title(call: Call) -> Raw:
    _thread(call).title = call.required("title")
    call.slack.world.changed()
    return {}


@method("assistant.threads.setSuggestedPrompts", scopes="assistant:write", tier=4)
def prompts(call: Call) -> Raw:
    given = call.structure("prompts")
    if not isinstance(given, list) or not 1 <= len(given) <= 4 or not all(isinstance(each, dict) and each.get("message") for each in given):
        raise Refused("invalid_arguments", messages=["prompts must be 1 to 4 objects with title and message"])
    _thread(call).prompts = given
    call.slack.world.changed()
    return {}
