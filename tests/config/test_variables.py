"""Settings in environment variables, above a file and without one."""

from pathlib import Path
from typing import Any

import pytest

from mintage.errors import ConfigError
from mintage.settings.load import Config, load
from mintage.settings.reading import HERE, is_written
from tests.config.test_config import ENVIRON, EXAMPLE

ALONE = {
    "MINTAGE_ISSUER": "https://auth.example.com",
    "MINTAGE_STORE": "memory://",
    "MINTAGE_SECRET": ENVIRON["MINTAGE_SECRET"],
    "MINTAGE_UPSTREAM__ISSUER": "https://login.example.com",
    "MINTAGE_UPSTREAM__CLIENT_ID": "mintage",
    "MINTAGE_UPSTREAM__CLIENT_SECRET": "env:MINTAGE_SECRET_UPSTREAM",
    "MINTAGE_SECRET_UPSTREAM": "s3",
    "MINTAGE_RESOURCE__0__PATH": "/mcp",
    "MINTAGE_RESOURCE__0__BACKEND": "http://127.0.0.1:8000/mcp",
    "MINTAGE_RESOURCE__1__PATH": "/reports",
    "MINTAGE_RESOURCE__1__SCOPES": '["read", "write"]',
}


def read(directory: Path, text: str = EXAMPLE, **variables: str) -> Config:
    file = directory / "mintage.toml"
    file.write_text(text)
    return load(file, environ=ENVIRON | variables)


def wrong(directory: Path, text: str = EXAMPLE, **variables: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(directory, text, **variables)
    return caught.value


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("MINTAGE_UPSTREAM__CLIENT_ID", "7", lambda c: c.upstreams[0].client_id == "7"),
        ("MINTAGE_TOKENS__REFRESH_GRACE", "7", lambda c: c.tokens.refresh_grace == 7),
        ("MINTAGE_GRANTS__CACHE_SECONDS", "1.5", lambda c: c.grants.cache_seconds == 1.5),
        ("MINTAGE_ACCOUNT__ENABLED", "false", lambda c: not c.account.enabled),
        ("MINTAGE_RESOURCE__0__SCOPES", '["a"]', lambda c: c.resources[0].scopes == ("a",)),
        ("MINTAGE_RESOURCE__0__SCOPES__1", "b", lambda c: c.resources[0].scopes == ("tools", "b")),
        ("MINTAGE_RESOURCE__1__PATH", "/b", lambda c: [r.path for r in c.resources][1:] == ["/b"]),
        ("MINTAGE_RESOURCE", '[{"path": "/c"}]', lambda c: c.resources[0].path == "/c"),
        ("MINTAGE_SCOPES__TEXTS", '{"tools": "x"}', lambda c: c.scopes.texts == {"tools": "x"}),
        ("MINTAGE_ALLOW", "everybody", lambda c: c.allow_everybody),
        ("MINTAGE_ALLOW", '[{"emails": ["a@b.c"]}]', lambda c: c.allow[0].emails == ("a@b.c",)),
        ("MINTAGE_ALLOW__0__EMAILS", '["a@b.c"]', lambda c: c.allow[0].emails == ("a@b.c",)),
    ],
)
def test_a_variable_wins_over_the_file(tmp_path: Path, name: str, value: str, found: Any) -> None:
    assert found(read(tmp_path, **{name: value}))


def test_a_whole_table_comes_before_one_setting_of_it(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        MINTAGE_RESOURCE__0__PATH="/deep",
        MINTAGE_RESOURCE='[{"path": "/a", "scopes": ["x"]}, {"path": "/b"}]',
    )
    assert [each.path for each in config.resources] == ["/deep", "/b"]
    assert config.resources[0].scopes == ("x",)


def test_no_file_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_written(HERE, ALONE)
    config = load(HERE, environ=ALONE)
    assert [resource.path for resource in config.resources] == ["/mcp", "/reports"]
    assert config.resources[1].scopes == ("read", "write")
    assert config.secret.reveal().decode() == ALONE["MINTAGE_SECRET"]
    assert not is_written(HERE, {"MINTAGE_CONFIG": "", "MINTAGE_SECRET": "x"})


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    assert not is_written(tmp_path / "other.toml", ALONE)
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "other.toml", environ=ALONE)


