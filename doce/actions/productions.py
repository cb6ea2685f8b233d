"""Deployments: put a site online, go back, take it off."""

from __future__ import annotations

from pydantic import Field

from doce.actions.projects import OfProject
from doce.actions.registry import Call, action
from doce.productions.deployments import ProductionView


class Rollback(OfProject):
    version: str | None = Field(
        None, max_length=64, description="Version to go back to, v3 say; the one before when left out.", examples=["v1"]
    )


PATH = "/api/projects/{project}/production"


@action(
    "productions.get", input=OfProject, output=ProductionView, role="viewer", method="GET", path=PATH,
    words=("versions",), positional=("project",), examples=("versions ceramic-portfolio",),
)  # fmt: skip
def get(call: Call, given: OfProject) -> ProductionView:
    """Show what is deployed, and the versions there are."""
    return call.services.productions.view(call.project.id)


@action(
    "productions.deploy", input=OfProject, output=ProductionView, role="editor", method="POST", path=PATH, status=202,
    words=("deploy",), positional=("project",), examples=("deploy ceramic-portfolio",),
)  # fmt: skip
def deploy(call: Call, given: OfProject) -> ProductionView:
    """Build the site and put it online; what is live stays until the new version is healthy."""
    return call.services.productions.deploy(call.project, call.user.id)


@action(
    "productions.rollback", input=Rollback, output=ProductionView, role="editor", method="POST", path=f"{PATH}/rollback", status=202,
    words=("rollback",), positional=("project", "version"), examples=("rollback ceramic-portfolio", "rollback ceramic-portfolio v2"),
)  # fmt: skip
def rollback(call: Call, given: Rollback) -> ProductionView:
    """Go back to the version before (after a stop, to what was live), or to a named one."""
    return call.services.productions.rollback(call.project, call.user.id, given.version)


@action(
    "productions.stop", input=OfProject, output=ProductionView, role="editor", method="POST", path=f"{PATH}/stop", status=202,
    words=("undeploy",), positional=("project",), examples=("undeploy ceramic-portfolio",),
)  # fmt: skip
def stop(call: Call, given: OfProject) -> ProductionView:
    """Take a deployed site off; its versions and its address stay."""
    return call.services.productions.stop(call.project, call.user.id)
