"""The client's calls are doce's actions: same addresses, same fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from doce.actions.catalog import actions
from doce.actions.registry import understand
from doce.client import Call, calls

CALLS: list[tuple[str, Call[Any]]] = [
    ("health.get", calls.health()),
    ("projects.create", calls.create("a shop", name="Shop", template="static", model="rehearsal/site-builder")),
    ("projects.list", calls.projects(limit=3, before="x")),
    ("projects.get", calls.project("shop")),
    ("prompts.add", calls.chat("shop", "make it dark", model="rehearsal/site-builder")),
    ("prompts.list", calls.prompts("shop", limit=3, before="4")),
    ("prompts.changes", calls.changes("shop", "prm_1", limit=3, after="a.css")),
    ("prompts.remove", calls.remove_prompt("shop", "prm_1")),
    ("agent.stop", calls.stop("shop")),
    ("projects.start", calls.start("shop")),
    ("productions.get", calls.production("shop")),
    ("productions.deploy", calls.deploy("shop")),
    ("productions.rollback", calls.rollback("shop", "v1")),
    ("productions.stop", calls.undeploy("shop")),
    ("projects.delete", calls.delete("shop")),
    ("permissions.answer", calls.answer_permission("shop", "per_1", "once", message="go on")),
    ("questions.answer", calls.answer_question("shop", "que_1", [["Red"], ["my own"]])),
    ("jobs.get", calls.job(4)),
    ("attachments.download", calls.attachment("shop", "att_1")),
    ("projects.events", calls.happened("shop", after=3, limit=2)),
    ("account.usage", calls.usage(by="day", project="shop", since=1, until=2, limit=3, before=4)),
    ("jobs.list", calls.jobs(project="shop", type="docker.stop", state="failed", limit=3, before=4)),
    ("jobs.logs", calls.job_lines(4, after=1, limit=2)),
    ("models.list", calls.models(limit=2, after="a/b")),
    ("settings.list", calls.settings()),
    ("settings.update", calls.change_settings(minFreeMb=5)),
    ("providers.list", calls.providers(limit=1, after="a")),
    ("providers.set", calls.set_provider("mine", "key", base_url="http://localhost/v1")),
    ("providers.test", calls.test_provider("mine")),
    ("providers.remove", calls.remove_provider("mine")),
    ("projects.duplicate", calls.duplicate("shop", name="Shop 2")),
    ("projects.export", calls.export("shop")),
    ("projects.import", calls.import_project(Path("shop.zip"), name="Shop", template="static", prompt="make it dark")),
    ("files.list", calls.files("shop", "public", limit=3, after="0a")),
    ("files.get", calls.file("shop", "public/index.html")),
    ("files.download", calls.raw_file("shop", "public/index.html")),
    ("assets.list", calls.assets("shop", limit=3, after="a.png")),
    ("assets.upload", calls.upload_asset("shop", Path("logo.png"))),
    ("assets.download", calls.asset("shop", "logo.png")),
    ("assets.rename", calls.rename_asset("shop", "logo.png", "brand.png")),
    ("assets.delete", calls.delete_asset("shop", "logo.png")),
]


@pytest.mark.parametrize(("name", "call"), CALLS, ids=[name for name, _ in CALLS])
def test_a_call_is_an_action(name: str, call: Call[Any]) -> None:
    action = actions()[name]
    parts, wanted = call.path.split("/"), action.path.split("/")
    assert call.method == action.method
    assert len(parts) == len(wanted)
    values = dict(zip([part.strip("{}") for part in wanted], parts, strict=True))
    assert [part for part in wanted if not part.startswith("{")] == [
        part for part, place in zip(parts, wanted, strict=True) if not place.startswith("{")
    ]
    assert (call.file is not None) == (action.takes is not None)
    assert not call.repeatable or action.repeatable
    query = {name: value for name, value in call.query.items() if value is not None}
    understand(action, {**{field: values[field] for field in action.placeholders}, **query, **(call.body or {})})


def test_every_call_is_compared() -> None:
    built = {
        name
        for name, value in vars(calls).items()
        if callable(value) and getattr(value, "__module__", "") == calls.__name__ and name[:1].islower() and name != "at"
    }
    assert len(built) == len(CALLS)
