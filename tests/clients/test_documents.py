"""Client id metadata documents: what is read out of one, and what is not taken."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mintage.clients.client import Client
from mintage.clients.documents import is_document_url, parse_document
from mintage.clients.fetching import Fetched
from mintage.clients.metadata import check_fetchable
from mintage.clients.policy import DocumentPolicy
from mintage.clients.published import Published
from mintage.errors import InvalidClient
from mintage.testing.clock import ManualClock
from tests.support.client_keys import jwks, key

URL = "https://client.example/oauth/client.json"
GOOD: dict[str, Any] = {
    "client_id": URL,
    "client_name": "A client",
    "redirect_uris": ["https://client.example/cb", "http://127.0.0.1/cb"],
}


def parse(**members: Any) -> Client:
    sent = {name: value for name, value in (GOOD | members).items() if value is not None}
    return parse_document(URL, json.dumps(sent).encode())


def test_spec044_the_least_that_a_document_holds() -> None:
    client = parse()
    assert (client.client_id, client.name, client.host) == (URL, "A client", "client.example")
    assert [uri.text for uri in client.redirect_uris] == GOOD["redirect_uris"]
    assert (client.auth_method, client.grant_types) == ("none", ("authorization_code",))
    assert client.secret is None
    assert not client.vouched


def test_spec047_members_that_nobody_reads_are_ignored() -> None:
    assert parse(logo_uri="https://127.0.0.1/logo", contacts=["x"], client_uri=7) == parse()


@pytest.mark.parametrize(
    ("preferred", "offered", "chosen"),
    [
        (None, None, "none"),
        ("none", None, "none"),
        ("private_key_jwt", None, "private_key_jwt"),
        (None, ["none"], "none"),
        (None, ["private_key_jwt"], "private_key_jwt"),
        (None, ["none", "private_key_jwt"], "private_key_jwt"),
        ("private_key_jwt", ["none", "private_key_jwt"], "private_key_jwt"),
        ("none", ["private_key_jwt", "none"], "none"),
        ("tls_client_auth", ["tls_client_auth", "none"], "none"),
        ("tls_client_auth", ["private_key_jwt", "tls_client_auth"], "private_key_jwt"),
    ],
)
def test_one_method_is_chosen_of_those_that_a_document_offers(
    preferred: str | None, offered: list[str] | None, chosen: str
) -> None:
    """What it prefers, if we have it; then the stronger."""
    client = parse(
        token_endpoint_auth_method=preferred,
        token_endpoint_auth_methods_supported=offered,
        jwks=jwks(key()),
    )
    assert client.auth_method == chosen
    assert (client.jwks is not None) == (chosen == "private_key_jwt")


@pytest.mark.parametrize(
    "members",
    [
        {"client_id": None}, {"client_id": URL + "/"}, {"client_name": None}, {"client_name": 7},
        {"client_name": "x" * 101}, {"client_name": "a\u202eb"}, {"redirect_uris": None},
        {"redirect_uris": []}, {"redirect_uris": ["javascript:alert(1)"]},
        {"redirect_uris": ["http://client.example/cb"]}, {"redirect_uris": "https://a.example/"},
        {"redirect_uris": [f"https://a.example/{n}" for n in range(11)]},
        {"token_endpoint_auth_method": "client_secret_basic"},
        {"token_endpoint_auth_method": "client_secret_post"},
        {"token_endpoint_auth_method": "client_secret_jwt"},
        {"token_endpoint_auth_method": "client_secret_new"},
        {"token_endpoint_auth_method": "tls_client_auth"},
        {"token_endpoint_auth_method": "private_key_jwt"},
        {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": []}},
        {"token_endpoint_auth_method": "private_key_jwt", "jwks": {}},
        {"token_endpoint_auth_method": "private_key_jwt", "jwks": [1]},
        {"token_endpoint_auth_method": "private_key_jwt",
         "jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}},
        {"token_endpoint_auth_method": "private_key_jwt",
         "jwks": {"keys": [key("EdDSA").as_dict(private=True)]}},
        {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://client.example/k"},
        {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://10.0.0.1/k"},
        {"jwks": {"keys": []}, "jwks_uri": "https://client.example/k"},
        {"client_secret": "x"}, {"client_secret": ""}, {"client_secret_expires_at": 0},
        {"grant_types": ["password"]}, {"grant_types": ["client_credentials"]},
        {"response_types": ["token"]}, {"application_type": "web"}, {"application_type": "tv"},
    ],
)  # fmt: skip
def test_spec044_spec048_a_document_that_breaks_a_rule_is_refused_and_says_which(
    members: dict[str, Any],
) -> None:
    with pytest.raises(InvalidClient, match="document of this client_id can't be used: ") as caught:
        parse(**members)
    assert not caught.value.advice.endswith(": ")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{", b"\xff", b"<html>", b"[" * 15_000, b'{"x":' * 3_000,
        b'{"client_id":' * 1000,
    ],
)  # fmt: skip
def test_attack_d02_what_is_no_document_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidClient):
        parse_document(URL, body)


@given(st.binary(max_size=200))
def test_attack_d02_any_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidClient):
        parse_document(URL, body)


@given(st.text(max_size=40).map("https://".__add__) | st.text(max_size=40))
def test_attack_d02_any_text_is_fetchable_or_refused(text: str) -> None:
    try:
        check_fetchable(text)
    except ValueError:
        return
    assert is_document_url(text)


class TestPolicy:
    def test_allows_all_that_is_not_denied(self) -> None:
        policy = DocumentPolicy(deny=("evil.example", "*.evil.example"))
        assert policy.permits("good.example")
        assert policy.permits("notevil.example")
        assert not policy.permits("evil.example")
        assert not policy.permits("a.b.evil.example")

    def test_allows_only_what_is_listed(self) -> None:
        policy = DocumentPolicy(allow=("*.good.example", "one.example"), deny=("bad.*",))
        assert policy.permits("a.good.example")
        assert policy.permits("one.example")
        assert not policy.permits("good.example")
        assert not policy.permits("agood.example")
        assert not policy.permits("one.example.evil.example")
        assert not policy.permits("bad.good.example")

    def test_allows_nothing_when_it_is_off(self) -> None:
        assert not DocumentPolicy(enabled=False, allow=("*",)).permits("good.example")

    async def test_holds_for_keys_of_clients_that_nobody_vouches_for(self) -> None:
        """Also of those that registered before the policy was what it is."""
        asked: list[str] = []

        async def fetch(url: str, *, limit: int) -> Fetched:
            asked.append(url)
            return Fetched(json.dumps(jwks(key())).encode(), "")

        published = Published(fetch, policy=DocumentPolicy(enabled=False), clock=ManualClock())
        stranger = replace(parse(), jwks_uri="https://client.example/keys")
        with pytest.raises(InvalidClient, match="not fetched"):
            await published.keys(stranger)
        assert asked == []
        assert len((await published.keys(replace(stranger, vouched=True))).keys) == 1
