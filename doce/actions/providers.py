"""Providers of models: set up, test, remove. For admins; a key is never shown again."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from doce.actions.paging import Paging, cut
from doce.actions.registry import Call, Done, Input, action
from doce.llm.providers import Known
from doce.projects.views import Page, View


class ProviderView(View):
    """A provider of models. `source`: set up here, in doce's environment, or built in. `updated_at` is epoch ms."""

    name: str
    base_url: str | None
    source: Literal["stored", "environment", "built-in"]
    has_key: bool
    updated_at: int | None
    #: why its models could not be listed lately
    problem: str | None


class OfProvider(Input):
    provider: str = Field(max_length=60, description="Name of the provider: openrouter, anthropic, openai, or one of yours.")


class SetProvider(OfProvider):
    key: SecretStr | None = Field(None, max_length=500, description="Its key; left out where it wants none.")
    base_url: str | None = Field(
        None, max_length=300, description="Its OpenAI-compatible address, ending in /v1; known of openrouter and anthropic."
    )


class Tested(View):
    """A provider that answers, and how many models it has."""

    provider: str
    models: int
    message: str


def _view(known: Known) -> ProviderView:
    return ProviderView(**{name: getattr(known, name) for name in ProviderView.model_fields})


@action("providers.list", input=Paging, output=Page[ProviderView], role="admin", method="GET", path="/api/providers")
def list_providers(call: Call, given: Paging) -> Page[ProviderView]:
    """List the providers of models, without their keys."""
    items, following = cut([_view(known) for known in call.services.providers.list()], given, lambda one: one.name)
    return Page(items=items, next=following)


@action("providers.set", input=SetProvider, output=Tested, role="admin", method="POST", path="/api/providers/{provider}")
def set_provider(call: Call, given: SetProvider) -> Tested:
    """Set up a provider; it is asked first whether it takes the key."""
    models = call.services.providers.set(given.provider, given.key, given.base_url, by=call.user.id)
    return Tested(provider=given.provider, models=models, message=f"{given.provider} is set up; it has {models} models.")


@action("providers.test", input=OfProvider, output=Tested, role="admin", method="POST", path="/api/providers/{provider}/test")
def test_provider(call: Call, given: OfProvider) -> Tested:
    """Ask a provider whether it still takes its key."""
    models = call.services.providers.test(given.provider)
    return Tested(provider=given.provider, models=models, message=f"{given.provider} answers; it has {models} models.")


@action("providers.remove", input=OfProvider, output=Done, role="admin", method="DELETE", path="/api/providers/{provider}")
def remove_provider(call: Call, given: OfProvider) -> Done:
    """Forget a provider and its key; projects that use its models need another."""
    call.services.providers.remove(given.provider)
    return Done(message=f"{given.provider} and its key are forgotten.")
