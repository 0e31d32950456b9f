"""Claims of the provider in a token: what does not fit is left out, and the log names it."""

from typing import Any

import pytest

from mintage.jwt_issuer import JWTIssuer
from mintage.server.told_claims import MAX_CLAIMS, told_claims
from tests.support.world import THE_BACKEND, World


@pytest.mark.parametrize(
    ("value", "why"),
    [("x" * MAX_CLAIMS, "bytes"), ("deep", "nested"), ("\ud800", "no JSON")],
)
def test_a_claim_that_no_token_holds_is_left_out(value: Any, why: str) -> None:
    nested = value
    if why == "nested":
        for _ in range(80):
            nested = [nested]
    told, left_out = told_claims(("a", "big", "b", "none"), {"a": 1, "big": nested, "b": "2"})
    assert told == {"a": 1, "b": "2"}
    assert list(left_out) == ["big"]
    assert why in left_out["big"]


def test_what_is_told_fits_into_a_token() -> None:
    said = {name: name * 2000 for name in "abcdefgh"}
    told, left_out = told_claims("abcdefgh", said)
    assert told.keys() | left_out.keys() == said.keys()
    assert left_out
    issuer = JWTIssuer("https://a", "https://b", bytes(range(32)), clock=lambda: 1000.0)
    token = issuer.issue_access_token("c", ["s"], "jti", expires_in=60, upstream_claims=told)
    assert issuer.verify_token(token)["upstream_claims"] == told


class TestAtTheTokenEndpoint:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        resource = {"path": "/mcp", "backend": THE_BACKEND, "scopes": ["tools"]}
        return {"resource": [resource | {"token_claims": ["email", "groups"]}]}

    async def test_attack_e03_many_groups_are_no_error_of_the_client(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.upstream.claims["groups"] = [f"group-{n}-{'x' * 60}" for n in range(500)]
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        assert (await client.call(tokens["access_token"])).status_code == 200
        assert "the claim groups was left out of a token" in caplog.text
