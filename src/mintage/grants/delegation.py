"""Who acts for a user: the ``act`` and ``may_act`` claims of exchanged tokens (RFC 8693 §4). Pure.

An exchanged token belongs to the grant of the login from which it came, and ends with it. It names
the backends that act for the user, the newest first::

    {"sub": "alice", "client_id": "files", "act": {"sub": "files", "act": {"sub": "notes"}}}
"""

from collections.abc import Mapping
from typing import Any, Final, Self, TypeAlias

import msgspec

from mintage.access.scopes import Hierarchy
from mintage.grants.states import Active
from mintage.values import ClientId, Scopes

MAX_ACTORS: Final = 4
MAX_BYTES: Final = 1024  # of the names of all actors together

Actors: TypeAlias = tuple[ClientId, ...]
"""The clients that act for a user. The first acts now, and the last was the first."""


class _Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sub: str
    act: "_Act | None" = None


class _MayAct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sub: str


class Delegation(msgspec.Struct, frozen=True, kw_only=True):
    """What an exchanged token says beyond other access tokens.

    *issued_at*: in seconds since the epoch. *may_act*: the only client that may exchange it
    further (RFC 8693 §4.4); None: each that the settings let.
    """

    actors: Actors
    issued_at: int
    may_act: ClientId | None = None

    @property
    def actor(self) -> ClientId:
        """The client that acts now."""
        return self.actors[0]

    @classmethod
    def of(cls, claims: Mapping[str, Any]) -> Self:
        """What the *claims* of a verified token say.

        Raises ``ValueError`` unless they name one to `MAX_ACTORS` clients, and the newest of them
        is the client that the token was issued to.
        """
        try:
            act = msgspec.convert(claims.get("act"), _Act)
            may_act = msgspec.convert(claims.get("may_act"), _MayAct | None)
        except (msgspec.ValidationError, RecursionError):
            raise ValueError("the token does not say who acts for the user") from None
        actors = [act.sub]
        while act.act is not None:
            act = act.act
            actors.append(act.sub)
        check_size(actors)
        if actors[0] != claims.get("client_id"):
            raise ValueError("the token was issued to another client than the one that acts")
        return cls(
            actors=tuple(map(ClientId, actors)),
            issued_at=claims["iat"],
            may_act=None if may_act is None else ClientId(may_act.sub),
        )

    def claims(self) -> dict[str, Any]:
        """``act`` and ``may_act``, for a token."""
        said: dict[str, Any] = {"act": act_claim(self.actors)}
        if self.may_act is not None:
            said["may_act"] = {"sub": self.may_act}
        return said


def act_claim(actors: Actors) -> dict[str, Any]:
    """The ``act`` claim: the newest actor outside, the earlier ones inside (RFC 8693 §4.1)."""
    claim: dict[str, Any] = {}
    for actor in reversed(actors):
        claim = {"sub": actor, "act": claim} if claim else {"sub": actor}
    return claim


def check_size(actors: "Actors | list[str]") -> None:
    """Raise ``ValueError`` if so many *actors*, or such long names, do not fit into a token."""
    if not 0 < len(actors) <= MAX_ACTORS or not all(actors):
        raise ValueError(f"a token is passed on at most {MAX_ACTORS} times")
    if sum(len(actor.encode()) for actor in actors) > MAX_BYTES:
        raise ValueError("the names of the clients that pass the token on are too long")


def is_over(grant: Active, delegation: Delegation | None) -> bool:
    """Whether one of the actors has revoked this token, or the one that it was made of."""
    if delegation is None or not grant.exchanges_ended:
        return False
    ended = grant.exchanges_ended
    return any(ended.get(actor, -1) >= delegation.issued_at for actor in delegation.actors)


def passed_on(
    before: Delegation | None, actor: ClientId, grant: Active, *, may_act: ClientId | None, now: int
) -> Delegation:
    """What the token says that *actor* gets for one which says *before*.

    Raises ``ValueError`` if no token can say it: see `check_size`.
    """
    actors = (actor, *(() if before is None else before.actors))
    check_size(actors)
    return Delegation(actors=actors, issued_at=issue_time(grant, actors, now=now), may_act=may_act)


def issue_time(grant: Active, actors: Actors, *, now: int) -> int:
    """When a new token of *actors* is issued: now, but after all that they have revoked."""
    return max([now, *(grant.exchanges_ended.get(actor, -1) + 1 for actor in actors)])


def narrowed(
    asked: Scopes | None,
    *,
    held: Scopes,
    target: Scopes,
    allowed: Scopes,
    hierarchy: Hierarchy,
) -> Scopes:
    """The scopes of an exchanged token.

    *held*: the subject token's. *target*: those of the resource. *allowed*: what the client may
    have there. *asked*: None for all that is possible. Raises ``ValueError``, with what is possible
    as its text, for a scope that is not.
    """
    reach = hierarchy.reach(held)
    possible = tuple(scope for scope in target if scope in allowed and scope in reach)
    if asked is None:
        return possible
    if not set(asked) <= set(possible):
        raise ValueError(" ".join(possible))
    return asked
