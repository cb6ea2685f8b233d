"""How an OpenCode server is set up."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import SecretStr

from doce.opencode.config import TOKEN_VARIABLE, agent_environment, model_of
from doce.opencode.home import prepare_home


def _environment(**changed: object) -> dict[str, str | SecretStr]:
    given = {
        "gateway_url": "http://127.0.0.1:9/v1",
        "gateway_token": SecretStr("token-of-the-project"),
        "password": SecretStr("password-of-the-project"),
        "model": "rehearsal/site-builder",
        "models": ["openrouter/some/model"],
        "home": Path("/home/agent"),
        **changed,
    }
    return agent_environment(**given)  # type: ignore[arg-type]


def test_no_secret_is_in_plain_text() -> None:
    environment = _environment()
    plain = json.dumps({name: str(value) for name, value in environment.items()})
    assert "token-of-the-project" not in plain
    assert "password-of-the-project" not in plain
    assert isinstance(environment[TOKEN_VARIABLE], SecretStr)
    assert isinstance(environment["OPENCODE_SERVER_PASSWORD"], SecretStr)


def test_the_configuration_names_the_token_s_variable_and_the_models() -> None:
    config = json.loads(str(_environment()["OPENCODE_CONFIG_CONTENT"]))
    provider = config["provider"]["doce"]
    assert provider["options"] == {"baseURL": "http://127.0.0.1:9/v1", "apiKey": "{env:" + TOKEN_VARIABLE + "}"}
    assert list(provider["models"]) == ["rehearsal/site-builder", "openrouter/some/model"]
    assert config["model"] == config["small_model"] == "doce/rehearsal/site-builder"
    assert config["enabled_providers"] == ["doce"]
    assert config["share"] == "disabled"
    assert config["autoupdate"] is False
    assert config["permission"]["external_directory"] == "ask"
    assert model_of("openrouter/some/model") == ("doce", "openrouter/some/model")


def test_permissions_can_be_given() -> None:
    config = json.loads(str(_environment(permission={"external_directory": "deny"})["OPENCODE_CONFIG_CONTENT"]))
    assert config["permission"] == {"external_directory": "deny"}


def test_every_switch_has_a_value() -> None:
    # An empty one keeps the server from starting.
    environment = _environment()
    assert all(str(value) for value in environment.values())
    assert environment["OPENCODE_DISABLE_PROJECT_CONFIG"] == "true"


def test_a_home_is_made_once_and_again(tmp_path: Path) -> None:
    prepare_home(tmp_path)
    prepare_home(tmp_path)
    config = tmp_path / ".config" / "opencode"
    named = json.loads((config / "package.json").read_text())["dependencies"]
    assert json.loads((config / "package-lock.json").read_text())["packages"][""]["dependencies"] == named
    assert list((config / "node_modules").iterdir()) == []
