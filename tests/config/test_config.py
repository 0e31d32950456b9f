"""``mintage.toml``: every wrong setting is named with its key and a sentence."""

import copy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest

from mintage.errors import ConfigError
from mintage.settings.file import convert
from mintage.settings.load import Config, load, parse

EXAMPLE = """
issuer = "https://auth.example.com"
store  = "sqlite:///var/lib/mintage/mintage.db"
secret = "env:MINTAGE_SECRET"

[upstream]
preset        = "oidc"
issuer        = "https://login.example.com"
client_id     = "mintage"
client_secret = "env:UPSTREAM_SECRET"
scopes        = ["openid", "email", "offline_access"]

[[resource]]
path       = "/mcp"
backend    = "http://127.0.0.1:8000/mcp"
scopes     = ["tools"]
credential = "upstream"

[tokens]
access_token_lifetime = 3600
refresh_token_lifetime = 2592000
refresh_grace = 60
"""
ENVIRON = {"MINTAGE_SECRET": "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM", "UPSTREAM_SECRET": "s3"}


def changed(key: str, value: Any) -> dict[str, Any]:
    """The example with the setting *key* (dotted) replaced, or removed where *value* is None."""
    data = copy.deepcopy(tomllib.loads(EXAMPLE))
    *path, name = key.split(".")
    place: Any = data
    for step in path:
        place = place[step][0] if step == "resource" else place[step]
    if value is None:
        del place[name]
    else:
        place[name] = value
    return data


def read(data: dict[str, Any], base: Path = Path(), environ: dict[str, str] = ENVIRON) -> Config:
    return parse(data, base=base, environ=environ)


def test_the_documented_file_loads(tmp_path: Path) -> None:
    file = tmp_path / "mintage.toml"
    file.write_text(EXAMPLE)
    config = load(file, environ=ENVIRON)
    assert config.issuer == "https://auth.example.com"
    assert config.resources[0].credential == "upstream"
    assert config.tokens.refresh_grace == 60
    for secret in ENVIRON.values():
        assert secret not in repr(config)


@pytest.mark.parametrize(
    "key", ["tokens", "upstream.preset", "upstream.scopes", "upstream.client_secret"]
)
def test_what_is_optional_may_be_left_out(key: str) -> None:
    assert read(changed(key, None)).tokens.access_token_lifetime == 3600


