"""``[[client]]``, ``[registration]`` and ``[cimd]``: what is read, and errors that name a key."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mintage.clients.client import Client
from mintage.errors import ConfigError
from mintage.secret_source import Sources
from mintage.settings.clients import (
    CimdSection,
    ClientSection,
    RegistrationSection,
    read_clients,
    read_policy,
    read_registration,
)
from tests.support.client_keys import jwks, key

SECRET = "a-secret-that-is-long-enough"
URI = "https://a.example/cb"


def read(*sections: dict[str, Any]) -> tuple[Client, ...]:
    parsed = [msgspec.convert({"redirect_uris": [URI]} | one, ClientSection) for one in sections]
    environ = {"SECRET": SECRET, "SHORT": "short", "BYTES": "\udcff" * 20}
    return read_clients(parsed, Sources(environ, Path("/nowhere")))


def test_the_method_follows_from_the_credentials() -> None:
    public, secret, inline, fetched = read(
        {"client_id": "a"},
        {"client_id": "b", "client_secret": "env:SECRET"},
        {"client_id": "c", "jwks": jwks(key())},
        {"client_id": "d", "jwks_uri": "https://a.example/keys"},
    )
    assert public.auth_method == "none"
    assert secret.auth_method == "client_secret_basic"
    assert secret.secret_matches(SECRET)
    assert inline.auth_method == fetched.auth_method == "private_key_jwt"


def test_what_is_left_out() -> None:
    (client,) = read({"client_id": "a"})
    assert client.name == "a"
    assert client.grant_types == ("authorization_code", "refresh_token")
    assert client.scopes is None
    assert client.vouched


def test_attack_d07_a_secret_is_in_no_repr() -> None:
    (client,) = read({"client_id": "a", "client_secret": "env:SECRET"})
    assert SECRET not in repr(client)


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"client_id": ""}, "client[0].client_id"),
        ({"client_id": "a b"}, "client[0].client_id"),
        ({"client_id": "ü"}, "client[0].client_id"),
        ({"client_id": "x" * 256}, "client[0].client_id"),
        ({"redirect_uris": []}, "client[0].redirect_uris"),
        ({"redirect_uris": ["http://a.example/cb"]}, "client[0]"),
        ({"scopes": ["a b"]}, "client[0]"),
        ({"grant_types": ["password"]}, "client[0]"),
        ({"client_secret": "written-down-here"}, "client[0].client_secret"),
        ({"client_secret": "env:SHORT"}, "client[0].client_secret"),
        ({"client_secret": "env:BYTES"}, "client[0].client_secret"),
        ({"client_secret": "env:MISSING"}, "client[0].client_secret"),
        ({"token_endpoint_auth_method": "client_secret_post"}, "client[0].client_secret"),
        (
            {"client_secret": "env:SECRET", "token_endpoint_auth_method": "none"},
            "client[0].client_secret",
        ),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "client[0]"),
        ({"jwks": {"keys": []}}, "client[0]"),
        ({"jwks_uri": "http://a.example/keys"}, "client[0]"),
        ({"jwks_uri": "https://10.0.0.1/keys"}, "client[0]"),
        ({"jwks": {"keys": []}, "jwks_uri": "https://a.example/keys"}, "client[0]"),
    ],
)
def test_a_wrong_client_is_refused_under_its_key(section: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read({"client_id": "a"} | section)
    assert caught.value.key == key
    assert SECRET not in str(caught.value)
    assert "written-down" not in str(caught.value)


FOR_LOGINS = "is authorization_code, refresh_token (the default)"
RESOURCES = (
    "resources is for a client that gets tokens for itself: write "
    'grant_types = ["client_credentials"], or remove resources'
)
ADDRESSES = (
    "give the addresses to which its users return, or write what it uses, such as "
    'grant_types = ["client_credentials"]'
)


@pytest.mark.parametrize(
    ("section", "key", "advice"),
    [
        (
            {"resources": ["/mcp"], "scopes": ["tools"]},
            "grant_types",
            f"{FOR_LOGINS}; {RESOURCES}",
        ),
        (
            {},
            "redirect_uris",
            f"is missing, and grant_types {FOR_LOGINS}: {ADDRESSES}",
        ),
        (
            {"grant_types": ["authorization_code"]},
            "redirect_uris",
            f"is missing, and grant_types is authorization_code: {ADDRESSES}",
        ),
    ],
    ids=["resources", "nothing", "a code alone"],
)
def test_a_client_without_its_grant_types_is_told_which_it_has(
    section: dict[str, Any], key: str, advice: str
) -> None:
    entry = {"client_id": "a", "client_secret": "env:SECRET", "redirect_uris": []} | section
    with pytest.raises(ConfigError) as caught:
        read(entry)
    assert (caught.value.key, caught.value.advice) == (f"client[0].{key}", advice)


def test_an_id_stands_for_one_client() -> None:
    with pytest.raises(ConfigError, match="another client") as caught:
        read({"client_id": "a"}, {"client_id": "a"})
    assert caught.value.key == "client[1].client_id"


@pytest.mark.parametrize(
    "section",
    [
        RegistrationSection(mode="token"),
        RegistrationSection(mode="open", token="env:SECRET"),
        RegistrationSection(mode="off", token="env:SECRET"),
        RegistrationSection(mode="token", token="env:SHORT"),
        RegistrationSection(mode="token", token="plain-text-token-in-the-file"),
    ],
)
def test_a_registration_token_goes_with_its_mode(section: RegistrationSection) -> None:
    with pytest.raises(ConfigError) as caught:
        read_registration(section, Sources({"SECRET": SECRET, "SHORT": "x"}, Path()), logins=True)
    assert caught.value.key == "registration.token"


@pytest.mark.parametrize("glob", ["", "https://a.example", "A.example", "a.example/x", "a b"])
def test_a_host_pattern_is_one(glob: str) -> None:
    for section in (CimdSection(allow=(glob,)), CimdSection(deny=(glob,))):
        with pytest.raises(ConfigError):
            read_policy(section, environ={}, useful=True)
