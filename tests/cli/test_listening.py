"""Where a server listens, and what it says where it can't."""

import logging
import socket
from pathlib import Path

import pytest

from mintage.app.listening import addresses, bind, listen, listening
from mintage.cli.serve import compare_ports
from mintage.errors import ConfigError
from mintage.settings.load import parse
from mintage.testing.nanoidp import free_port
from tests.support.command import WORKERS_CONFIG, mintage


def test_two_colons_are_both_families_and_clients_keep_their_addresses() -> None:
    """An IPv4 client of a socket for both families would be ``::ffff:127.0.0.1``."""
    port = free_port()
    bound = bind(["::"], port)
    try:
        listen(bound)
        assert addresses(bound) == f"http://[::]:{port}, http://0.0.0.0:{port}"
        with socket.create_connection(("127.0.0.1", port)):
            connection, peer = bound[1].accept()
            connection.close()
        assert peer[0] == "127.0.0.1"
        with socket.create_connection(("::1", port)):
            connection, peer = bound[0].accept()
            connection.close()
        assert peer[0] == "::1"
    finally:
        for one in bound:
            one.close()


def test_without_ipv6_two_colons_are_what_there_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class OnlyIPv4(socket.socket):
        """The kernel of a machine whose IPv6 is switched off."""

        def __init__(self, family: int = socket.AF_INET, *rest: int, **more: int) -> None:
            if family == socket.AF_INET6:
                raise OSError(97, "Address family not supported by protocol")
            super().__init__(family, *rest, **more)

    monkeypatch.setattr(socket, "socket", OnlyIPv4)
    with caplog.at_level(logging.WARNING):
        bound = bind(["::"], 0)
    assert [one.getsockname()[0] for one in bound] == ["0.0.0.0"]  # noqa: S104
    assert "no IPv6" in caplog.text
    bound[0].close()


def test_an_address_given_twice_is_one_and_all_have_one_port() -> None:
    bound = bind(["127.0.0.1", "127.0.0.2", "127.0.0.1"], 0)
    ports = {one.getsockname()[1] for one in bound}
    for one in bound:
        one.close()
    assert (len(bound), len(ports)) == (2, 1)


@pytest.mark.parametrize("port", [-1, 65536, 10**6])
def test_no_port(port: int) -> None:
    with pytest.raises(ConfigError, match=f"--port: is a number from 0 to 65535, not {port}"):
        bind(["127.0.0.1"], port)


@pytest.mark.parametrize("host", ["no such host", "host.invalid", "", "192.0.2.1", "x" * 300])
def test_no_address_of_this_machine(host: str) -> None:
    with pytest.raises(ConfigError, match=r"^--(host|port): "):
        bind([host], 0)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("port", ["taken", "70000", "-1", "http"])
def test_a_wrong_port_is_one_line_and_exit_code_2(tmp_path: Path, workers: str, port: str) -> None:
    file = tmp_path / "mintage.toml"
    file.write_text(WORKERS_CONFIG.format(port=8080, store=f"sqlite://{tmp_path}/mintage.db"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        given = str(other.getsockname()[1]) if port == "taken" else port
        done = mintage("serve", "--config", str(file), f"--port={given}", "--workers", workers)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1), done.stderr
    assert b"--port" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["serve", "--nonsense"], ["nonsense"], ["token", "inspect", "--x"]]
)
def test_a_wrong_argument_is_one_line_and_exit_code_2(arguments: list[str]) -> None:
    done = mintage(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1), done.stderr
    assert b"--help" in done.stderr


def test_an_address_of_another_machine_is_no_fault_of_the_port() -> None:
    with pytest.raises(ConfigError) as refused:
        bind(["192.0.2.1"], 0)  # RFC 5737: nobody has it
    assert refused.value.key == "--host"


def test_where_no_unix_socket_can_be_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "mintage.sock"
    with pytest.raises(ConfigError) as refused, listening([], 0, path):
        pass
    assert str(path) in refused.value.advice


@pytest.mark.parametrize(
    ("gateway", "warnings"),
    [
        ({}, 1),
        ({"forward_auth": "nginx"}, 1),
        ({"forward_auth": "nginx", "trusted_proxies": ["127.0.0.1"]}, 0),
    ],
)
def test_another_port_than_the_issuers_is_a_warning_unless_a_proxy_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, gateway: dict[str, object], warnings: int
) -> None:
    settings = {
        "issuer": "http://127.0.0.1:8080",
        "store": "memory://",
        "upstream": {"issuer": "http://127.0.0.1:9000", "client_id": "mintage"},
        "resource": [{"path": "/mcp"}],
        "gateway": gateway,
    }
    compare_ports(8081, parse(settings, base=tmp_path, environ={}))
    assert caplog.text.count("this server listens on port 8081") == warnings
