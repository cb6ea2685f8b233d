"""How an OpenCode server is set up: environment and home. Nothing is written into the workspace."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

#: The only provider the agent knows: doce's model gateway. A model's key there is doce's ``provider/model``.
PROVIDER = "doce"
TOKEN_VARIABLE = "OPENCODE_DOCE_TOKEN"
#: Asked outside the workspace; the container is the boundary, this is a courtesy.
PERMISSION: Mapping[str, Any] = {"*": "allow", "external_directory": "ask", "doom_loop": "ask"}
_SWITCHES = (
    "OPENCODE_DISABLE_AUTOUPDATE",
    "OPENCODE_DISABLE_MODELS_FETCH",
    "OPENCODE_DISABLE_LSP_DOWNLOAD",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS",
    "OPENCODE_DISABLE_SHARE",
    "OPENCODE_DISABLE_EXTERNAL_SKILLS",
    "OPENCODE_DISABLE_CLAUDE_CODE",
    "OPENCODE_DISABLE_EMBEDDED_WEB_UI",
    # The workspace is written by the agent and by people: its opencode.json must not reconfigure the server.
    "OPENCODE_DISABLE_PROJECT_CONFIG",
    "OPENCODE_ENABLE_QUESTION_TOOL",
)


def agent_environment(
    *,
    gateway_url: str,
    gateway_token: SecretStr,
    password: SecretStr,
    model: str,
    models: Sequence[str] = (),
    home: Path,
    permission: Mapping[str, Any] | None = None,
) -> dict[str, str | SecretStr]:
    """The variables of ``opencode serve``, beside PATH.

    `gateway_url`: the OpenAI-compatible base address. `model`, `models`: as ``provider/model``. `home`: OpenCode's home,
    see `doce.opencode.home`. The token is in a variable of its own that the configuration only names.
    """
    environment: dict[str, str | SecretStr] = dict.fromkeys(_SWITCHES, "true")
    environment.update(
        HOME=str(home),
        OPENCODE_SERVER_PASSWORD=password,
        OPENCODE_CONFIG_CONTENT=json.dumps(_config(gateway_url, model, models, PERMISSION if permission is None else permission)),
    )
    environment[TOKEN_VARIABLE] = gateway_token
    return environment


def model_of(model: str) -> tuple[str, str]:
    """What a prompt is sent with for doce's ``provider/model``: (provider id, model id)."""
    return PROVIDER, model


def _config(gateway_url: str, model: str, models: Sequence[str], permission: Mapping[str, Any]) -> dict[str, Any]:
    described = {"reasoning": True, "tool_call": True, "attachment": True, "limit": {"context": 128_000, "output": 32_000}}
    described["modalities"] = {"input": ["text", "image"], "output": ["text"]}
    return {
        "provider": {
            PROVIDER: {
                "npm": "@ai-sdk/openai-compatible",
                "name": "doce",
                "options": {"baseURL": gateway_url, "apiKey": f"{{env:{TOKEN_VARIABLE}}}"},
                "models": {name: {"name": name, **described} for name in dict.fromkeys((model, *models))},
            }
        },
        "model": f"{PROVIDER}/{model}",
        "small_model": f"{PROVIDER}/{model}",
        "enabled_providers": [PROVIDER],
        "permission": dict(permission),
        "share": "disabled",
        "autoupdate": False,
    }
