"""Logout tokens of the fake provider, and what is wrong with them."""

import json
import secrets
from typing import Any

from joserfc import jws

from mintage.testing.fake_upstream import FakeUpstream
from mintage.upstream.logout_token import EVENT


def logout_claims(provider: FakeUpstream, **changes: Any) -> dict[str, Any]:
    """The claims of a good token (OpenID Connect Back-Channel Logout §2.4). None removes one."""
    now = int(provider.clock())
    claims = {
        "iss": provider.issuer, "aud": provider.client_id, "iat": now, "exp": now + 120,
        "jti": secrets.token_urlsafe(16), "events": {EVENT: {}}, "sub": provider.user,
    }  # fmt: skip
    return {name: value for name, value in (claims | changes).items() if value is not None}


def logout_token(provider: FakeUpstream, **changes: Any) -> str:
    """A token that *provider* signs, with *changes* to its claims."""
    return signed(provider, logout_claims(provider, **changes))


def signed(provider: FakeUpstream, claims: dict[str, Any], **header: Any) -> str:
    """*claims* under the provider's key, with *header* beside ``alg`` and ``kid``."""
    head = {"alg": "RS256", "kid": provider.key.kid, "typ": "logout+jwt"} | header
    registry = jws.JWSRegistry(algorithms=[head["alg"]], strict_check_header=False)
    return jws.serialize_compact(head, json.dumps(claims).encode(), provider.key, registry=registry)