@pytest.mark.parametrize("issuer", ["http://localhost:8080", "http://127.0.0.1", "http://[::1]:1"])
def test_an_issuer_on_this_machine_may_be_plain_http(issuer: str) -> None:
    assert read(changed("issuer", issuer)).issuer == issuer


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("issuer", None),
        ("issuer", 7),
        ("issuer", ""),
        ("issuer", "auth.example.com"),
        ("issuer", "http://auth.example.com"),
        ("issuer", "http://localhost.example.com"),
        ("issuer", "http://localhost@example.com"),
        ("issuer", "http://192.168.0.1"),
        ("issuer", "ftp://auth.example.com"),
        ("issuer", "https://auth.example.com/"),
        ("issuer", "https://auth.example.com?x"),
        ("issuer", "https://auth.example.com#"),
        ("issuer", "https://u:p@auth.example.com"),
        ("issuer", "https://auth.example.com:99999"),
        ("issuer", "https://auth.example.com\n"),
        ("issuer", "https://auth.ex\tample.com"),
        ("issuer", "https://auth.example.com/ x"),
        ("issuer", "https://[::1"),
        ("store", 7),
        ("store", ""),
        ("store", "mintage.db"),
        ("store", "oracle://x"),
        ("store", "sqlite://"),
        ("store", "sqlite:///var/lib/"),
        ("store", "sqlite:///a\0b"),
        ("secret", ""),
        ("secret", 7),
        ("secret", "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM"),
        ("secret", "env:"),
        ("secret", "env:NOT_SET"),
        ("secret", "file:"),
        ("secret", "file:not/there"),
        ("secret", "file:/"),
        ("secret", "file:a\0b"),
        ("secret", "file:/dev/null"),
        ("secret", "env:UPSTREAM_SECRET"),  # too short
        ("upstream", None),
        ("upstream", 7),
        ("upstream.preset", "no-such-preset"),
        ("upstream.issuer", None),
        ("upstream.issuer", "login.example.com"),
        ("upstream.issuer", "ftp://login.example.com"),
        ("upstream.issuer", "http://login.example.com"),
        ("upstream.client_id", None),
        ("upstream.client_id", ""),
        ("upstream.client_secret", "s3cr3t-in-the-file"),
        ("upstream.client_secret", "env:NOT_SET"),
        ("upstream.scopes", "openid email"),
        ("upstream.scopes", ["openid email"]),
        ("upstream.scopes", [""]),
        ("upstream.scope", "openid"),
        ("resource", None),
        ("resource", []),
        ("resource", {}),
        ("resource.path", None),
        ("resource.path", ""),
        ("resource.path", "mcp"),
        ("resource.path", "/mcp/"),
        ("resource.path", "//mcp"),
        ("resource.path", "/a/../b"),
        ("resource.path", "/a/."),
        ("resource.path", "/a%2fb"),
        ("resource.path", "/a b"),
        ("resource.path", "/mcp\n"),
        ("resource.path", "/mcp?x"),
        *[
            ("resource.path", path)
            for path in (
                "/token", "/authorize", "/callback", "/consent", "/register", "/revoke",
                "/token/deep", "/verify", "/.well-known", "/.well-known/oauth-authorization-server",
            )
        ],
        ("resource.backend", "127.0.0.1:8000"),
        ("resource.backend", "unix:///run/x"),
        ("resource.backend", "ftp://127.0.0.1"),
        ("resource.backend", "http://127.0.0.1?x=1"),
        ("resource.backend", "http://u:p@127.0.0.1"),
        ("resource.backend", "http://127.0.0.1:x"),
        ("resource.backend", "unix:run/x"),
        ("resource.backend_ca", "authority.pem"),  # of a backend without TLS
        ("resource.backend_certificate", "mine.pem"),
        ("resource.connect_seconds", 0),
        ("resource.answer_seconds", -1),
        ("resource.answer_seconds", "300"),
        ("resource.silence_seconds", 0),
        ("resource.silence_seconds", 10**9),
        ("resource.max_requests", 0),
        ("resource.max_requests", 1.5),
        ("resource.scopes", "tools"),
        ("resource.scopes", ['a"b']),
        ("resource.credential", "Upstream"),
        ("resource.credential", 7),
        ("resource.backends", []),
        ("tokens.access_token_lifetime", 0),
        ("tokens.access_token_lifetime", -1),
        ("tokens.access_token_lifetime", "3600"),
        ("tokens.access_token_lifetime", True),
        ("tokens.access_token_lifetime", 1.5),
        ("tokens.access_token_lifetime", 10**12),
        ("tokens.refresh_token_lifetime", 0),
        ("tokens.refresh_grace", -1),
        ("tokens.refresh_grace", 3601),
        ("tokens.access_lifetime", 60),
        ("listen", "0.0.0.0"),  # noqa: S104
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_a_sentence(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read(changed(key, value))
    assert caught.value.key.replace("[0]", "") == key
    assert len(caught.value.advice.split()) > 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gateway.trusted_proxies", ["proxy.example"]),
        ("gateway.trusted_proxies", ["10.0.0.1/8"]),  # bits of a host in a network
        ("gateway.trusted_proxies", ["10.0.0.0/33"]),
        ("gateway.trusted_proxies", [""]),
        ("gateway.trusted_proxies", "10.0.0.0/8"),
        ("gateway.forward_auth", "apache"),
        ("gateway.forward_auth", True),
    ],
)
def test_a_wrong_word_on_proxies_is_named(key: str, value: object) -> None:
    data = tomllib.loads(EXAMPLE) | {"gateway": {key.rpartition(".")[2]: value}}
    with pytest.raises(ConfigError) as caught:
        read(data)
    assert caught.value.key == key


