"""Variables about outgoing connections: a mistake in one is named before anything connects."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import mintage.settings.environment as environment_module
from mintage.errors import ConfigError
from mintage.settings.environment import check_environment, environment_checked
from tests.support.certificates import Authority
from tests.support.command import WORKERS_CONFIG


def refused(environ: dict[str, str]) -> ConfigError:
    with pytest.raises(ConfigError) as found:
        check_environment(environ)
    return found.value


def test_a_file_of_certificates_that_is_missing_empty_or_something_else(tmp_path: Path) -> None:
    empty, other = tmp_path / "empty.pem", tmp_path / "other.pem"
    empty.touch()
    other.write_text("no certificate")
    assert str(refused({"SSL_CERT_FILE": str(tmp_path / "none.pem")})) == (
        f"SSL_CERT_FILE: {tmp_path}/none.pem can't be read: No such file or directory"
    )
    for path in (empty, other):
        assert str(path) in str(error := refused({"SSL_CERT_FILE": str(path)}))
        assert "holds no certificates" in str(error)
    assert refused({"SSL_CERT_DIR": str(tmp_path / "none")}).key == "SSL_CERT_DIR"


def test_what_is_good_or_unset_passes(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path, "ca")
    check_environment({"SSL_CERT_FILE": str(authority.file), "SSL_CERT_DIR": str(tmp_path)})
    check_environment({"SSL_CERT_FILE": "", "ALL_PROXY": ""})
    for value in ("http://proxy:3128", "proxy:3128", "https://u:p@proxy.example", "http://[::1]:1"):
        check_environment({"HTTPS_PROXY": value, "no_proxy": "localhost"})


def test_the_file_of_certificates_is_read_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Authority.create(tmp_path, "ca").file
    check_environment({"SSL_CERT_FILE": str(file)})
    with monkeypatch.context() as patch:
        patch.setattr(environment_module, "ssl", None)
        check_environment({"SSL_CERT_FILE": str(file)})
    file.write_text("no certificate")
    assert "holds no certificates" in str(refused({"SSL_CERT_FILE": str(file)}))
    file.unlink()
    assert "No such file" in str(refused({"SSL_CERT_FILE": str(file)}))


def test_the_environment_is_checked_beside_other_work_and_its_mistake_is_told_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on = threading.Event()
    monkeypatch.setattr(environment_module, "find_spec", lambda _: going_on.wait(10))
    with environment_checked({"ALL_PROXY": "socks5://127.0.0.1:1080"}):
        going_on.set()
    assert going_on.is_set()
    missing = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    with pytest.raises(ConfigError, match="can't be read"), environment_checked(missing):
        raise ConfigError("store", "does not answer, because nothing verifies its certificate")
    with pytest.raises(ConfigError, match="is no store"), environment_checked({}):
        raise ConfigError("store", "is no store")


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "https_proxy", "HTTP_PROXY"])
@pytest.mark.parametrize("scheme", ["socks4", "socks", "ftp", "quic"])
def test_a_kind_of_proxy_that_is_not_supported(name: str, scheme: str) -> None:
    error = refused({name: f"{scheme}://user:very-private@127.0.0.1:1080"})
    assert (error.key, scheme in error.advice, "very-private" in str(error)) == (name, True, False)


@pytest.mark.parametrize("value", ["http://", "http://h:0", "http://h:99999", "http://[::1", "://"])
def test_what_is_no_address_of_a_proxy(value: str) -> None:
    assert "is no address of a proxy" in str(refused({"ALL_PROXY": value}))


@pytest.mark.parametrize("installed", [True, False])
def test_socks_needs_its_package(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:  # noqa: FBT001
    monkeypatch.setattr(environment_module, "find_spec", lambda _: object() if installed else None)
    environ = {"ALL_PROXY": "socks5://127.0.0.1:1080"}
    if installed:
        check_environment(environ)
    else:
        assert "socksio" in str(refused(environ))


@pytest.mark.parametrize(
    ("name", "value"),
    [("SSL_CERT_FILE", "/nonexistent.pem"), ("ALL_PROXY", "socks4://127.0.0.1:1")],
)
def test_a_start_names_the_variable(tmp_path: Path, name: str, value: str) -> None:
    file = tmp_path / "mintage.toml"
    file.write_text(WORKERS_CONFIG.format(port=8080, store=f"sqlite://{tmp_path}/mintage.db"))
    done = subprocess.run(
        [sys.executable, "-m", "mintage", "serve", "--config", str(file), "--port", "0"],
        capture_output=True, timeout=60, check=False, env=os.environ | {name: value},
    )  # fmt: skip
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1), done.stderr
    assert done.stderr.startswith(f"mintage: {name}: ".encode())
