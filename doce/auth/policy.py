"""Who may do what. Denied unless allowed."""

from __future__ import annotations

from doce.auth.users import Person, Users
from doce.errors import SetupRequired, Unauthorized

#: Somebody who is not signed in, for the few things everybody may do.
NOBODY = Person("", "nobody", "member")


def signed_in(users: Users, person: Person | None) -> Person:
    """`person`, who must be somebody. Raises SetupRequired while there is no user at all, else Unauthorized."""
    if person is not None:
        return person
    if not users.any():
        raise SetupRequired(hint="Run `doce setup` on the machine that runs doce.")
    raise Unauthorized(hint="Send a token: `Authorization: Bearer doce_…`. `doce setup` makes the first one.")
