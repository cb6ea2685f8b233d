"""The tables as peewee models. Rows never leave the `store` module of their domain.

The migrations are what makes the tables; a test checks that the two agree. Times are epoch milliseconds UTC.
"""

from __future__ import annotations

from typing import Any

import peewee as pw

from doce.db.connection import database


class Row(pw.Model):
    """A table of doce."""

    class Meta:
        database = database
        legacy_table_names = False


class User(Row):
    id = pw.TextField(primary_key=True)
    name = pw.TextField()
    password = pw.TextField(null=True)
    role = pw.TextField()
    created_at = pw.IntegerField()
    deleted_at = pw.IntegerField(null=True)

    class Meta:
        table_name = "users"


class Session(Row):
    #: SHA-256 of what the cookie holds.
    hash = pw.TextField(primary_key=True)
    user_id = pw.TextField()
    created_at = pw.IntegerField()
    expires_at = pw.IntegerField()

    class Meta:
        table_name = "sessions"


class ProjectMember(Row):
    project_id = pw.TextField()
    user_id = pw.TextField()
    #: ``editor`` or ``viewer``
    role = pw.TextField()
    created_at = pw.IntegerField()

    class Meta:
        table_name = "project_members"
        primary_key = pw.CompositeKey("project_id", "user_id")


class Identity(Row):
    """Somebody of a chat who is a user here."""

    id = pw.TextField(primary_key=True)
    user_id = pw.TextField()
    #: ``slack``
    kind = pw.TextField()
    #: Workspace of the chat.
    team = pw.TextField()
    #: Their id there.
    external_id = pw.TextField()
    name = pw.TextField()
    created_at = pw.IntegerField()

    class Meta:
        table_name = "identities"


class LinkCode(Row):
    #: SHA-256 of the code.
    hash = pw.TextField(primary_key=True)
    user_id = pw.TextField()
    expires_at = pw.IntegerField()

    class Meta:
        table_name = "link_codes"


class UserSetting(Row):
    user_id = pw.TextField(primary_key=True)
    model = pw.TextField(null=True)
    verbosity = pw.TextField(default="normal")
    notifications = pw.TextField(default="long")
    time_zone = pw.TextField(default="UTC")

    class Meta:
        table_name = "user_settings"


class ApiToken(Row):
    id = pw.TextField(primary_key=True)
    user_id = pw.TextField()
    name = pw.TextField()
    hash = pw.TextField()
    created_at = pw.IntegerField()
    last_used_at = pw.IntegerField(null=True)
    revoked_at = pw.IntegerField(null=True)

    class Meta:
        table_name = "api_tokens"


class Answer(Row):
    user_id = pw.TextField()
    #: The caller's own, from `Idempotency-Key`.
    key = pw.TextField()
    #: Digest of what was asked.
    asked = pw.TextField()
    #: JSON, as it was sent.
    answer = pw.TextField()
    at = pw.IntegerField()

    class Meta:
        table_name = "answers"
        primary_key = pw.CompositeKey("user_id", "key")


class InstanceSetting(Row):
    key = pw.TextField(primary_key=True)
    value = pw.TextField()

    class Meta:
        table_name = "instance_settings"


class ProviderKey(Row):
    #: ``openrouter``, or whatever an admin calls it; the first part of its models' ids.
    name = pw.TextField(primary_key=True)
    base_url = pw.TextField()
    #: The key, encrypted; none where the provider wants none.
    sealed = pw.TextField(null=True)
    set_by = pw.TextField(null=True)
    created_at = pw.IntegerField()
    updated_at = pw.IntegerField()

    class Meta:
        table_name = "provider_keys"


class Project(Row):
    id = pw.TextField(primary_key=True)
    owner_user_id = pw.TextField()
    name = pw.TextField()
    slug = pw.TextField()
    description = pw.TextField(default="")
    prompt = pw.TextField()
    template = pw.TextField()
    status = pw.TextField()
    #: What the pipeline is doing, in words a person reads.
    step = pw.TextField(null=True)
    error = pw.TextField(null=True)
    error_hint = pw.TextField(null=True)
    #: ``provider/model``
    model = pw.TextField()
    preview_port = pw.IntegerField(null=True)
    opencode_port = pw.IntegerField(null=True)
    path = pw.TextField()
    bootstrap_session_id = pw.TextField(null=True)
    production_port = pw.IntegerField(null=True)
    production_error = pw.TextField(null=True)
    #: The release that visitors get, or would if it were not stopped; the link on disk is the truth.
    production_hash = pw.TextField(null=True)
    #: Epoch ms since when a release is served; None while production is stopped.
    production_started_at = pw.IntegerField(null=True)
    stopped_by_user = pw.BooleanField(default=False)
    last_viewed_at = pw.IntegerField(null=True)
    created_at = pw.IntegerField()
    updated_at = pw.IntegerField()
    deleted_at = pw.IntegerField(null=True)

    class Meta:
        table_name = "projects"


