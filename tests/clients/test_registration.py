"""Dynamic registration (RFC 7591): defaults, refusals, and the client_id that holds it all."""

import hashlib
import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.clients import redirects, registration
from mintage.clients.registration import (
    ClientIds,
    RegisteredClient,
    Registration,
    parse_registration,
)
from mintage.errors import InvalidClientMetadata, InvalidRedirectUri, OAuthError

CLIENT_IDS = ClientIds(b"k" * 32)
URI = "http://127.0.0.1:43117/callback"


def parse(**metadata: Any) -> Registration:
    return parse_registration(json.dumps({"redirect_uris": [URI]} | metadata).encode())


def issue(salt: bytes = b"saltsalt", **metadata: Any) -> RegisteredClient:
    return CLIENT_IDS.issue(parse(**metadata), now=1_800_000_000, salt=salt)


class TestMetadata:
    def test_spec054_spec057_what_is_left_out_has_the_defaults_of_the_rfc(self) -> None:
        response = issue().response()
        assert response.pop("client_id")
        assert response.pop("client_secret")
        assert response == {
            "client_id_issued_at": 1_800_000_000,
            "redirect_uris": [URI],
            "client_name": "An application without a name",
            "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": ["authorization_code"],
            "response_types": ["code"],
            "client_secret_expires_at": 0,
        }

    def test_spec054_a_public_client_gets_no_secret(self) -> None:
        response = issue(token_endpoint_auth_method="none").response()
        assert response.keys().isdisjoint({"client_secret", "client_secret_expires_at"})

    def test_spec054_spec058_unsupported_types_are_left_out_of_the_answer(self) -> None:
        response = issue(
            grant_types=["implicit", "refresh_token", "authorization_code", "password"],
            response_types=["token", "code"],
        ).response()
        assert response["grant_types"] == ["authorization_code", "refresh_token"]
        assert response["response_types"] == ["code"]

    def test_spec057_unknown_metadata_is_ignored(self) -> None:
        odd = {"software_id": "x", "client_uri": 7, "x": {"y": [None]}, "client_name#ja": "あ"}
        assert parse(**odd) == parse()

    def test_a_repeated_uri_is_kept_once(self) -> None:
        assert parse(redirect_uris=[URI, URI]).redirect_uris == (URI,)

    def test_the_client_reads_back_as_it_registered(self) -> None:
        registered = issue(
            client_name="Bücher 📚",
            token_endpoint_auth_method="client_secret_post",
            grant_types=["authorization_code", "refresh_token"],
            redirect_uris=[URI, "https://a.example/cb"],
            scope="a b",
        )
        assert CLIENT_IDS.read(registered.client.client_id) == registered.client
        assert registered.response()["scope"] == "a b"

    @pytest.mark.parametrize(
        "metadata",
        [
            {"redirect_uris": None},
            {"redirect_uris": URI},
            {"redirect_uris": {}},
            {"redirect_uris": [1]},
            {"redirect_uris": [[URI]]},
            {"client_name": 7},
            {"client_name": ["x"]},
            {"client_name": "x" * 101},
            {"client_name": "x\ny"},
            {"client_name": "x\x00"},
            {"client_name": "Good\u202eelpmaxe"},
            {"client_name": "Good\u061c"},
            {"client_name": "Good\U000e0041"},
            {"token_endpoint_auth_method": "private_key_jwt"},
            {"token_endpoint_auth_method": ""},
            {"token_endpoint_auth_method": ["none"]},
            {"grant_types": []},
            {"grant_types": "authorization_code"},
            {"grant_types": ["client_credentials"]},
            {"grant_types": ["refresh_token"]},
            {"response_types": []},
            {"response_types": ["token"]},
            {"scope": ["a"]},
            {"scope": 'a"b'},
            {"scope": "a\nb"},
            {"scope": "ü"},
            {"jwks": {}, "jwks_uri": "https://a.example/keys"},
            {"jwks_uri": 7},
        ],
    )
    def test_spec057_spec058_wrong_metadata_is_refused(self, metadata: dict[str, Any]) -> None:
        with pytest.raises(InvalidClientMetadata) as caught:
            parse(**metadata)
        assert caught.value.advice

    @pytest.mark.parametrize(
        "body",
        [
            b"", b"null", b"[]", b"7", b'"x"', b"{", b"{}", b"\xff", b"\x00", b"{}{}",
            b"redirect_uris=x", b'{"redirect_uris":["' + URI.encode() + b'"],}',
            b'{"redirect_uris":["' + URI.encode() + b'"],"client_name":"\\ud800"}',
            b'{"x":' + b"[" * 100_000, b'{"x":' + b'{"x":' * 30_000,
            b"[" * 100_000 + b"]" * 100_000,
            b'{"redirect_uris":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        ],
    )  # fmt: skip
    def test_attack_d01_what_is_not_the_json_of_a_client_is_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidClientMetadata):
            parse_registration(body)

    def test_attack_d01_fifty_thousand_redirect_uris_are_refused(self) -> None:
        with pytest.raises(InvalidRedirectUri, match="at most 10"):
            parse(redirect_uris=[f"https://a.example/{n}" for n in range(50_000)])

    @pytest.mark.parametrize("uris", [[], [""], ["javascript:alert(1)"], [URI, "http://a.example"]])
    def test_spec056_every_redirect_uri_must_be_good(self, uris: list[str]) -> None:
        with pytest.raises(InvalidRedirectUri):
            parse(redirect_uris=uris)

    @given(st.binary(max_size=200))
    def test_any_bytes_are_a_registration_or_a_refusal(self, body: bytes) -> None:
        try:
            parse_registration(body)
        except OAuthError:
            pass
        else:
            pytest.fail("random bytes hold no redirect URI")

    @given(
        st.fixed_dictionaries(
            {},
            optional={
                "client_name": st.text(max_size=120) | st.none(),
                "scope": st.text(max_size=30) | st.none(),
                "grant_types": st.lists(st.text(max_size=5) | st.just("authorization_code")),
                "jwks": st.recursive(st.none() | st.integers(), st.lists, max_leaves=5),
            },
        )
    )
    def test_what_is_accepted_can_be_issued_and_read(self, metadata: dict[str, Any]) -> None:
        try:
            registered = issue(**metadata)
        except OAuthError:
            return
        assert CLIENT_IDS.read(registered.client.client_id) == registered.client


