"""opencode.sessionCreate, opencode.sendUserPrompt: the agent gets a session, and each prompt once."""

from __future__ import annotations

from doce.errors import DoceError, NotFound
from doce.health import ready
from doce.opencode.client import OpenCode, PromptFile
from doce.opencode.ids import mint_message_id
from doce.projects import attachments
from doce.projects.history import History
from doce.projects.stack import OPENCODE
from doce.projects.status import ProjectStatus, PromptState
from doce.projects.views import ProjectView, PromptView
from doce.queue.context import JobContext
from doce.queue.enqueue import enqueue
from doce.queue.handlers.work import Work
from doce.queue.types import Job, OpencodeSendUserPrompt, OpencodeSessionCreate
from doce.testing import faults

#: doce's provider as OpenCode knows it; the model behind it is ``provider/model`` of doce.
PROVIDER = "doce"
#: How long after the intent a lost call is believed to be still on its way.
SETTLE_MS = 3000
BUSY_LOOK_MS = 500


def session_create(work: Work, context: JobContext, payload: OpencodeSessionCreate) -> None:
    """One session a project; a title of ours, so that OpenCode asks no model for one."""
    project = work.store.get(payload.project_id)
    if project.status is not ProjectStatus.RUNNING:
        return
    agent = work.stacks.agent(project)
    if not project.bootstrap_session_id or not _has_session(agent, project.bootstrap_session_id):
        session = agent.create_session(project.name)
        faults.point("opencode.session.created")
        context.log(f"session {session.id}")
    else:
        session = agent.session(project.bootstrap_session_id)
    with context.finishing():
        work.store.update(project.id, bootstrap_session_id=session.id)
        enqueue(OpencodeSendUserPrompt(project_id=project.id), user_id=context.job.user_id, clock=work.clock)


def _has_session(agent: OpenCode, session_id: str) -> bool:
    try:
        agent.session(session_id)
    except NotFound:
        return False
    return True


def send_user_prompt(work: Work, context: JobContext, payload: OpencodeSendUserPrompt) -> None:
    """Send the oldest waiting prompt, if the agent is free. Between two prompts the workspace is kept."""
    project = work.store.get(payload.project_id)
    active = work.prompts.active(project.id)
    if active is None:
        _keep_workspace(work, context, project)
    if project.status is not ProjectStatus.RUNNING or project.bootstrap_session_id is None or (active and active.state is PromptState.SENT):
        _close(work, context, project.id, sent=None)
        return
    _await_agent(work, context, project)
    agent = work.stacks.agent(project)
    if not _has_session(agent, project.bootstrap_session_id):
        _new_session(work, context, project)
    elif active:
        if not _arrived(work, context, agent, active):
            _send(work, agent, active)
        _close(work, context, project.id, sent=active)
    elif waiting := work.prompts.next(project.id):
        _send_next(work, context, agent, project, waiting)
    else:
        _close(work, context, project.id, sent=None)


def _await_agent(work: Work, context: JobContext, project: ProjectView) -> None:
    """An agent that ended by itself is being started again: its prompts wait for it, that is no failure of theirs."""
    look = ready(*work.stacks.probes(project)[OPENCODE])
    if not look.ok and work.clock.now_ms() - context.job.created_at < work.settings.ready_timeout_s * 1000:
        context.reschedule(BUSY_LOOK_MS)


def _send_next(work: Work, context: JobContext, agent: OpenCode, project: ProjectView, waiting: PromptView) -> None:
    """Record under which id it goes, then send it: after a crash in between, the id says whether it went."""
    assert project.bootstrap_session_id
    if project.bootstrap_session_id in agent.statuses():
        context.reschedule(BUSY_LOOK_MS)
    message_id = mint_message_id(work.clock.now_ms(), work.prompts.last_message_id(project.id))
    faults.point("opencode.prompt.before")
    active = work.prompts.intend(waiting.id, message_id=message_id, session_id=project.bootstrap_session_id)
    faults.point("opencode.prompt.intended")
    _send(work, agent, active)
    faults.point("opencode.prompt.sent")
    _close(work, context, project.id, sent=active)


def _send(work: Work, agent: OpenCode, prompt: PromptView) -> None:
    project = work.store.get(prompt.project_id)
    files = [PromptFile(name=file.name, mime=file.mime, url=file.url) for file in attachments.of_prompt(work.layout(project.id), prompt.id)]
    agent.prompt(
        prompt.session_id or "",
        message_id=prompt.message_id or "",
        text=prompt.text,
        model=(PROVIDER, prompt.model or project.model),
        files=files,
    )


def _arrived(work: Work, context: JobContext, agent: OpenCode, prompt: PromptView) -> bool:
    """doce died between recording the intent and the answer: did the agent get it? Only its list can say."""
    age = work.clock.now_ms() - (prompt.sent_at or 0)
    if age < SETTLE_MS:
        context.reschedule(SETTLE_MS - age)
    there = any(message.info.id == prompt.message_id for message in agent.messages(prompt.session_id or ""))
    context.log("the agent has the prompt" if there else "the agent never got the prompt; sending it")
    return there


def _new_session(work: Work, context: JobContext, project: ProjectView) -> None:
    """The agent lost its memory (its home was removed): go on in a new session."""
    active = work.prompts.active(project.id)
    if active:
        work.prompts.end(active.id, PromptState.INTERRUPTED, reason="The agent lost this session.", hint="Send the prompt again.")
    context.log("the agent does not know the session any more; making a new one", level="warning")
    with context.finishing():
        work.store.update(project.id, bootstrap_session_id=None)
        enqueue(OpencodeSessionCreate(project_id=project.id), user_id=context.job.user_id, clock=work.clock)


def _keep_workspace(work: Work, context: JobContext, project: ProjectView) -> None:
    """Beside the critical path: a workspace that cannot be kept now is kept with the next prompt."""
    try:
        commit = History(work.layout(project.id), work.path).commit("After a prompt")
    except DoceError as error:
        context.log(f"the workspace was not kept: {error.message}", level="warning")
        return
    if commit:
        context.log(f"workspace kept, commit {commit[:8]}")


def _close(work: Work, context: JobContext, project_id: str, sent: PromptView | None) -> None:
    """Finish, and look again if something came meanwhile.

    A prompt added while this job ran found the job active and added none; a turn that ended that quickly likewise.
    """
    with context.finishing():
        if sent:
            work.prompts.mark_sent(sent.id)
        project = work.store.get(project_id)
        able = project.status is ProjectStatus.RUNNING and project.bootstrap_session_id is not None
        if able and work.prompts.active(project_id) is None and (sent or work.prompts.next(project_id)):
            enqueue(OpencodeSendUserPrompt(project_id=project_id), user_id=context.job.user_id, clock=work.clock)


def give_up(work: Work, job: Job, error: str) -> None:
    """The prompt could not be handed over, and nobody knows whether the agent has it: never resent."""
    active = work.prompts.active(job.project_id or "")
    if active and active.state is PromptState.SENDING:
        hint = "Nothing is resent by itself: look at the page, then send the prompt again if it is needed."
        work.prompts.end(active.id, PromptState.INTERRUPTED, reason=error, hint=hint)