class Prompt(Row):
    id = pw.TextField(primary_key=True)
    project_id = pw.TextField()
    user_id = pw.TextField(null=True)
    session_id = pw.TextField(null=True)
    text = pw.TextField()
    model = pw.TextField(null=True)
    state = pw.TextField()
    position = pw.IntegerField()
    #: Number of the event that told of it; 0 when the log does not know.
    seq = pw.IntegerField(default=0)
    #: OpenCode's id of the user message, minted by doce and recorded before the call.
    message_id = pw.TextField(null=True)
    error = pw.TextField(null=True)
    #: Who asked for the running turn to end, and when.
    stopped_by = pw.TextField(null=True)
    stop_requested_at = pw.IntegerField(null=True)
    created_at = pw.IntegerField()
    sent_at = pw.IntegerField(null=True)
    finished_at = pw.IntegerField(null=True)

    class Meta:
        table_name = "prompts"


class Attachment(Row):
    id = pw.TextField(primary_key=True)
    project_id = pw.TextField()
    prompt_id = pw.TextField(null=True)
    name = pw.TextField()
    mime = pw.TextField()
    size = pw.IntegerField()
    created_at = pw.IntegerField()

    class Meta:
        table_name = "attachments"


class Usage(Row):
    id = pw.AutoField()
    project_id = pw.TextField()
    prompt_id = pw.TextField(null=True)
    user_id = pw.TextField(null=True)
    provider = pw.TextField()
    model = pw.TextField()
    purpose = pw.TextField(default="turn")
    input_tokens = pw.IntegerField(default=0)
    output_tokens = pw.IntegerField(default=0)
    cached_tokens = pw.IntegerField(default=0)
    #: US dollars
    cost = pw.FloatField(default=0)
    estimated = pw.BooleanField(default=False)
    at = pw.IntegerField()

    class Meta:
        table_name = "usage"


class GatewayToken(Row):
    project_id = pw.TextField(primary_key=True)
    generation = pw.IntegerField()
    revoked_at = pw.IntegerField(null=True)
    created_at = pw.IntegerField()

    class Meta:
        table_name = "gateway_tokens"


class GatewayCall(Row):
    """A call of a model that is under way."""

    id = pw.TextField(primary_key=True)
    project_id = pw.TextField()
    prompt_id = pw.TextField(null=True)
    #: ``provider/model``
    model = pw.TextField()
    #: An estimate, from what was asked.
    input_tokens = pw.IntegerField()
    at = pw.IntegerField()

    class Meta:
        table_name = "gateway_calls"


class Job(Row):
    id = pw.AutoField()
    type = pw.TextField()
    state = pw.TextField()
    project_id = pw.TextField(null=True)
    user_id = pw.TextField(null=True)
    payload = pw.TextField()
    priority = pw.IntegerField(default=0)
    attempts = pw.IntegerField(default=0)
    max_attempts = pw.IntegerField(default=3)
    polls = pw.IntegerField(default=0)
    run_at = pw.IntegerField()
    locked_by = pw.TextField(null=True)
    lease_expires_at = pw.IntegerField(null=True)
    dedupe_key = pw.TextField(null=True)
    cancel_requested_at = pw.IntegerField(null=True)
    last_error = pw.TextField(null=True)
    created_at = pw.IntegerField()
    updated_at = pw.IntegerField()
    started_at = pw.IntegerField(null=True)
    finished_at = pw.IntegerField(null=True)

    class Meta:
        table_name = "jobs"


class JobLog(Row):
    id = pw.AutoField()
    job_id = pw.IntegerField()
    level = pw.TextField()
    message = pw.TextField()
    at = pw.IntegerField()

    class Meta:
        table_name = "job_logs"


class Event(Row):
    seq = pw.AutoField()
    project_id = pw.TextField(null=True)
    type = pw.TextField()
    session_id = pw.TextField(null=True)
    prompt_id = pw.TextField(null=True)
    payload = pw.TextField()
    source_key = pw.TextField(null=True)
    at = pw.IntegerField()

    class Meta:
        table_name = "events"


class Release(Row):
    id = pw.TextField(primary_key=True)
    project_id = pw.TextField()
    #: Counts up in its project.
    version = pw.IntegerField()
    #: The first 8 characters of `digest`: what its folder is called.
    hash = pw.TextField()
    digest = pw.TextField()
    #: The commit of doce's own history that it was built from.
    snapshot = pw.TextField()
    files = pw.IntegerField()
    #: bytes
    size = pw.IntegerField()
    created_at = pw.IntegerField()
    #: Epoch ms when its files were removed.
    pruned_at = pw.IntegerField(null=True)

    class Meta:
        table_name = "releases"


class Lease(Row):
    name = pw.TextField(primary_key=True)
    holder = pw.TextField()
    expires_at = pw.IntegerField()

    class Meta:
        table_name = "leases"


