"""How Mintage authenticates to the provider."""

import pytest

from mintage.upstream.authentication import ClientCredentials
from mintage.upstream.preset import AuthMethod
from mintage.values import Secret


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_credentials_are_a_value(method: AuthMethod) -> None:
    """They can be a key, and each method makes only what it sends."""
    one, same = (
        ClientCredentials(client_id="a b", method=method, secret=Secret(b"c:d")) for _ in range(2)
    )
    assert hash(one) == hash(same)
    assert one == same
    assert "c:d" not in repr(one)
    basic = {"authorization": "Basic YStiOmMlM0Fk"}
    assert one.basic() == basic
    assert one.header() == (basic if method == "client_secret_basic" else {})
