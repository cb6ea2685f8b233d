"""Who belongs to a project."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from doce.actions.paging import Paging, cut
from doce.actions.projects import OfProject
from doce.actions.registry import Call, Done, action
from doce.errors import Forbidden
from doce.projects.views import Page, View

PATH = "/api/projects/{project}/members"


class MemberListing(OfProject, Paging):
    pass


class OfMember(OfProject):
    user: str = Field(min_length=1, max_length=200, description="Name or id of the user.")


class SetMember(OfMember):
    role: Literal["viewer", "editor"] = Field("editor", description="viewer: may look. editor: all but delete, members and money.")


class MemberView(View):
    """A person of a project. `since` is epoch ms, null for the owner."""

    user_id: str
    name: str
    role: Literal["viewer", "editor", "owner"]
    since: int | None


@action("members.list", input=MemberListing, output=Page[MemberView], role="viewer", method="GET", path=PATH, positional=("project",))
def list_members(call: Call, given: MemberListing) -> Page[MemberView]:
    """List who belongs to a project."""
    found = [
        MemberView(user_id=one.user_id, name=one.name, role=one.role, since=one.since)
        for one in call.services.members.list(call.project.id)
    ]
    items, following = cut(found, given, lambda one: one.user_id)
    return Page(items=items, next=following)


@action("members.set", input=SetMember, output=Done, role="owner", method="POST", path=f"{PATH}/{{user}}")
def set_member(call: Call, given: SetMember) -> Done:
    """Let somebody into a project, or change what they may."""
    person = call.services.users.find(given.user)
    call.services.members.set(call.project.id, person.id, given.role)
    return Done(message=f"{person.name} is {'an editor' if given.role == 'editor' else 'a viewer'} of {call.project.name}.")


@action("members.remove", input=OfMember, output=Done, role="viewer", method="DELETE", path=f"{PATH}/{{user}}")
def remove_member(call: Call, given: OfMember) -> Done:
    """Take somebody out of a project; members may take out themselves."""
    person = call.services.users.find(given.user)
    if not (call.user.is_admin or call.user.id in (call.project.owner_user_id, person.id)):
        raise Forbidden("Only the owner takes others out of a project.", hint="You may leave it yourself.")
    call.services.members.remove(call.project.id, person.id)
    return Done(message=f"{person.name} is no member of {call.project.name} any more.")


@action("members.transfer", input=OfMember, output=Done, role="owner", method="POST", path="/api/projects/{project}/owner/{user}")
def transfer(call: Call, given: OfMember) -> Done:
    """Give a project to somebody; you stay as an editor."""
    person = call.services.users.find(given.user)
    call.services.members.transfer(call.project.id, person.id)
    return Done(message=f"{call.project.name} is {person.name}'s now.")
