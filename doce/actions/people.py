"""Setting up, signing in and out, and the people of this doce."""

from __future__ import annotations

import secrets
from typing import Any, Literal

from pydantic import Field
from pydantic.config import JsonDict

from doce.actions.account import Nothing
from doce.actions.paging import Paging, cut
from doce.actions.registry import Call, Done, Input, SignedIn, SignedOut, action
from doce.auth import preferences, setup
from doce.auth.passwords import MAX_LENGTH, MIN_LENGTH
from doce.auth.preferences import Notifications, Preferences, Verbosity
from doce.auth.users import Account, Person
from doce.errors import BadRequest, Conflict, Forbidden, Unauthorized
from doce.projects.views import Page, View

_PASSWORD: JsonDict = {"minLength": MIN_LENGTH, "maxLength": MAX_LENGTH, "format": "password"}
_NAME: JsonDict = {"minLength": 1, "maxLength": 100}


class SetupView(View):
    """Whether doce waits for its first admin, and whether from here that takes the code which `doce serve` printed."""

    needed: bool
    code_needed: bool


class FirstAdmin(Input):
    name: str = Field(description="Your name here.", json_schema_extra=_NAME)
    password: str = Field(description="What you will sign in with.", json_schema_extra=_PASSWORD)
    code: str | None = Field(None, max_length=100, description="What `doce serve` printed; not needed on the same machine.")


class SignIn(Input):
    name: str = Field(max_length=200, description="Your name here.")
    password: str = Field(max_length=MAX_LENGTH, description="Your password.", json_schema_extra={"format": "password"})


class NewPassword(Input):
    current: str | None = Field(None, max_length=MAX_LENGTH, description="The one until now, if there is one.")
    password: str = Field(description="The new one.", json_schema_extra=_PASSWORD)


class PreferencesView(View):
    """What you prefer. `model` None: what this doce gives new projects."""

    model: str | None
    verbosity: Verbosity
    notifications: Notifications
    time_zone: str


class ChangePreferences(Input):
    model: str | None = Field(None, max_length=200, description="Model of your new projects, as provider/model; null: the instance's.")
    verbosity: Verbosity | None = Field(None, description="How much of a turn chat shows.")
    notifications: Notifications | None = Field(None, description="Whether the end of a turn is told: never, after long ones, always.")
    time_zone: str | None = Field(None, max_length=60, description="Where you are, as in Europe/Paris.")


class OfUser(Input):
    user: str = Field(min_length=1, max_length=200, description="Name or id of the user.")


class NewUser(Input):
    name: str = Field(description="Their name here.", json_schema_extra=_NAME)
    role: Literal["member", "admin"] = Field("member", description="What they are: member or admin.")


class ChangeUser(OfUser):
    name: str | None = Field(None, description="Another name.", json_schema_extra=_NAME)
    role: Literal["member", "admin"] | None = Field(None, description="Another role: member or admin.")


class UserView(View):
    """A user. Times are epoch ms; `password` is shown once, when it is made."""

    id: str
    name: str
    role: Literal["admin", "member"]
    created_at: int
    has_password: bool
    password: str | None = None


class LinkCodeView(View):
    """Say the code where you chat; it works once, until `expires_at` (epoch ms)."""

    code: str
    expires_at: int


class IdentityView(View):
    """Somebody of a chat who is you. Times are epoch ms."""

    id: str
    kind: str
    team: str
    external_id: str
    name: str
    created_at: int


class OfIdentity(Input):
    identity: str = Field(max_length=100, description="Id of the link.")


@action("setup.state", input=Nothing, output=SetupView, role="public", method="GET", path="/api/setup", browser=True)
def setup_state(call: Call, given: Nothing) -> SetupView:
    """Say whether doce waits for its first admin."""
    needed = not call.services.users.any()
    return SetupView(needed=needed, code_needed=needed and not call.caller.local)


