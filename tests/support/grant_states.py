"""Grants in each state, for tests of what happens to them."""

from mintage.grants.pkce import s256
from mintage.grants.states import (
    Active,
    Consent,
    Identity,
    Pending,
    Reason,
    Revoked,
    UpstreamTokens,
)
from mintage.values import ClientId

NOW = 1_800_000_000
VERIFIER = "a-code-verifier-of-at-least-forty-three-characters"
CODE_HASH = b"h" * 32
CLIENT = ClientId("client")
OTHER = ClientId("other")
RESOURCE = "https://auth.example/mcp"
TOKENS = UpstreamTokens(
    access_token="up", refresh_token="up-r", expires_at=NOW + 100, issuer="https://idp.example"
)

LOGIN = Consent(
    client_id=CLIENT,
    resource=RESOURCE,
    scopes=("read", "write"),
    identity=Identity(issuer="https://idp.example", subject="alice"),
    created_at=NOW,
)
PENDING = Pending(
    login=LOGIN,
    upstream=TOKENS,
    code_hash=CODE_HASH,
    code_challenge=s256(VERIFIER),
    redirect_uri="https://app.example/cb",
    code_expires_at=NOW + 60,
)
ACTIVE = Active(login=LOGIN, upstream=TOKENS, code_hash=CODE_HASH, generation=5, rotated_at=NOW)
REVOKED = Revoked(reason=Reason.CLIENT_REVOKED, client_id=CLIENT, at=NOW)


def upstream_of(grant: Active) -> UpstreamTokens:
    """The provider's tokens of a grant that a login has made."""
    assert grant.upstream is not None
    return grant.upstream