@pytest.mark.parametrize("setting", ["backend_ca", "backend_certificate"])
def test_whom_to_trust_is_said_of_a_backend(setting: str) -> None:
    data = changed("resource.backend", None)
    data["resource"][0][setting] = "some.pem"
    with pytest.raises(ConfigError, match="is missing") as caught:
        read(data)
    assert caught.value.key == "resource[0].backend"


@pytest.mark.parametrize("seconds", [1, 3600])
def test_a_login_may_not_be_idle_before_its_client_refreshes(seconds: int) -> None:
    with pytest.raises(ConfigError, match=r"tokens\.access_token_lifetime") as caught:
        read(changed("grants", {"idle_lifetime": seconds}))
    assert caught.value.key == "grants.idle_lifetime"


@pytest.mark.parametrize("key", ["resource.scopes", "resource.optional_scopes"])
def test_spec022_offline_access_is_no_scope_of_a_resource(key: str) -> None:
    """It would stand in every challenge and metadata document; it only asks for a refresh token."""
    with pytest.raises(ConfigError, match="refresh token") as caught:
        read(changed(key, ["tools", "offline_access"]))
    assert caught.value.key == key.replace("resource", "resource[0]")


@pytest.mark.parametrize(
    "issuer",
    [
        "http://auth.example.com",
        "https://auth.example.com?tenant=one",
        "https://auth.example.com#one",
        "https://auth.example.com?",
        "https://auth.example.com#",
    ],
)
def test_spec005_spec009_an_issuer_is_https_without_query_or_fragment(issuer: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(changed("issuer", issuer))
    assert caught.value.key == "issuer"


def test_spec012_a_resource_is_named_without_a_slash_at_its_end() -> None:
    with pytest.raises(ConfigError) as caught:
        read(changed("resource.path", "/mcp/"))
    assert caught.value.key == "resource[0].path"


def test_attack_d07_a_secret_in_the_file_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        read(changed("secret", "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM"))
    assert "vT5m" not in str(caught.value)


def test_two_resources_do_not_share_a_path() -> None:
    data = tomllib.loads(EXAMPLE)
    data["resource"] *= 2
    with pytest.raises(ConfigError, match=r"resource\[1\]\.path: another resource"):
        read(data)


@pytest.mark.parametrize("content", [b"issuer = ", b"\xff", b"a = 1\na = 2", b"[[x]"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mintage.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"mintage\.toml"):
        load(file)
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "missing.toml")


def test_a_relative_path_is_relative_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started from anywhere, the server finds its database and its secret again."""
    monkeypatch.chdir("/")
    file = tmp_path / "mintage.toml"
    file.write_text(
        'issuer = "https://auth.example.com"\nstore = "sqlite://mintage.db"\n'
        '[upstream]\nissuer = "https://login.example.com"\nclient_id = "m"\n'
        '[[resource]]\npath = "/mcp"\nbackend = "http://127.0.0.1:8000"\n'
    )
    assert load(file).store == f"sqlite://{tmp_path}/mintage.db"
    assert (tmp_path / "mintage.secret").exists()


def literals(kind: Any, path: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each setting below *kind* that has one of some words, as it is reached, and the words."""
    if get_origin(kind) is Literal:
        yield path, get_args(kind)
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            yield from literals(field.type, f"{path}.{field.encode_name}".lstrip("."))
    else:
        for part in get_args(kind):
            yield from literals(part, path)


ENUMERATED = dict(literals(get_type_hints(convert)["return"]))
NEEDED = {
    "upstream": {"client_id": "c"},
    "resource": {"path": "/mcp"},
    "client": {"client_id": "c"},
    "trusted_issuer": {"name": "acme", "issuer": "https://idp.example"},
}
LISTS = ("resource", "client", "allow", "trusted_issuer")


def test_the_settings_with_one_of_some_words_are_found() -> None:
    assert {"resource.credential", "registration.mode", "gateway.forward_auth"} <= set(ENUMERATED)


@pytest.mark.parametrize("path", ENUMERATED)
def test_a_word_that_is_none_of_those_is_answered_with_all_of_them(path: str) -> None:
    section, _, name = path.partition(".")
    value: Any = "bogus"
    if name.startswith("allow_ambiguous"):
        value = [value]
    outer, *inner = name.split(".")
    for part in reversed(inner):
        value = {part: value}
    table = NEEDED.get(section, {}) | {outer: value}
    set_to = ([table] if section in LISTS else table) if name else value
    data = tomllib.loads(EXAMPLE) | {section: set_to}
    with pytest.raises(ConfigError) as refused:
        read(data)
    assert refused.value.key.replace("[0]", "") == path
    assert refused.value.advice == f"'bogus' is none of: {', '.join(ENUMERATED[path])}"


def test_a_word_that_is_nearly_right_is_guessed() -> None:
    with pytest.raises(ConfigError, match=r"id_jag; did you mean 'upstream'\?"):
        read(changed("resource.credential", "upstraem"))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("127.0.0.1:8791/mcp", "http://127.0.0.1:8791/mcp"),
        ("localhost:8000", "http://localhost:8000"),
        ("http:/127.0.0.1:8000/mcp", "http://127.0.0.1:8000/mcp"),
        ("app.example.com/mcp", "https://app.example.com/mcp"),
        ("nonsense", "http://127.0.0.1:8000"),
    ],
)
def test_half_a_url_is_answered_with_the_whole(written: str, meant: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(changed("resource.backend", written))
    assert str(refused.value) == f"resource[0].backend: must be a whole URL, like {meant}"


@pytest.mark.parametrize(
    ("key", "value", "advice"),
    [
        ("resource.credential", "exchange", "takes the table [resource.exchange]"),
        ("resource", {"path": "/mcp"}, "write [[resource]] in place of [resource]"),
        ("resource.rule", {"scopes": []}, "write [[resource.rule]] in place of [resource.rule]"),
        ("allow", {}, "write [[allow]] in place of [allow]"),
        ("resource.scopes", "tools", 'in brackets, scopes = ["..."]'),
        ("resource.scopes", 1, "in brackets, scopes = [...]"),
        ("resource.credentail", "none", "there is no such setting; did you mean 'credential'?"),
        ("upstrem", {}, "there is no such setting; did you mean 'upstream'?"),
        ("upstream.isuer", "x", "there is no such setting; did you mean 'issuer'?"),
        ("upstream.preset", "googel", "did you mean 'google'?"),
        ("secret", "env:SHORT", "mintage keys new"),
        ("secret", "env:ABSENT", "is not set: export ABSENT=…, or write file:PATH here"),
        ("tokens.access_token_lifetime", 0, "must be a whole number, at least 1 (seconds)"),
        ("grants", {"cache_seconds": 999}, "must be a number, at most 300"),
        ("tokens.access_token_lifetime", "3600", "must be a whole number"),
        ("issuer", 5, "must be text in quotes"),
    ],
)
def test_the_advice_says_what_to_write(key: str, value: Any, advice: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(changed(key, value), environ=ENVIRON | {"SHORT": "short"})
    assert advice in refused.value.advice


def test_the_url_of_the_store_may_be_a_secret(tmp_path: Path) -> None:
    """It may hold a password, and containers mount secrets as files."""
    (tmp_path / "store").write_text("postgresql://mintage:pw@db.example.com/mintage\n")
    found = read(changed("store", "file:store"), tmp_path)
    assert found.store == "postgresql://mintage:pw@db.example.com/mintage"


@pytest.mark.parametrize("store", ["file:absent", "env:NO_SUCH_NAME", "file:wrong"])
def test_a_store_in_a_place_that_has_none_is_refused(tmp_path: Path, store: str) -> None:
    (tmp_path / "wrong").write_text("oracle://x")
    with pytest.raises(ConfigError) as refused:
        read(changed("store", store), tmp_path)
    assert refused.value.key == "store"
