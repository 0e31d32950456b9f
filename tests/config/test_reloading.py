"""Which settings a running server takes over, and which of them wait for a restart."""

from pathlib import Path

import msgspec
import pytest

from mintage.errors import ConfigError
from mintage.settings.file import File
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
    assert (found.changed, found.waiting, found.digest) == ((), (), before.digest)


def test_what_applies_at_a_restart_is_kept_and_named(tmp_path: Path, before: Loaded) -> None:
    text = EXAMPLE.replace("auth.example.com", "other.example.com").replace(
        "/var/lib/mintage/mintage.db", "/other.db"
    )
    text += '[server]\nmax_headers = 100\n[gateway]\ntrusted_proxies = ["10.0.0.1"]\n'
    text += 'allowed_origins = ["https://a.example"]\n'
    found = again(tmp_path, text, before)
    assert found.waiting == ("issuer", "store", "server", "gateway.trusted_proxies")
    assert found.changed == ("gateway",)
    assert found.digest != before.digest
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
    (tmp_path / "upstream").write_text("other")
    found = again(tmp_path, text, before)
    assert found.changed == ("upstream",)
    assert "other" not in repr(found)
    assert found.digest == before.digest
