"""Settings without an identity provider: for machines alone, and refused for all that logs in."""

import copy
from pathlib import Path
from typing import Any

import pytest

from mintage.errors import ConfigError
from mintage.settings.load import load_outline, parse
from tests.support.client_keys import jwks, key

SECRET = "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM"
MACHINE = {
    "client_id": "bot",
    "client_secret": "env:SECRET",
    "grant_types": ["client_credentials"],
    "resources": ["/mcp"],
    "scopes": ["tools"],
}
MACHINES: dict[str, Any] = {
    "issuer": "https://auth.example",
    "store": "memory://",
    "secret": "env:SECRET",
    "resource": [{"path": "/mcp", "scopes": ["tools"]}],
    "grant_types": {"client_credentials": {}},
    "client": [MACHINE],
}
BACKEND = {"path": "/mcp", "scopes": ["tools"], "backend": "http://127.0.0.1:1"}
ENTERPRISE = {
    "name": "acme",
    "issuer": "https://acme.example",
    "purpose": "id_jag",
    "jwks": jwks(key()),
}
TO_LOG_IN = {
    "client_id": "portal",
    "redirect_uris": ["https://portal.example/callback"],
    "grant_types": ["authorization_code"],
}
TO_EXCHANGE = {
    "client_id": "reports",
    "client_secret": "env:SECRET",
    "token_exchange": {
        "resource": "/mcp",
        "gets_the_users_access_token_at_the_identity_provider": True,
    },
}


def read(**more: Any) -> Any:
    return parse(
        copy.deepcopy(MACHINES) | more,
        base=Path(),
        environ={"SECRET": SECRET},
    )


def test_machines_need_no_provider() -> None:
    config = read()
    assert config.upstreams == ()
    assert [each.name for each in config.capabilities.grant_types] == ["client_credentials"]
    assert (config.site.logins, config.site.account) == (False, False)


def test_clients_that_could_get_no_token_do_not_register() -> None:
    """Registration and metadata documents serve logins, and documents ID-JAGs too."""
    config = read()
    assert (config.registration.enabled, config.documents.enabled) == (False, False)
    config = read(grant_types={"jwt_bearer": {}}, trusted_issuer=[ENTERPRISE], client=[])
    assert (config.registration.enabled, config.documents.enabled) == (False, True)


def test_a_client_that_serves_a_resource_need_not_name_its_grant_types() -> None:
    server = {"client_id": "api", "client_secret": "env:SECRET", "introspects": ["/mcp"]}
    assert len(read(client=[MACHINE, server]).clients) == 2


def test_an_empty_list_of_providers_is_none() -> None:
    assert read(upstream=[]).upstreams == ()


def test_the_outline_is_that_of_the_server(tmp_path: Path) -> None:
    file = tmp_path / "mintage.toml"
    file.write_text(
        'issuer = "https://auth.example"\nstore = "memory://"\n'
        '[grant_types.client_credentials]\n[[resource]]\npath = "/mcp"\n'
    )
    outline = load_outline(file)
    assert not outline.site.logins
    assert not outline.capabilities.registration
    assert not outline.capabilities.documents
    assert [each.name for each in outline.capabilities.grant_types] == ["client_credentials"]


ADD = "needs a login, and there is no [upstream]: add it, or"
NO_PROVIDER = (
    "is missing: name the identity provider where people log in. Only a server for machines needs "
    "none: it has [grant_types.client_credentials] or [grant_types.jwt_bearer]"
)
OWN = '["client_credentials"]'


@pytest.mark.parametrize(
    ("more", "key", "advice"),
    [
        (
            {"grant_types": {}, "client": []},
            "upstream",
            NO_PROVIDER,
        ),
        (
            {"grant_types": {"client_credentials": {}, "device_code": {}}},
            "grant_types.device_code",
            f"{ADD} remove this table",
        ),
        (
            {"resource": [BACKEND | {"browser": True}]},
            "resource[0].browser",
            f"{ADD} remove this setting",
        ),
        (
            {"resource": [BACKEND | {"credential": "upstream"}]},
            "resource[0].credential",
            f'"upstream" {ADD} write "identity" or "none"',
        ),
        (
            {"resource": [{"path": "/mcp", "scopes": ["tools"], "upstreams": ["google"]}]},
            "resource[0].upstreams",
            f"{ADD} remove this setting",
        ),
        (
            {"client": [MACHINE, TO_LOG_IN]},
            "client[1].grant_types",
            f"authorization_code {ADD} write only what this client uses, such as {OWN}",
        ),
        (
            {
                "client": [MACHINE, TO_EXCHANGE],
                "grant_types": {"client_credentials": {}, "token_exchange": {}},
            },
            "client[1].token_exchange.gets_the_users_access_token_at_the_identity_provider",
            f"{ADD} remove this setting",
        ),
        (
            {
                "grant_types": {"client_credentials": {}, "jwt_bearer": {}},
                "trusted_issuer": [ENTERPRISE | {"upstream": "google"}],
            },
            "trusted_issuer[0].upstream",
            f"{ADD} remove this setting",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_what_needs_a_login_is_named(more: dict[str, Any], key: str, advice: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(**more)
    assert (refused.value.key, refused.value.advice) == (key, advice)
