"""FastMCP's module and ours behave alike wherever FastMCP's own tests look.

Each behaviour is held by both, so a change on either side turns a test red.
"""

import base64
from typing import Any, Final

import pytest
from fastmcp.server.auth import jwt_issuer as fastmcp_module
from joserfc.errors import JoseError

from mintage import jwt_issuer as mintage_module

PUBLIC: Final = "https://tools.example.com"
MONTH: Final = 30 * 24 * 3600
KINDS: Final = ("high_entropy_material", "low_entropy_material")

pytestmark = pytest.mark.parametrize(
    "module", [fastmcp_module, mintage_module], ids=["fastmcp", "mintage"]
)


@pytest.fixture
def key(module: Any) -> bytes:
    derived: bytes = module.derive_jwt_key(high_entropy_material="the client's secret", salt="jwt")
    return derived


@pytest.fixture
def issuer(module: Any, key: bytes) -> Any:
    return module.JWTIssuer(issuer=PUBLIC, audience=f"{PUBLIC}/mcp", signing_key=key)


# --- keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_32_bytes_in_base64url(module: Any, kind: str) -> None:
    key = module.derive_jwt_key(**{kind: "material"}, salt="salt")
    assert (type(key), len(key), len(base64.urlsafe_b64decode(key))) == (bytes, 44, 32)


@pytest.mark.parametrize("kind", KINDS)
def test_other_material_gives_another_key(module: Any, kind: str) -> None:
    one, other = (module.derive_jwt_key(**{kind: m}, salt="salt") for m in ("one", "other"))
    assert one != other


@pytest.mark.parametrize("kind", KINDS)
def test_another_salt_gives_another_key(module: Any, kind: str) -> None:
    one, other = (module.derive_jwt_key(**{kind: "material"}, salt=s) for s in ("one", "other"))
    assert one != other


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_input_gives_the_same_key(module: Any, kind: str) -> None:
    once, again = (module.derive_jwt_key(**{kind: "material"}, salt="salt") for _ in range(2))
    assert once == again


# --- what is issued --------------------------------------------------------------------------


def test_an_access_token_is_a_jws_that_verifies(issuer: Any) -> None:
    token = issuer.issue_access_token(
        client_id="editor", scopes=["read", "write"], jti="j1", expires_in=600
    )
    assert token.count(".") == 2
    claims = issuer.verify_token(token)
    assert {name: claims[name] for name in ("iss", "aud", "client_id", "scope", "jti")} == {
        "iss": PUBLIC,
        "aud": f"{PUBLIC}/mcp",
        "client_id": "editor",
        "scope": "read write",
        "jti": "j1",
    }


def test_an_access_token_names_no_user(issuer: Any) -> None:
    token = issuer.issue_access_token(client_id="editor", scopes=["read"], jti="j1", expires_in=600)
    claims = issuer.verify_token(token)
    assert set(claims) == {"iss", "aud", "client_id", "scope", "exp", "iat", "jti"}


def test_a_refresh_token_says_that_it_is_one(issuer: Any) -> None:
    token = issuer.issue_refresh_token(
        client_id="editor", scopes=["read"], jti="j2", expires_in=MONTH
    )
    claims = issuer.verify_token(token, expected_token_use="refresh")
    assert (claims["client_id"], claims["token_use"], claims["jti"]) == ("editor", "refresh", "j2")
    assert "sub" not in claims


def test_claims_of_the_provider_are_in_the_access_token(issuer: Any) -> None:
    given = {"sub": "u1", "name": "Ada", "roles": ["Admin", "Reader"]}
    token = issuer.issue_access_token(
        client_id="editor", scopes=["read"], jti="j1", expires_in=600, upstream_claims=given
    )
    assert issuer.verify_token(token)["upstream_claims"] == given


def test_without_claims_of_the_provider_there_is_no_place_for_them(issuer: Any) -> None:
    token = issuer.issue_access_token(client_id="editor", scopes=["read"], jti="j1", expires_in=600)
    assert "upstream_claims" not in issuer.verify_token(token)


def test_claims_of_the_provider_are_in_the_refresh_token(issuer: Any) -> None:
    given = {"sub": "u1", "name": "Ada"}
    token = issuer.issue_refresh_token(
        client_id="editor", scopes=["read"], jti="j2", expires_in=MONTH, upstream_claims=given
    )
    claims = issuer.verify_token(token, expected_token_use="refresh")
    assert (claims["upstream_claims"], claims["token_use"]) == (given, "refresh")


# --- what is refused -------------------------------------------------------------------------


def test_another_key_does_not_verify(module: Any, issuer: Any) -> None:
    token = issuer.issue_access_token(client_id="editor", scopes=["read"], jti="j1")
    key = module.derive_jwt_key(high_entropy_material="another secret", salt="jwt")
    other = module.JWTIssuer(issuer=PUBLIC, audience=f"{PUBLIC}/mcp", signing_key=key)
    with pytest.raises(JoseError):
        other.verify_token(token)


@pytest.mark.parametrize("seconds", [-1, -MONTH])
def test_a_token_may_be_issued_that_has_ended(issuer: Any, seconds: int) -> None:
    access = issuer.issue_access_token(
        client_id="editor", scopes=["read"], jti="j1", expires_in=seconds
    )
    with pytest.raises(JoseError, match="expired"):
        issuer.verify_token(access)
    refresh = issuer.issue_refresh_token(
        client_id="editor", scopes=["read"], jti="j2", expires_in=seconds
    )
    with pytest.raises(JoseError, match="expired"):
        issuer.verify_token(refresh, expected_token_use="refresh")


def test_another_issuer_under_the_same_key_is_refused(module: Any, issuer: Any) -> None:
    """The key is found under the attribute that FastMCP's tests read it from."""
    token = issuer.issue_access_token(client_id="editor", scopes=["read"], jti="j1")
    other = module.JWTIssuer(
        issuer="https://else.example.com", audience=f"{PUBLIC}/mcp", signing_key=issuer._signing_key
    )
    with pytest.raises(JoseError, match="issuer"):
        other.verify_token(token)


def test_another_audience_under_the_same_key_is_refused(module: Any, issuer: Any) -> None:
    token = issuer.issue_access_token(client_id="editor", scopes=["read"], jti="j1")
    other = module.JWTIssuer(
        issuer=PUBLIC, audience="https://else.example.com/mcp", signing_key=issuer._signing_key
    )
    with pytest.raises(JoseError, match="audience"):
        other.verify_token(token)


@pytest.mark.parametrize("text", ["no-token", "one.two.three", "one.two"])
def test_what_is_no_token_is_refused(issuer: Any, text: str) -> None:
    with pytest.raises(JoseError):
        issuer.verify_token(text)


def test_a_refresh_token_is_no_access_token(issuer: Any) -> None:
    token = issuer.issue_refresh_token(
        client_id="editor", scopes=["read"], jti="j2", expires_in=MONTH
    )
    with pytest.raises(JoseError, match="Token type mismatch: expected access, got refresh"):
        issuer.verify_token(token)


def test_an_access_token_is_no_refresh_token(issuer: Any) -> None:
    token = issuer.issue_access_token(client_id="editor", scopes=["read"], jti="j1")
    with pytest.raises(JoseError, match="Token type mismatch: expected refresh, got access"):
        issuer.verify_token(token, expected_token_use="refresh")
