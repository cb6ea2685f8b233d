"""The settings of Slack, looked at before Slack is: what is mixed up, empty or missing, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import SecretStr

from doce.errors import BadRequest
from doce.settings import Settings

PREFIXES = {"slack_bot_token": "xoxb-", "slack_app_token": "xapp-"}
#: What else somebody may have copied, by its beginning.
KINDS = {
    "xoxb-": "a bot token", "xapp-": "an app-level token", "xoxp-": "a user token", "xoxe.": "a token that expires",
    "xoxe-": "a token to refresh others", "xoxs-": "a session token", "xoxc-": "a browser's token",
}  # fmt: skip
_PAGE = "your app's page at api.slack.com/apps"
WHERE = {
    "slack_bot_token": f"{_PAGE}, OAuth & Permissions: Bot User OAuth Token, xoxb-…",
    "slack_app_token": f"{_PAGE}, Basic Information: App-Level Tokens, with the scope connections:write, xapp-…",
    "slack_signing_secret": f"{_PAGE}, Basic Information: Signing Secret",
    "slack_client_id": f"{_PAGE}, Basic Information: Client ID",
    "slack_client_secret": f"{_PAGE}, Basic Information: Client Secret",
}
_TOKEN = re.compile(r"x[a-z]{3}-[A-Za-z0-9-]{8,}")
_HEX = re.compile(r"[0-9a-f]{32}")
_CLIENT = re.compile(r"\d+\.\d+")


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a setting. `fatal`: Slack cannot work so."""

    setting: str
    said: str
    hint: str
    fatal: bool = True


def secrets_of(settings: Settings) -> list[str]:
    """The signing secrets: one, or two while they change."""
    given = settings.slack_signing_secret
    return [one.strip() for one in given.get_secret_value().split(",") if one.strip()] if given else []


def troubles(settings: Settings) -> list[Trouble]:
    """Everything that can be seen without asking Slack."""
    return [*_tokens(settings), *_signing(settings), *_installing(settings), *_whole(settings)]


def check(settings: Settings) -> list[Trouble]:
    """What to warn of. Raises BadRequest, naming the setting, for what cannot work."""
    found = troubles(settings)
    for one in found:
        if one.fatal:
            raise BadRequest(one.said, hint=one.hint)
    return found


def _tokens(settings: Settings) -> Iterator[Trouble]:
    for name, prefix in PREFIXES.items():
        given: SecretStr | None = getattr(settings, name)
        if given is None:
            continue
        variable, value, take = f"DOCE_{name.upper()}", given.get_secret_value(), f"Take it from {WHERE[name]}."
        if not value.strip():
            yield Trouble(variable, f"{variable} is empty.", f"Set or unset it. {take}")
        elif not value.startswith(prefix):
            kind = next((kind for beginning, kind in KINDS.items() if value.strip().startswith(beginning)), "no token of Slack's")
            yield Trouble(variable, f"{variable} is {kind}; it has to begin with {prefix}", take)
        elif not _TOKEN.fullmatch(value):
            yield Trouble(variable, f"{variable} has something in it that is not part of a token.", f"Copy it again, whole. {take}")


def _signing(settings: Settings) -> Iterator[Trouble]:
    variable, take = "DOCE_SLACK_SIGNING_SECRET", f"Take it from {WHERE['slack_signing_secret']}."
    if settings.slack_signing_secret is None:
        return
    found = secrets_of(settings)
    if not found:
        yield Trouble(variable, f"{variable} is empty.", f"Set or unset it: with an empty one anybody could speak as Slack. {take}")
    elif len(found) > 2:
        yield Trouble(variable, f"{variable} holds {len(found)} secrets; two are the most.", "The new one and the old one, with a comma.")
    elif any(one.startswith(("xoxb-", "xapp-", "xoxe")) for one in found):
        yield Trouble(variable, f"{variable} is a token, not the signing secret.", take)
    elif not all(_HEX.fullmatch(one) for one in found):
        yield Trouble(variable, f"{variable} does not look like one: 32 digits and letters a to f.", take, fatal=False)


def _installing(settings: Settings) -> Iterator[Trouble]:
    client, secret = settings.slack_client_id, settings.slack_client_secret
    for name, given, other in (("slack_client_secret", secret, client), ("slack_client_id", client, secret)):
        if other and not given:
            variable = f"DOCE_{name.upper()}"
            yield Trouble(variable, f"{variable} is missing: installing takes id and secret.", f"Take it from {WHERE[name]}.")
    if client and not _CLIENT.fullmatch(client):
        said = "DOCE_SLACK_CLIENT_ID does not look like one: two numbers with a dot."
        yield Trouble("DOCE_SLACK_CLIENT_ID", said, f"Take it from {WHERE['slack_client_id']}.", fatal=False)


def _whole(settings: Settings) -> Iterator[Trouble]:
    if not settings.slack_app_token and not settings.slack_signing_secret:
        yield Trouble(
            "DOCE_SLACK_APP_TOKEN", "Nothing that is said in Slack would reach doce: there is no DOCE_SLACK_APP_TOKEN.",
            f"Take it from {WHERE['slack_app_token']}. Or set DOCE_SLACK_SIGNING_SECRET, for requests over HTTP.",
        )  # fmt: skip
    if not settings.slack_bot_token and not settings.slack_client_id:
        yield Trouble(
            "DOCE_SLACK_BOT_TOKEN", "doce could say nothing in Slack: there is no DOCE_SLACK_BOT_TOKEN.",
            f"Take it from {WHERE['slack_bot_token']}. Or set DOCE_SLACK_CLIENT_ID and …_SECRET, to install doce in workspaces.",
        )  # fmt: skip


#: Slack's words for what is wrong with a token → (what that means, what to do).
WHY = {
    "invalid_auth": ("Slack does not know this token", "Copy it again, whole"),
    "not_authed": ("Slack got no token", "Set it"),
    "account_inactive": ("the app was removed from the workspace", "Install the app again, and take the new token"),
    "token_revoked": ("this token was revoked", "Install the app again, and take the new token"),
    "token_expired": ("this token expired", "Switch token rotation off in the app, install it again, and take the new token"),
    "not_allowed_token_type": ("this is another kind of token", "Take the right one"),
    "missing_scope": ("the token may not do this", "`doce slack check` says which scopes are missing"),
    "no_permission": ("the token may not do this", "Give it the scope connections:write"),
    "ekm_access_denied": ("the workspace's admins have suspended it", "Ask them"),
}  # fmt: skip


def why(setting: str, code: str) -> tuple[str, str]:
    """(what a refusal of Slack's means for the token of a setting, what to do)."""
    name = setting.removeprefix("DOCE_").lower()
    meant, do = WHY.get(code, (f"Slack refuses it ({code})", "Look at the app's settings"))
    return (
        f"{setting}: {meant}.",
        f"{do}: {WHERE[name]}." if name in WHERE else "An admin of doce installs it there again, at /slack/install.",
    )
