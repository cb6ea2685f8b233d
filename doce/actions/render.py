"""Answers as text: one rendering for chat, for `doce` in a pipe, and for whoever has no better one."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from doce.actions.account import ModelList, PersonView, TokenList, TokenView
from doce.actions.jobs import JobLines, JobView, QueueState
from doce.actions.looking import Condition, LogTail, ProjectUsage, SpentView
from doce.actions.projects import TemplateList
from doce.actions.settings import SettingList
from doce.productions.deployments import ProductionView
from doce.projects.assets import AssetView
from doce.projects.changes import FileChange
from doce.projects.files import FileContent, FileEntry
from doce.projects.views import Page, ProjectView, PromptView
from doce.upkeep.monitor import MonitorView, ProjectUse, ServiceUse

#: Lists with words of their own.
_LISTS = (TemplateList, ModelList, TokenList, SettingList, JobLines)


def plain(name: str, answer: BaseModel) -> str:
    """The answer of action `name` in words."""
    if isinstance(answer, ProjectView):
        return _created(answer) if name == "projects.create" else project(answer)
    if isinstance(answer, PromptView):
        return prompt(answer)
    if isinstance(answer, JobView):
        return job(answer)
    if isinstance(answer, ProductionView):
        return production(answer)
    if type(answer) in _LISTS:
        return _other(answer)
    if isinstance(answer, Page):
        lines = [plain(name, item) for item in answer.items]
        return "\n".join([*lines, *(["… there are more."] if answer.next else [])]) or "There is nothing yet."
    return _other(answer)


def project(found: ProjectView) -> str:
    """One line: name, state, where, what is wrong."""
    parts = [f"{found.slug} · {found.status.value}"]
    if found.step:
        parts.append(found.step)
    if found.agent == "working":
        parts.append("agent working")
    if found.queued_prompts:
        parts.append(f"{found.queued_prompts} waiting")
    if found.preview_url:
        parts.append(found.preview_url)
    if found.error:
        parts.append(f"{found.error} {found.error_hint or ''}".strip())
    return " · ".join(parts)


def _created(found: ProjectView) -> str:
    return f"Making {found.name} ({found.slug}) with {found.model}."


def production(found: ProductionView) -> str:
    """What is live, what is going on, and the versions."""
    live = f"v{found.version} at {found.url}" if found.url else "nothing is live"
    doing = f" ({found.step}, job {found.active_job})" if found.active_job else ""
    lines = [f"{found.status.value}{doing} · {live}", *([found.error] if found.error else [])]
    for one in found.releases:
        mark = "→" if one.current else " "
        lines.append(f"{mark} v{one.version} · {one.hash} · {one.files} files · {one.size:,} bytes{' · removed' if one.pruned else ''}")
    return "\n".join(lines)


def prompt(found: PromptView) -> str:
    text = " ".join(found.text.split())
    return f"{found.id} · {found.state.value} · {text[:100]}{'…' if len(text) > 100 else ''}"


def job(found: JobView) -> str:
    error = f" · {found.last_error}" if found.last_error else ""
    return f"{found.id} · {found.type} · {found.state.value} · attempt {found.attempts}/{found.max_attempts}{error}"


def _other(answer: BaseModel) -> str:
    if isinstance(answer, QueueState):
        counts = ", ".join(f"{count} {state}" for state, count in answer.counts.items() if count)
        return f"{'paused' if answer.paused else 'working'} · {counts or 'no jobs yet'}"
    if isinstance(answer, TemplateList):
        return "\n".join(f"{one.name} · {one.description}" for one in answer.items)
    if isinstance(answer, ModelList):
        return "\n".join(f"{one.id} · {one.name}{' (default)' if one.id == answer.default else ''}" for one in answer.items)
    if isinstance(answer, TokenList):
        return "\n".join(_token(one) for one in answer.items) or "There is no token."
    if isinstance(answer, TokenView):
        return _token(answer)
    if isinstance(answer, SettingList):
        return "\n".join(f"{one.name}={one.value} · {one.description}" for one in answer.items)
    if isinstance(answer, JobLines):
        return "\n".join(line.message for line in answer.items)
    if isinstance(answer, PersonView):
        return f"{answer.name} · {answer.role}"
    if isinstance(answer, ProjectUsage):
        return _usage(answer)
    if isinstance(answer, LogTail):
        return answer.text or "The log is empty."
    if isinstance(answer, Condition):
        return _condition(answer)
    if isinstance(answer, FileEntry):
        return f"{answer.name}{'/' if answer.kind == 'folder' else ''}{f' · {answer.size:,} bytes' if answer.size is not None else ''}"
    if isinstance(answer, FileChange):
        return f"{answer.path} · +{answer.additions} −{answer.deletions}"
    if isinstance(answer, AssetView):
        return f"{answer.name} · {answer.size:,} bytes"
    if isinstance(answer, FileContent):
        return answer.text if answer.text is not None else f"{answer.path} · {answer.size:,} bytes, no text"
    if isinstance(answer, SpentView):
        return f"{answer.of or 'other'} · {_spent(answer)}"
    if isinstance(answer, MonitorView):
        return _monitor(answer)
    told: Any = getattr(answer, "message", None) or getattr(answer, "text", None)
    return str(told) if told else answer.model_dump_json(by_alias=True)


def _token(found: TokenView) -> str:
    return f"{found.id} · {found.name}{f' · {found.secret}' if found.secret else ''}"


def _usage(found: ProjectUsage) -> str:
    if not found.total.calls:
        return "Nothing has been used yet."
    return "\n".join([f"total · {_spent(found.total)}", *(f"{one.of} · {_spent(one)}" for one in [*found.models, *found.days])])


def _spent(found: SpentView) -> str:
    cost = f"${found.cost:.2f}" if found.cost >= 0.01 or not found.cost else f"${found.cost:.4f}"
    return f"{found.calls:,} calls · {found.input:,} tokens in · {found.output:,} out · {cost}{' (estimated)' if found.estimated else ''}"


def _condition(found: Condition) -> str:
    counts = ", ".join(f"{count} {state}" for state, count in found.jobs.items() if count)
    facts = f"doce {found.version} · {found.free_disk:,} MiB free · {found.viewers} viewers · {counts or 'no jobs yet'}"
    return "\n".join([*found.problems, facts])


def _monitor(found: MonitorView) -> str:
    lines = [doce_line(found), *([found.problem] if found.problem else [])]
    for project in found.projects:
        lines.append(_project_use(project))
        lines += [f"  {service_line(service)}" for service in project.services]
    return "\n".join(lines)


def doce_line(found: MonitorView) -> str:
    """How doce itself is, in a line."""
    doce = found.doce
    counts = ", ".join(f"{count} {state}" for state, count in doce.jobs.items() if count and state in ("queued", "running"))
    used = f"{doce.cpu:.0f} % cpu · {memory_size(doce.memory)} · {doce.free_disk:,} MiB free"
    return f"doce {doce.version} · {doce.runtime} · up {_age(found.at - doce.started_at)} · {used} · {counts or 'no jobs'}"


def _project_use(found: ProjectUse) -> str:
    watching = f"{found.viewers} watching" if found.viewers else ""
    return " · ".join(part for part in (found.slug, found.status.value, found.step, watching, found.error) if part)


def service_line(found: ServiceUse) -> str:
    """How a service is, in a line."""
    code = f" ({found.exit_code})" if found.exit_code is not None else ""
    parts = [f"{found.service} · {found.state}{code}"]
    if found.cpu is not None and found.memory is not None:
        parts += [f"{found.cpu:.0f} % cpu", memory_size(found.memory)]
    if found.port:
        parts.append(f"port {found.port}")
    if found.restarts:
        parts.append(f"restarted {found.restarts}× today")
    return " · ".join(parts)


def memory_size(count: int) -> str:
    """Bytes for a person."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _age(ms: int) -> str:
    minutes = max(0, ms) // 60_000
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} days"
