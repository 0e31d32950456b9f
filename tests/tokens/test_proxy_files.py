"""The files with which proxies verify tokens: only from keys and lists of the issuer."""

import json
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from mintage.cli.verify_files import Files
from mintage.crypto.base64url import encode_text
from mintage.errors import BadKeySet, TokenError
from mintage.jwt.proxy_files import MAX_LIST, Ended, ended_files, key_files, read_status_list
from mintage.testing.nanoidp import free_port
from tests.support.verifying_proxies import Issuer, es256, signed


@pytest.fixture
def issuer() -> Issuer:
    return Issuer(free_port())


def jwks(issuer: Issuer) -> bytes:
    return json.dumps({"keys": [dict(key.jwk or {}) for key in issuer.keys]}).encode()


def read(issuer: Issuer, token: str, now: float | None = None) -> Ended:
    uri = f"{issuer.url}/status-list"
    now = time.time() if now is None else now
    return read_status_list(token, jwks(issuer), issuer=issuer.url, uri=uri, now=now)


def test_a_list_says_who_has_ended(issuer: Issuer) -> None:
    issuer.ended = {0, 7, 8, 4095}
    ended = read(issuer, issuer.status_list())
    assert ended.numbers() == [0, 7, 8, 4095]
    files = ended_files(ended)
    until, _, bits = files["ended"].partition(b"\n")
    assert (int(until), bits) == (ended.until, ended.bits)
    lines = files["ended.map"].decode().splitlines()
    assert lines == [f"until {ended.until}", "size 8192", "0 1", "7 1", "8 1", "4095 1"]


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"sub": "https://auth.example.com/status-list"},
        {"exp": 1},
        {"exp": "soon"},
        {"status_list": {"bits": 2, "lst": encode_text(zlib.compress(b"\x00"))}},
        {"status_list": {"bits": 1, "lst": "!"}},
        {"status_list": {"bits": 1, "lst": encode_text(b"not compressed")}},
        {"status_list": {"bits": 1, "lst": encode_text(zlib.compress(bytes(MAX_LIST + 1)))}},
        {"status_list": {"bits": 1, "lst": encode_text(zlib.compress(b"\x00")[:-2])}},
    ],
)
def test_attack_c07_a_list_that_is_not_the_issuers_is_not_taken(
    issuer: Issuer, claims: dict[str, Any]
) -> None:
    issuer.listed = claims
    with pytest.raises(TokenError):
        read(issuer, issuer.status_list())


def test_attack_c07_nobody_else_signs_a_list(issuer: Issuer) -> None:
    other = Issuer(issuer.port)
    for token in (other.status_list(), issuer.token(), signed({}, issuer.keys[0], "at+jwt"), ""):
        with pytest.raises(TokenError):
            read(issuer, token)


def test_only_keys_that_proxies_can_use_are_written(issuer: Issuer) -> None:
    one = key_files(jwks(issuer))
    assert one["key-1.pem"] == one["key-2.pem"]
    assert one["headers.map"] == issuer.keys[0].header("at+jwt") + b" 1\n"
    issuer.keys.append(es256())
    two = key_files(jwks(issuer))
    assert two["key-1.pem"] == one["key-1.pem"] != two["key-2.pem"]
    assert list(json.loads(two["keys.json"])) == [
        key.header("at+jwt").decode() for key in issuer.keys
    ]
    issuer.keys.append(es256())
    with pytest.raises(BadKeySet, match="one, or two"):
        key_files(jwks(issuer))


async def test_files_are_replaced_whole_and_only_if_they_changed(
    issuer: Issuer, tmp_path: Path
) -> None:
    marks = tmp_path / "reloads"
    directory = tmp_path / "files"
    directory.mkdir()
    command = f"/bin/sh -c 'echo again >> {marks}'"
    files = Files(directory=directory, issuer=issuer.url, on_new_keys=command)
    async with issuer.running():
        now = time.time()
        await files.renew(now)
        before = {path.name: path.stat().st_ino for path in directory.iterdir()}
        assert set(before) == {
            "key-1.pem", "key-2.pem", "headers.map", "keys.json", "ended", "ended.map",
        }  # fmt: skip
        await files.renew(now + 31)
        issuer.ended.add(3)
        await files.renew(now + 32)
        after = {path.name: path.stat().st_ino for path in directory.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"ended", "ended.map"}
    assert marks.read_text() == "again\n"


async def test_attack_c07_a_bad_list_leaves_the_files_as_they_are(
    issuer: Issuer, tmp_path: Path
) -> None:
    files = Files(directory=tmp_path, issuer=issuer.url)
    async with issuer.running():
        issuer.ended.add(3)
        await files.renew(time.time())
        before = (tmp_path / "ended").read_bytes()
        issuer.ended.clear()
        issuer.listed = {"iss": "https://evil.example"}
        with pytest.raises(TokenError):
            await files.renew(time.time())
    assert (tmp_path / "ended").read_bytes() == before
