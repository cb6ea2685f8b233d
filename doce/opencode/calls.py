"""Tool calls, and the files they change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from doce.events.vocabulary import FileChanged, Payload, SubagentFinished, SubagentStarted, ToolError, ToolFinish, ToolProgress, ToolStart
from doce.opencode.paths import relative_text
from doce.opencode.state import Message, Normalized, State, Tool
from doce.opencode.tools import PROGRESS_LIMIT, edit_of, shorten, tool_input, tool_metadata, tool_title

Raw = Mapping[str, Any]
#: Least time (ms, by the event's own clock) between two looks at the output of a running tool.
PROGRESS_MS = 250


def on_tool(state: State, raw: Raw, at: int = 0) -> list[Normalized]:
    """A tool call goes on. Told: start when its input is known, its output so far now and then, its end."""
    message = state.messages.get(raw["messageID"]) or state.adopt(raw["messageID"], raw["sessionID"])
    tool = state.tools.get(raw["id"])
    if tool is None:
        tool = state.tools[raw["id"]] = Tool(raw["id"], message.id, raw["sessionID"], raw["tool"])
    if tool.id not in message.tools:
        message.tools.append(tool.id)
    tool.message_id, tool.session_id, tool.name, tool.call_id = message.id, raw["sessionID"], raw["tool"], raw.get("callID", "")
    call = raw["state"]
    status = call["status"]
    if status == "pending":
        return []
    told = _start(state, tool, message, call) + _subagent(state, tool, message, call)
    if status == "running":
        return told + _progress(tool, message, call, at, state.workspaces)
    if status == "completed" and (edit := edit_of(call, state.workspaces)):
        message.edits[tool.id] = edit
    return told + end_tool(state, tool, message, call)


def _start(state: State, tool: Tool, message: Message, call: Raw) -> list[Normalized]:
    tool.started = True
    given = call.get("input") or {}
    payload = ToolStart(
        tool_call_id=tool.id,
        name=tool.name,
        title=tool_title(tool.name, given, state.workspaces),
        input=tool_input(given, state.workspaces),
    )
    return state.tell(payload, f"{tool.id}:start", tool.session_id, message.turn)


def _subagent(state: State, tool: Tool, message: Message, call: Raw) -> list[Normalized]:
    child = (call.get("metadata") or {}).get("sessionId")
    if not isinstance(child, str):
        return []
    tool.child = child
    session = state.session(child)
    session.parent_id, session.turn = tool.session_id, message.turn
    payload = SubagentStarted(
        child_session_id=child, title=tool_title(tool.name, call.get("input") or {}, state.workspaces), tool_call_id=tool.id
    )
    return state.tell(payload, f"{child}:started", tool.session_id, message.turn)


def _progress(tool: Tool, message: Message, call: Raw, at: int, workspaces: tuple[str, ...]) -> list[Normalized]:
    output = (call.get("metadata") or {}).get("output")
    if tool.ended or not isinstance(output, str) or len(output) <= tool.progress:
        return []
    if tool.progress and at and at - tool.progress_at < PROGRESS_MS:
        return []
    tool.progress, tool.progress_at = len(output), at
    payload = ToolProgress(tool_call_id=tool.id, output=shorten(relative_text(output, workspaces), PROGRESS_LIMIT))
    return [Normalized(payload, tool.session_id, message.turn, f"{tool.id}:progress:{len(output)}")]


def end_tool(state: State, tool: Tool, message: Message, call: Raw) -> list[Normalized]:
    """The call has ended; so has the sub-agent that it ran."""
    tool.ended = True
    payload: Payload
    if call["status"] == "completed":
        title = call.get("title")
        payload = ToolFinish(
            tool_call_id=tool.id,
            name=tool.name,
            title=relative_text(title, state.workspaces)[:200]
            if isinstance(title, str) and title
            else tool_title(tool.name, call.get("input") or {}, state.workspaces),
            output=shorten(relative_text(str(call.get("output") or ""), state.workspaces)),
            metadata=tool_metadata(call.get("metadata") or {}, state.workspaces),
        )
    else:
        error = relative_text(str(call.get("error") or "It failed and did not say why."), state.workspaces)
        payload = ToolError(tool_call_id=tool.id, name=tool.name, error=shorten(error))
    told = state.tell(payload, f"{tool.id}:end", tool.session_id, message.turn)
    if tool.child:
        told += state.tell(SubagentFinished(child_session_id=tool.child), f"{tool.child}:finished", tool.session_id, message.turn)
    return told


def file_changed(state: State, message: Message, path: str, source: str) -> list[Normalized]:
    message.patched.add(path)
    edits = [edit for edit in message.edits.values() if edit.path == path]
    additions = [edit.additions for edit in edits if edit.additions is not None]
    deletions = [edit.deletions for edit in edits if edit.deletions is not None]
    known = bool(edits) and len(additions) == len(deletions) == len(edits)
    if message.turn is not None:
        state.turn(message.turn, state.root(message.session_id).id).files[path] = None
    payload = FileChanged(path=path, additions=sum(additions) if known else None, deletions=sum(deletions) if known else None)
    return state.tell(payload, f"{source}:{path}", message.session_id, message.turn)