class Port(Row):
    port = pw.IntegerField(primary_key=True)
    project_id = pw.TextField()
    service = pw.TextField()
    created_at = pw.IntegerField()

    class Meta:
        table_name = "ports"


class Viewer(Row):
    project_id = pw.TextField()
    #: The viewer's own, or one a stream was given.
    viewer_id = pw.TextField()
    user_id = pw.TextField(null=True)
    door = pw.TextField()
    seen_at = pw.IntegerField()

    class Meta:
        table_name = "viewers"
        primary_key = pw.CompositeKey("project_id", "viewer_id")


class Death(Row):
    """A service that ended by itself."""

    id = pw.AutoField()
    project_id = pw.TextField()
    service = pw.TextField()
    at = pw.IntegerField()

    class Meta:
        table_name = "deaths"


class ChatInstallation(Row):
    #: ``slack``
    kind = pw.TextField()
    #: Workspace of the chat.
    team = pw.TextField()
    name = pw.TextField()
    #: Who doce is there.
    bot_user = pw.TextField()
    bot_id = pw.TextField()
    app_id = pw.TextField()
    #: What it may do, separated by commas.
    scopes = pw.TextField()
    #: The token, encrypted.
    sealed = pw.TextField()
    installed_by = pw.TextField(null=True)
    created_at = pw.IntegerField()
    updated_at = pw.IntegerField()

    class Meta:
        table_name = "chat_installations"
        primary_key = pw.CompositeKey("kind", "team")


class ChatClaim(Row):
    """Something that was said or clicked in a chat, taken once however often it is delivered."""

    id = pw.AutoField()
    kind = pw.TextField()
    team = pw.TextField()
    channel = pw.TextField()
    #: What makes it this one: the time stamp of a message, say.
    key = pw.TextField()
    #: Claims of a lane are worked off one after the other, in the order of `place`.
    lane = pw.TextField()
    place = pw.TextField()
    #: As it was delivered, JSON; emptied when it is done.
    payload = pw.TextField()
    state = pw.TextField()
    attempts = pw.IntegerField(default=0)
    outcome = pw.TextField(null=True)
    at = pw.IntegerField()
    done_at = pw.IntegerField(null=True)

    class Meta:
        table_name = "chat_claims"


class ChatThread(Row):
    """A thread of a chat that shows a project."""

    id = pw.TextField(primary_key=True)
    kind = pw.TextField()
    team = pw.TextField()
    channel = pw.TextField()
    #: The message that it hangs on; None until doce has posted it.
    root = pw.TextField(null=True)
    project_id = pw.TextField()
    #: Who began it, here and in the chat.
    user_id = pw.TextField()
    external_user = pw.TextField()
    #: Everything up to this event has been told in it.
    cursor = pw.IntegerField()
    muted = pw.BooleanField(default=False)
    #: Nothing is told any more since then: its project or its channel is gone.
    closed_at = pw.IntegerField(null=True)
    created_at = pw.IntegerField()

    class Meta:
        table_name = "chat_threads"


class ChatPrompt(Row):
    """A prompt that was asked in a thread."""

    prompt_id = pw.TextField(primary_key=True)
    thread_id = pw.TextField()
    #: The person's message; None when a command asked.
    ts = pw.TextField(null=True)
    external_user = pw.TextField()

    class Meta:
        table_name = "chat_prompts"


class ChatMessage(Row):
    """A message of doce's in a thread: written down before it is posted, so that it is posted once."""

    id = pw.TextField(primary_key=True)
    thread_id = pw.TextField()
    #: ``card``, ``turn:<prompt>``, ``request:<id>``, ``deploy:<event>`` …
    about = pw.TextField()
    #: A long one goes on in the next part.
    part = pw.IntegerField()
    #: ``stream`` or ``post``
    mode = pw.TextField()
    #: ``posting``, ``open``, ``closed``
    state = pw.TextField()
    ts = pw.TextField(null=True)
    #: Characters of the text that earlier parts hold.
    covered = pw.IntegerField(default=0)
    created_at = pw.IntegerField()

    class Meta:
        table_name = "chat_messages"


class ChatChannel(Row):
    """What holds in a channel."""

    kind = pw.TextField()
    team = pw.TextField()
    channel = pw.TextField()
    #: The project that is meant when none is named.
    project_id = pw.TextField(null=True)
    #: Only messages that mention doce are for it.
    mention = pw.BooleanField(default=False)
    #: JSON list of chat users who may act here; empty: all who are linked.
    allowed = pw.TextField(default="[]")
    updated_at = pw.IntegerField()

    class Meta:
        table_name = "chat_channels"
        primary_key = pw.CompositeKey("kind", "team", "channel")


def as_dict(row: Row) -> dict[str, Any]:
    """The columns of `row` by name."""
    return {name: getattr(row, name) for name in row._meta.fields}
