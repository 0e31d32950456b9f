"""The response of a token request is made again only for a grant whose tokens are others."""

from typing import Any

import pytest
from msgspec.structs import replace

from mintage.clients.client import Client
from mintage.grant_tokens import Tokens
from mintage.grants.states import Active, Consent, Identity, Lease, UpstreamTokens
from mintage.jwt.keyring import KeyRing
from mintage.server.token_answer import Answer
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.testing.clock import ManualClock
from mintage.values import ClientId
from mintage.vault.values import Lifetimes, OpenGrant

NOW = 1_800_000_000
ISSUER = "https://auth.example"
ALICE = Identity(issuer="https://idp.example", subject="alice", claims={"email": "a@b.example"})
LOGIN = Consent(
    client_id=ClientId("client"),
    resource=f"{ISSUER}/mcp",
    scopes=("read", "write"),
    identity=ALICE,
    created_at=NOW,
)
GRANT = Active(
    login=LOGIN,
    upstream=UpstreamTokens(access_token="up"),
    code_hash=b"",
    generation=1,
    rotated_at=NOW,
)


def answer() -> Answer:
    resource = Resource(path="/mcp", identifier=f"{ISSUER}/mcp", scopes=("read", "write"))
    tokens = Tokens(
        issuer=ISSUER,
        resources=[resource.identifier],
        keys=KeyRing(bytes(range(32))),
        lifetimes=Lifetimes(),
        clock=ManualClock(NOW),
    )
    site = Site(issuer=ISSUER, resources=(resource,))
    client = Client(
        client_id=ClientId("client"),
        name="x",
        redirect_uris=(),
        auth_method="none",
        grant_types=("refresh_token",),
    )
    return Answer(tokens=tokens, site=site, client=client, resource=None, jkt=None)


def opened(**changes: Any) -> OpenGrant:
    return OpenGrant(b"s" * 16, replace(GRANT, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"upstream": UpstreamTokens(access_token="new")},
        {"lease": Lease(b"holder", NOW + 20)},
        {"unanswered_since": NOW - 1},
    ],
)
def test_what_a_renewal_changes_leaves_it_as_it_is(changes: dict[str, Any]) -> None:
    made = answer()
    assert made(opened()) is made(opened(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"generation": 2},
        {"rotated_at": NOW + 1},
        {"resource": f"{ISSUER}/mcp/"},
        {"ends_at": NOW + 60},
        {"jkt": "a-key"},
        {"login": replace(LOGIN, scopes=("read",))},
        {"login": replace(LOGIN, identity=replace(ALICE, claims={"email": "c@d.example"}))},
    ],
)
def test_any_other_change_makes_it_anew(changes: dict[str, Any]) -> None:
    """What the tokens say was judged of this very grant."""
    made = answer()
    first = made(opened())
    again = made(opened(**changes))
    assert again is not first
    assert again == answer()(opened(**changes))