def test_a_root_secret_of_the_settings_wins_over_the_variable(tmp_path: Path) -> None:
    other = ENVIRON["MINTAGE_SECRET"][::-1]
    config = read(tmp_path, EXAMPLE.replace("env:MINTAGE_SECRET", "env:OTHER"), OTHER=other)
    assert config.secret.reveal().decode() == other


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MINTAGE_UPSTREAM__CLIENT_IDD", "x", "upstream.client_idd; did you mean 'client_id'"),
        ("MINTAGE_UPSTREAM_CLIENT_ID", "x", "did you mean MINTAGE_UPSTREAM__CLIENT_ID"),
        ("MINTAGE_ISUER", "x", "there is no setting isuer; did you mean 'issuer'"),
        ("MINTAGE_upstream__client_id", "x", "there is no setting"),
        ("MINTAGE_PORT", "8080", "there is no setting port"),
        ("MINTAGE_ISSUER__0", "x", "issuer has no settings"),
        ("MINTAGE_SCOPES__TEXTS__TOOLS", "x", "write the whole of it in JSON"),
        ("MINTAGE_RESOURCE__2__PATH", "/x", "the next one in this list is 1"),
        ("MINTAGE_RESOURCE__PATH", "/x", "did you mean MINTAGE_RESOURCE__0__PATH"),
        ("MINTAGE_UPSTREAM__0__CLIENT_ID", "x", "the file has no list there"),
        ("MINTAGE_TOKENS__REFRESH_GRACE", "soon", "is a number"),
        ("MINTAGE_ACCOUNT__ENABLED", "yes", "is true or false"),
        ("MINTAGE_RESOURCE__0__SCOPES", "read", 'like ["a", "b"]'),
        ("MINTAGE_TOKENS", "x", "is a table"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, name: str, value: str, said: str) -> None:
    error = wrong(tmp_path, **{name: value})
    assert error.key == name
    assert said in error.advice


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("MINTAGE_ISSUER", "http://auth.example.com", "issuer"),
        ("MINTAGE_TOKENS__REFRESH_GRACE", "-1", "tokens.refresh_grace"),
        ("MINTAGE_UPSTREAM__CLIENT_SECRET", "GOCSPX-itself", "upstream.client_secret"),
        ("MINTAGE_UPSTREAM__PRESET", "gogle", "upstream.preset"),
        ("MINTAGE_RESOURCE__0__PATH", "mcp", "resource[0].path"),
        ("MINTAGE_RESOURCE__0__RULE", '[{"scopes": "x"}]', "resource[0].rule[0].scopes"),
        ("MINTAGE_RESOURCE__0__COMMAND", '{"run": ["x"], "env": {"K": "k"}}', "resource[0]"),
    ],
)
def test_a_wrong_value_is_named_by_its_setting_and_its_variable(
    tmp_path: Path, name: str, value: str, key: str
) -> None:
    error = wrong(tmp_path, **{name: value})
    assert error.key.startswith(key)
    assert error.key.endswith(f" in {name}")
    assert "GOCSPX" not in str(error)


def test_an_error_of_the_file_names_no_variable(tmp_path: Path) -> None:
    text = EXAMPLE.replace("refresh_grace = 60", "refresh_grace = -1")
    assert wrong(tmp_path, text, MINTAGE_UPSTREAM__CLIENT_ID="x").key == "tokens.refresh_grace"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MINTAGE_UPSTREAM__CLIENT_IDD", ""),  # as compose files write what is not set
        ("MINTAGE_CONFIG", "elsewhere.toml"),
        ("MINTAGE_SECRET_OTHER", "x"),
        ("MINTAGE_USER_EMAIL", "a@b.c"),
        ("MINTAGE_STRESS", "full"),
        # What Kubernetes puts there if a service is called mintage, or mintage-mcp.
        ("MINTAGE_SERVICE_HOST", "10.0.0.1"),
        ("MINTAGE_MCP_SERVICE_PORT_HTTP", "80"),
        ("MINTAGE_PORT", "tcp://10.0.0.1:80"),
        ("MINTAGE_MCP_PORT_80_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_a_variable_that_is_no_setting_changes_nothing(
    tmp_path: Path, name: str, value: str
) -> None:
    before = read(tmp_path)
    after = read(tmp_path, **{name: value})
    assert after.upstreams[0].client_id == before.upstreams[0].client_id


def test_a_variable_that_a_setting_names_is_a_secret_and_no_setting(tmp_path: Path) -> None:
    text = EXAMPLE.replace("env:UPSTREAM_SECRET", "env:MINTAGE_OF_THE_PROVIDER")
    assert read(tmp_path, text, MINTAGE_OF_THE_PROVIDER="s3").issuer
    assert wrong(tmp_path, MINTAGE_OF_THE_PROVIDER="s3").key == "MINTAGE_OF_THE_PROVIDER"
