"""``[admin]``: what may be set, and what would be open to too many."""

from pathlib import Path
from typing import Any

import pytest

from mintage.errors import ConfigError
from mintage.settings.load import Config, parse
from tests.support.forge import P256, pem

TOKEN = "t" * 16 + "o" * 16


def read(directory: Path, admin: dict[str, Any], **more: Any) -> Config:
    (directory / "signing.pem").write_bytes(pem(P256))
    data = {
        "issuer": "https://auth.example.com",
        "store": "memory://",
        "secret": "env:SECRET",
        "upstream": {"issuer": "https://idp.example", "client_id": "x"},
        "resource": [{"path": "/mcp", "backend": "http://127.0.0.1:9"}],
        "admin": admin,
    }
    environ = {"SECRET": "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM", "T": TOKEN, "S": "short"}
    return parse(data | more, base=directory, environ=environ)


def test_it_is_off_unless_it_is_set(tmp_path: Path) -> None:
    config = read(tmp_path, {"token": "env:T"})
    assert config.admin is not None
    assert (config.admin.host, config.admin.port) == ("127.0.0.1", 8081)
    assert TOKEN not in repr(config)


def test_it_may_be_a_unix_socket(tmp_path: Path) -> None:
    config = read(tmp_path, {"token": "env:T", "listen": "unix:admin.sock"})
    assert config.admin is not None
    assert config.admin.path == tmp_path / "admin.sock"


@pytest.mark.parametrize("listen", ["0.0.0.0:8081", "[::]:81", "10.0.0.5:81", "admin.example:1"])
def test_other_machines_reach_it_only_by_a_setting_that_says_so(
    tmp_path: Path, listen: str
) -> None:
    admin = {"token": "env:T", "listen": listen}
    with pytest.raises(ConfigError, match=r"admin.listen.*other machines reach"):
        read(tmp_path, admin)
    assert read(tmp_path, admin | {"unencrypted_and_reachable_from_other_machines": True}).admin


@pytest.mark.parametrize("listen", ["", "8081", "127.0.0.1", "http://127.0.0.1:8081", "a@b:1"])
def test_an_address_has_a_host_and_a_port(tmp_path: Path, listen: str) -> None:
    with pytest.raises(ConfigError, match=r"admin.listen.*write an address and a port"):
        read(tmp_path, {"token": "env:T", "listen": listen})


def test_it_takes_a_token_or_a_resource(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"admin.token.*give a token"):
        read(tmp_path, {})
    with pytest.raises(ConfigError, match=r"admin.token.*32 random characters"):
        read(tmp_path, {"token": "env:S"})


RULE = {"claims": {"groups": "operators"}}
GOOD = {"path": "/admin", "backend": "http://127.0.0.1:8081", "credential": "identity"}
KEY = {"signing_key": "file:signing.pem"}


@pytest.mark.parametrize(
    ("resource", "tokens", "says"),
    [
        (GOOD | {"path": "/other", "rule": [RULE]}, KEY, "path of a"),
        (GOOD | {"credential": "none", "rule": [RULE]}, KEY, 'credential = "identity"'),
        (GOOD | {"rule": [RULE]}, {}, "tokens.signing_key"),
        (GOOD, KEY, "a rule with claims"),
        (GOOD | {"rule": [RULE | {"methods": ["PUT"]}]}, KEY, "a rule with claims"),
        (GOOD | {"rule": [RULE | {"path": "/grants"}]}, KEY, "a rule with claims"),
    ],
)
def test_a_resource_that_admits_everybody_is_refused(
    tmp_path: Path, resource: dict[str, Any], tokens: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=rf"admin.resource.*{says}"):
        read(tmp_path, {"resource": "/admin"}, resource=[resource], tokens=tokens)


def test_no_other_backend_gets_what_the_admin_api_accepts(tmp_path: Path) -> None:
    other = GOOD | {"path": "/mcp", "backend_audience": "https://auth.example.com/admin"}
    with pytest.raises(ConfigError, match=r"admin.resource.*the same backend_audience"):
        read(
            tmp_path, {"resource": "/admin"}, resource=[GOOD | {"rule": [RULE]}, other], tokens=KEY
        )
