"""Who I am, my tokens, and what this doce is."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SecretStr

from doce import __version__
from doce.actions.registry import Call, Done, Input, action
from doce.auth.users import Token
from doce.projects.views import View


class Nothing(Input):
    """No input."""


class PersonView(View):
    id: str
    name: str
    role: Literal["admin", "member"]


class NewToken(Input):
    name: str = Field(description="What will use it: laptop, cron.")


class OfToken(Input):
    token: str = Field(max_length=100, description="Id of the token.")


class TokenView(View):
    """A token. Times are epoch ms; `secret` is shown once, when it is made."""

    id: str
    name: str
    created_at: int
    last_used_at: int | None
    secret: str | None = None


class TokenList(View):
    items: list[TokenView]


class Health(View):
    ok: bool
    version: str


class ModelView(View):
    #: ``provider/model``
    id: str
    name: str
    provider: str
    #: longest conversation, tokens
    context: int | None = None


class ModelList(View):
    items: list[ModelView]
    #: what new projects get
    default: str


class SettingView(View):
    #: the environment variable
    name: str
    value: str
    default: str
    description: str


class SettingList(View):
    items: list[SettingView]


@action("health.get", input=Nothing, output=Health, role="public", method="GET", path="/api/health")
def health(call: Call, given: Nothing) -> Health:
    """Say that doce answers, and its version."""
    return Health(ok=True, version=__version__)


@action("users.me", input=Nothing, output=PersonView, role="member", method="GET", path="/api/me", words=("me",))
def me(call: Call, given: Nothing) -> PersonView:
    """Say who I am here."""
    return PersonView(id=call.user.id, name=call.user.name, role=call.user.role)


def _view(token: Token, secret: str | None = None) -> TokenView:
    return TokenView(id=token.id, name=token.name, created_at=token.created_at, last_used_at=token.last_used_at, secret=secret)


@action("tokens.create", input=NewToken, output=TokenView, role="member", method="POST", path="/api/tokens", status=201)
def create_token(call: Call, given: NewToken) -> TokenView:
    """Make an API token; its secret is shown this once."""
    token, secret = call.services.tokens.create(call.user.id, given.name)
    return _view(token, secret.get_secret_value())


@action("tokens.list", input=Nothing, output=TokenList, role="member", method="GET", path="/api/tokens", words=("tokens",))
def list_tokens(call: Call, given: Nothing) -> TokenList:
    """List your API tokens."""
    return TokenList(items=[_view(token) for token in call.services.tokens.list(call.user.id)])


@action("tokens.revoke", input=OfToken, output=Done, role="member", method="DELETE", path="/api/tokens/{token}")
def revoke_token(call: Call, given: OfToken) -> Done:
    """Revoke an API token; it opens nothing from now on."""
    call.services.tokens.revoke(call.user.id, given.token)
    return Done(message="The token is revoked.")


@action("models.list", input=Nothing, output=ModelList, role="member", method="GET", path="/api/models", words=("models",))
def list_models(call: Call, given: Nothing) -> ModelList:
    """List the models that agents can use here."""
    found = call.services.catalog.models()
    items = [ModelView(id=model.id, name=model.name, provider=model.provider, context=model.context) for model in found]
    return ModelList(items=items, default=call.services.settings.model)


@action("settings.list", input=Nothing, output=SettingList, role="admin", method="GET", path="/api/settings")
def list_settings(call: Call, given: Nothing) -> SettingList:
    """List the settings of this doce; secrets show as ***."""
    settings = call.services.settings
    items = [
        SettingView(
            name=f"DOCE_{name.upper()}",
            value=_shown(getattr(settings, name)),
            default=_shown(info.default),
            description=info.description or "",
        )
        for name, info in type(settings).model_fields.items()
        if name != "fault"
    ]
    return SettingList(items=items)


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "***"
    if isinstance(value, tuple):
        return "-".join(str(part) for part in value)
    return "" if value is None else str(value)