@action("setup.create", input=FirstAdmin, output=SignedIn, role="public", method="POST", path="/api/setup", status=201, browser=True)
def set_up(call: Call, given: FirstAdmin) -> SignedIn:
    """Make the first admin, and sign them in."""
    if call.services.users.any():
        raise Conflict("doce is already set up.", hint="Sign in, or ask an admin for an account.")
    _check_cookies(call)
    if not call.caller.local:
        call.services.attempts.check(call.caller.address)
        try:
            setup.check_code(given.code)
        except Forbidden:
            call.services.attempts.failed(call.caller.address)
            raise
    return _signed_in(call, call.services.users.first_admin(given.name, given.password))


@action("session.create", input=SignIn, output=SignedIn, role="public", method="POST", path="/api/session", status=201, browser=True)
def sign_in(call: Call, given: SignIn) -> SignedIn:
    """Sign in, in a browser."""
    _check_cookies(call)
    attempts, keys = call.services.attempts, (call.caller.address, f"name:{' '.join(given.name.lower().split())}")
    for key in keys:
        attempts.check(key)
    person = call.services.users.sign_in(given.name, given.password)
    if person is None:
        for key in keys:
            attempts.failed(key)
        raise Unauthorized("Name or password is wrong.", hint="An admin can set a new password: `doce users reset-password NAME`.")
    return _signed_in(call, person)


@action("session.end", input=Nothing, output=SignedOut, role="member", method="DELETE", path="/api/session", browser=True)
def sign_out(call: Call, given: Nothing) -> SignedOut:
    """Sign out here."""
    if call.caller.session:
        call.services.sessions.end(call.caller.session.get_secret_value())
    return SignedOut(message="You are signed out.")


@action("session.endAll", input=Nothing, output=SignedOut, role="member", method="DELETE", path="/api/sessions")
def sign_out_everywhere(call: Call, given: Nothing) -> SignedOut:
    """Sign out everywhere: every browser of yours. Tokens stay; revoke them one by one."""
    ended = call.services.sessions.end_all(call.user.id)
    return SignedOut(message=f"Signed out of {ended} browser{'' if ended == 1 else 's'}.")


@action("account.password", input=NewPassword, output=Done, role="member", method="POST", path="/api/me/password", browser=True)
def change_password(call: Call, given: NewPassword) -> Done:
    """Change your password; other browsers of yours are signed out."""
    users, key = call.services.users, f"password:{call.user.id}"
    if users.knows_password(call.user.id):
        call.services.attempts.check(key)
        if not users.has_password(call.user.id, given.current or ""):
            call.services.attempts.failed(key)
            raise Forbidden("That is not your password until now.", hint="An admin can set a new one for you.")
    users.set_password(call.user.id, given.password)
    here = call.caller.session
    call.services.sessions.end_all(call.user.id, but=here.get_secret_value() if here else None)
    return Done(message="The password is changed; other browsers are signed out.")


@action("account.settings", input=Nothing, output=PreferencesView, role="member", method="GET", path="/api/me/settings")
def my_settings(call: Call, given: Nothing) -> PreferencesView:
    """Show what you prefer."""
    return _preferences(preferences.of(call.user.id))


@action("account.update", input=ChangePreferences, output=PreferencesView, role="member", method="PATCH", path="/api/me/settings")
def change_settings(call: Call, given: ChangePreferences) -> PreferencesView:
    """Change what you prefer; what is left out stays."""
    changes: dict[str, Any] = given.model_dump(exclude_unset=True)
    if changes.get("model"):
        call.services.projects.checked_model(changes["model"])
    kept = {name: value for name, value in changes.items() if value is not None or name == "model"}
    return _preferences(preferences.change(call.user.id, **kept))


@action("users.list", input=Paging, output=Page[UserView], role="admin", method="GET", path="/api/users")
def list_users(call: Call, given: Paging) -> Page[UserView]:
    """List the people of this doce."""
    items, following = cut([_user(account) for account in call.services.users.list()], given, lambda one: one.id)
    return Page(items=items, next=following)