class TestClientId:
    def test_a_typical_one_is_short(self) -> None:
        registered = issue(
            redirect_uris=["http://127.0.0.1:53682/oauth/callback"],
            client_name="Example Code Editor (mcp-server)",
            token_endpoint_auth_method="none",
            grant_types=["authorization_code", "refresh_token"],
            scope="tools openid email",
        )
        assert len(registered.client.client_id) <= 220
        assert set(registered.client.client_id) <= set(string.ascii_letters + string.digits + "-_.")

    def test_one_from_before_clients_had_keys_is_read(self) -> None:
        client = CLIENT_IDS.read(
            "mc1.KsbtJnurYWSpScuDfiY4sZs-cSe6JFxujX-aQllqUXFmfp6CAePhpSX5-TnF57I9LzEc4ShOzCkBYQA"
        )
        assert client is not None
        assert client.name == "Of version 0"
        assert client.secret == "PE5P2yZ2usIj-nPcsKwGUZiHDa4OBPnJKvd_GdS9ixA"

    def test_spec059_two_registrations_are_two_clients(self) -> None:
        one, other = issue(b"saltsal1").client, issue(b"saltsal2").client
        assert one.client_id != other.client_id
        assert one.secret != other.secret

    def test_what_would_not_fit_is_refused(self) -> None:
        noise = [hashlib.shake_256(bytes([n])).hexdigest(200) for n in range(10)]
        with pytest.raises(InvalidClientMetadata, match="too much"):
            issue(redirect_uris=[f"https://a.example/{path}" for path in noise])

    def test_spec114_what_compresses_too_well_to_be_read_back_is_refused(self) -> None:
        """A long and monotonous scope fits the client_id, and once did not open again."""
        with pytest.raises(InvalidClientMetadata, match="too much"):
            issue(scope="a" * 60_000)

    def test_attack_d01_one_of_another_key_is_unknown(self) -> None:
        assert ClientIds(b"x" * 32).read(issue().client.client_id) is None

    @given(st.data())
    def test_attack_d01_one_that_was_tampered_with_is_unknown(self, data: st.DataObject) -> None:
        good = issue().client.client_id
        at = data.draw(st.integers(0, len(good) - 1))
        other = data.draw(st.sampled_from(string.ascii_letters + string.digits + "-_.=+/ ü\n"))
        changed = good[:at] + other + good[at + 1 :]
        assert (CLIENT_IDS.read(changed) is None) == (changed != good)

    @given(st.integers(0, 400))
    def test_attack_d01_a_truncated_one_is_unknown(self, length: int) -> None:
        good = issue().client.client_id
        assert (CLIENT_IDS.read(good[:length]) is None) == (length < len(good))

    @pytest.mark.parametrize("tail", ["=", "==", "A", " ", "\n", "\x00", ".", "é"])
    def test_attack_d01_a_longer_one_is_unknown(self, tail: str) -> None:
        assert CLIENT_IDS.read(issue().client.client_id + tail) is None

    @given(st.text(max_size=100) | st.text(max_size=60).map("mc1.".__add__))
    def test_any_text_is_unknown(self, text: str) -> None:
        assert CLIENT_IDS.read(text) is None

    def test_one_with_a_uri_that_is_refused_today_is_unknown(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An upgrade that tightens the rules makes such a client register again."""
        good = issue().client.client_id

        def stricter(_: str) -> None:
            raise ValueError("a redirect URI of yesterday")

        monkeypatch.setattr(redirects, "check_redirect_uri", stricter)
        upgraded = ClientIds(b"k" * 32)
        assert upgraded.read(good) is None

    def test_no_more_are_remembered_than_there_is_room_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(registration, "_REMEMBERED", 10)
        ids = ClientIds(b"k" * 32)
        for number in range(25):
            registered = ids.issue(parse(), now=1_800_000_000, salt=bytes([number]) * 8)
            assert ids.read(registered.client.client_id) == registered.client
        assert len(ids._known) <= 10

    def test_attack_d07_the_secret_is_in_no_repr(self) -> None:
        registered = issue()
        assert registered.client.secret
        assert registered.client.secret not in repr(registered)
