"""Which settings a running server takes over, and which of them wait for a restart."""

import os
from pathlib import Path

import msgspec
import pytest

from mintage.errors import ConfigError
from mintage.settings.file import File
from mintage.settings.load import load
from mintage.settings.reloading import AT_A_RESTART, AT_ONCE, Loaded, read_again
from tests.config.test_config import ENVIRON, EXAMPLE


def written(directory: Path, text: str) -> Path:
    file = directory / "mintage.toml"
    file.write_text(text)
    return file


def again(directory: Path, text: str, before: Loaded | None) -> Loaded:
    return read_again(written(directory, text), before, environ=ENVIRON)


@pytest.fixture
def before(tmp_path: Path) -> Loaded:
    return again(tmp_path, EXAMPLE, None)


def test_each_setting_applies_at_once_or_at_a_restart() -> None:
    """Somebody who adds one must decide."""
    names = [field.name for field in msgspec.structs.fields(File)]
    whole = [name for name in AT_A_RESTART if "." not in name]
    assert sorted([*AT_ONCE, *whole]) == sorted(names)


def test_nothing_has_changed(tmp_path: Path, before: Loaded) -> None:
    found = again(tmp_path, EXAMPLE, before)
    assert (found.changed, found.waiting, found.config.digest) == ((), (), before.config.digest)


def test_the_digest_is_the_same_however_the_settings_are_read(
    tmp_path: Path, before: Loaded
) -> None:
    config = load(written(tmp_path, EXAMPLE), environ=ENVIRON)
    assert config.digest == before.config.digest


def test_a_variable_that_is_no_utf_8_has_a_digest_too(tmp_path: Path) -> None:
    environ = ENVIRON | {"MINTAGE_BRANDING__NAME": os.fsdecode(b"caf\xe9")}
    config = load(written(tmp_path, EXAMPLE), environ=environ)
    assert config.digest is not None


def test_what_applies_at_a_restart_is_kept_and_named(tmp_path: Path, before: Loaded) -> None:
    text = EXAMPLE.replace("auth.example.com", "other.example.com").replace(
        "/var/lib/mintage/mintage.db", "/other.db"
    )
    text += '[server]\nmax_headers = 100\n[gateway]\ntrusted_proxies = ["10.0.0.1"]\n'
    text += 'allowed_origins = ["https://a.example"]\n'
    found = again(tmp_path, text, before)
    assert found.waiting == ("issuer", "store", "server", "gateway.trusted_proxies")
    assert found.changed == ("gateway",)
    assert found.config.digest != before.config.digest
    for name in ("issuer", "store", "server"):
        assert getattr(found.config, name) == getattr(before.config, name)
    assert found.config.gateway.trusted_proxies == ()
    assert found.config.resources[0].identifier == before.config.resources[0].identifier
    later = again(tmp_path, text, found)
    assert later.waiting == found.waiting  # it still waits
    assert later.changed == ()


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("https://auth.example.com", "http://auth.example.com", "issuer"),
        ("sqlite:///var", "mysql:///var", "store"),
        ("refresh_grace = 60", "refresh_grace = -1", "tokens.refresh_grace"),
    ],
)
def test_a_setting_that_is_wrong_is_refused_whenever_it_would_apply(
    tmp_path: Path, before: Loaded, old: str, new: str, key: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        again(tmp_path, EXAMPLE.replace(old, new), before)
    assert caught.value.key == key


def test_a_changed_secret_is_noticed_without_being_named(tmp_path: Path) -> None:
    text = EXAMPLE.replace("env:UPSTREAM_SECRET", "file:upstream")
    (tmp_path / "upstream").write_text("one")
    before = again(tmp_path, text, None)
    (tmp_path / "upstream").write_text("unheard-of")
    found = again(tmp_path, text, before)
    assert found.changed == ("upstream",)
    assert "unheard-of" not in repr(found)
    assert found.config.digest == before.config.digest


ADMIN = EXAMPLE + '[admin]\ntoken = "command:cat token"\n'
WEBHOOK = (
    EXAMPLE + '[audit]\nto = "https://siem.example/x"\nauthorization = "file:authorization"\n'
    'signing_secret = "file:signing"\n'
)


def test_another_admin_token_from_the_same_source_waits_for_a_restart(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a" * 40)
    before = again(tmp_path, ADMIN, None)
    assert again(tmp_path, ADMIN, before).waiting == ()
    (tmp_path / "token").write_text("b" * 40)
    found = again(tmp_path, ADMIN, before)
    assert (found.waiting, found.changed) == (("admin",), ())
    assert found.config.admin == before.config.admin
    assert again(tmp_path, ADMIN, found).waiting == ("admin",)  # it still waits
    assert "bbb" not in repr(found)
    (tmp_path / "token").write_text("a" * 40)
    assert again(tmp_path, ADMIN, found).waiting == ()


@pytest.mark.parametrize("name", ["authorization", "signing"])
def test_another_secret_of_the_webhook_waits_for_a_restart(tmp_path: Path, name: str) -> None:
    for each in ("authorization", "signing"):
        (tmp_path / each).write_text("one" * 20)
    before = again(tmp_path, WEBHOOK, None)
    (tmp_path / name).write_text("other" * 20)
    found = again(tmp_path, WEBHOOK, before)
    assert found.waiting == ("audit",)
    assert found.config.audit == before.config.audit


def test_a_new_source_of_the_admin_token_that_fails_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a" * 40)
    before = again(tmp_path, ADMIN, None)
    for text, why in (("command:cat none", "exit code 1"), ("file:none", "can't be read")):
        with pytest.raises(ConfigError, match=why) as caught:
            again(tmp_path, ADMIN.replace("command:cat token", text), before)
        assert caught.value.key == "admin.token"


def test_a_new_source_of_the_admin_token_takes_the_place_of_one_that_is_gone(
    tmp_path: Path,
) -> None:
    (tmp_path / "token").write_text("a" * 40)
    before = again(tmp_path, ADMIN, None)
    (tmp_path / "token").rename(tmp_path / "moved")
    found = again(tmp_path, ADMIN.replace("cat token", "cat moved"), before)
    assert found.waiting == ("admin",)
    assert found.config.admin == before.config.admin
    assert found.written.admin == before.written.admin


def test_an_admin_api_that_is_added_or_removed_waits_for_a_restart(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a" * 40)
    on, off = again(tmp_path, ADMIN, None), again(tmp_path, EXAMPLE, None)
    assert again(tmp_path, EXAMPLE, on).waiting == ("admin",)
    assert again(tmp_path, EXAMPLE, on).config.admin == on.config.admin
    assert again(tmp_path, ADMIN, off).waiting == ("admin",)
    assert again(tmp_path, ADMIN, off).config.admin is None
