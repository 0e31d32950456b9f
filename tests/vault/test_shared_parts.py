"""Grants in memory have their common parts once."""

import msgspec

from mintage.grants.states import Active, Consent, Identity, UpstreamTokens
from mintage.values import ClientId
from mintage.vault.shared_parts import SharedParts


def grant(name: str) -> Active:
    """One of the user *name*, with strings of its own, as the vault decodes them."""
    made = Active(
        login=Consent(
            client_id=ClientId("ide-1"),
            resource="https://auth.example.com/mcp",
            scopes=("tools",),
            identity=Identity(issuer="https://idp.example", subject=name),
            created_at=1,
        ),
        upstream=UpstreamTokens(access_token=name, issuer="https://idp.example"),
        code_hash=b"",
        generation=1,
        rotated_at=1,
    )
    return msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=Active)


def test_two_grants_of_one_client_share_what_is_equal() -> None:
    shared, one, other = SharedParts(), grant("alice"), grant("bob")
    before = grant("bob")
    assert other.login.client_id is not one.login.client_id
    shared.share(one)
    shared.share(other)
    assert other == before
    assert other.login.client_id is one.login.client_id
    assert other.login.resource is one.login.resource
    assert other.login.scopes is one.login.scopes
    assert other.login.identity.issuer is one.login.identity.issuer
    assert other.login.identity.subject == "bob"


def test_it_remembers_a_bounded_number() -> None:
    shared = SharedParts(most=8)
    for number in range(100):
        shared.share(grant(str(number)))
    assert len(shared._known) <= 8