@action(
    "users.create", input=NewUser, output=UserView, role="admin", method="POST", path="/api/users", status=201, positional=("name",),
)  # fmt: skip
def create_user(call: Call, given: NewUser) -> UserView:
    """Let somebody in; their first password is made and shown this once."""
    password = secrets.token_urlsafe(12)
    made = call.services.users.add(given.name, given.role, password)
    return _shown(call, made.id, password)


@action("users.update", input=ChangeUser, output=UserView, role="admin", method="PATCH", path="/api/users/{user}")
def change_user(call: Call, given: ChangeUser) -> UserView:
    """Give somebody another name or role."""
    person = call.services.users.find(given.user)
    return _shown(call, call.services.users.change(person.id, name=given.name, role=given.role).id)


@action("users.resetPassword", input=OfUser, output=UserView, role="admin", method="POST", path="/api/users/{user}/password")
def reset_password(call: Call, given: OfUser) -> UserView:
    """Make somebody a new password, shown this once; their browsers are signed out."""
    person, password = call.services.users.find(given.user), secrets.token_urlsafe(12)
    call.services.users.set_password(person.id, password)
    call.services.sessions.end_all(person.id)
    return _shown(call, person.id, password)


@action("users.delete", input=OfUser, output=Done, role="admin", method="DELETE", path="/api/users/{user}", danger=True)
def delete_user(call: Call, given: OfUser) -> Done:
    """Remove a user; their sessions, tokens and links end at once."""
    person = call.services.users.find(given.user)
    call.services.users.remove(person.id)
    return Done(message=f"{person.name} is no user of this doce any more.")


@action("identities.link", input=Nothing, output=LinkCodeView, role="member", method="POST", path="/api/me/identities", status=201)
def link(call: Call, given: Nothing) -> LinkCodeView:
    """Make a code that links you in a chat to this user; say it there as `/doce link CODE`."""
    code, expires_at = call.services.identities.link_code(call.user.id)
    return LinkCodeView(code=code, expires_at=expires_at)


@action("identities.list", input=Paging, output=Page[IdentityView], role="member", method="GET", path="/api/me/identities")
def list_identities(call: Call, given: Paging) -> Page[IdentityView]:
    """List who you are in chats."""
    found = [
        IdentityView(id=one.id, kind=one.kind, team=one.team, external_id=one.external_id, name=one.name, created_at=one.created_at)
        for one in call.services.identities.list(call.user.id)
    ]
    items, following = cut(found, given, lambda one: one.id)
    return Page(items=items, next=following)


@action("identities.unlink", input=OfIdentity, output=Done, role="member", method="DELETE", path="/api/me/identities/{identity}")
def unlink(call: Call, given: OfIdentity) -> Done:
    """Remove a link: whoever that is in the chat is nobody here any more."""
    call.services.identities.remove(call.user.id, given.identity)
    return Done(message="The link is removed.")


def _check_cookies(call: Call) -> None:
    if not call.caller.keeps_cookies:
        raise BadRequest(
            "At this address a site made here could read your session: it has the same host name.",
            hint="Open doce at its own address (locally http://localhost:PORT), use https, or set DOCE_SITE_HOST.",
        )


def _signed_in(call: Call, person: Person) -> SignedIn:
    return SignedIn(id=person.id, name=person.name, role=person.role, session=call.services.sessions.begin(person.id))


def _preferences(found: Preferences) -> PreferencesView:
    return PreferencesView(model=found.model, verbosity=found.verbosity, notifications=found.notifications, time_zone=found.time_zone)


def _user(account: Account, password: str | None = None) -> UserView:
    return UserView(
        id=account.id, name=account.name, role=account.role, created_at=account.created_at, has_password=account.has_password,
        password=password,
    )  # fmt: skip


def _shown(call: Call, user_id: str, password: str | None = None) -> UserView:
    return _user(next(account for account in call.services.users.list() if account.id == user_id), password)
