"""Whom an event about a grant is about. Pure."""

from mintage.events.event import Party, Subject
from mintage.grants.handles import grant_id
from mintage.grants.states import Active, Pending


def party_of(grant: Pending | Active, key: bytes, *, resource: str | None = None) -> Party:
    """The user, client and public id of *grant*, which has the store key *key*.

    *resource*: None for the grant's own.
    """
    login = grant.login
    own = grant.audience if isinstance(grant, Active) else login.resource
    return Party(
        subject=Subject(login.identity.issuer, login.identity.subject),
        client_id=login.client_id,
        resource=resource or own,
        grant=grant_id(key),
    )
