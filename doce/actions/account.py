"""Who I am, my tokens, the models there are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from doce import __version__
from doce.actions.paging import Paging, cut
from doce.actions.registry import Call, Done, Input, action
from doce.auth.users import Token
from doce.projects.views import Page, View


class Nothing(Input):
    """No input."""


class PersonView(View):
    id: str
    name: str
    role: Literal["admin", "member"]


class NewToken(Input):
    name: str = Field(
        description="What will use it: laptop, cron.", examples=["cron"], json_schema_extra={"minLength": 1, "maxLength": 100}
    )


class OfToken(Input):
    token: str = Field(max_length=100, description="Id of the token.")


class TokenView(View):
    """A token. Times are epoch ms; `secret` is shown once, when it is made."""

    id: str
    name: str
    created_at: int
    last_used_at: int | None
    secret: str | None = None


class TokenList(Page[TokenView]):
    """Tokens, newest first."""


class ModelListing(Paging):
    provider: str | None = Field(None, max_length=60, description="Only models of this provider.")


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


class ModelList(Page[ModelView]):
    """Models, provider by provider."""

    #: what new projects get
    default: str


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


@action("tokens.list", input=Paging, output=TokenList, role="member", method="GET", path="/api/tokens", words=("tokens",))
def list_tokens(call: Call, given: Paging) -> TokenList:
    """List your API tokens."""
    items, following = cut([_view(token) for token in call.services.tokens.list(call.user.id)], given, lambda one: one.id)
    return TokenList(items=items, next=following)


@action("tokens.revoke", input=OfToken, output=Done, role="member", method="DELETE", path="/api/tokens/{token}")
def revoke_token(call: Call, given: OfToken) -> Done:
    """Revoke an API token; it opens nothing from now on."""
    call.services.tokens.revoke(call.user.id, given.token)
    return Done(message="The token is revoked.")


@action("models.list", input=ModelListing, output=ModelList, role="member", method="GET", path="/api/models", words=("models",))
def list_models(call: Call, given: ModelListing) -> ModelList:
    """List the models that agents can use here."""
    found = [one for one in call.services.catalog.models() if given.provider in (None, one.provider)]
    items = [ModelView(id=model.id, name=model.name, provider=model.provider, context=model.context) for model in found]
    page, following = cut(items, given, lambda one: one.id)
    return ModelList(items=page, next=following, default=call.services.projects.default_model())
