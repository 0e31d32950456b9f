"""``mintage token inspect``: every broken token, the check that fails, and nothing secret."""

import asyncio
import base64
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mintage.app import Mintage
from mintage.cli.token_inspect import show
from mintage.crypto.derivation import purpose_key
from mintage.grants import handles
from mintage.jwt.inspection import inspect_token
from mintage.jwt_issuer import JWTIssuer
from mintage.settings.load import load
from mintage.values import ClientId, Secret
from tests.support.command import mintage
from tests.support.raw_backend import token_for

NOW = 1_800_000_000
SECRET = "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM"
JTI = handles.make_jti(b"s" * handles.SECRET_BYTES, 3, "access")
CLAIMS: dict[str, Any] = {
    "iss": "https://auth.example.com",
    "aud": "https://auth.example.com/mcp",
    "client_id": "mc1.x",
    "scope": "tools",
    "exp": NOW + 60,
    "iat": NOW - 60,
    "jti": JTI,
}


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def token(header: dict[str, Any] | None = None, **changes: Any) -> str:
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}
    return ".".join(
        [segment({"alg": "HS256", "typ": "JWT"} | (header or {})), segment(claims), "c2ln"]
    )


def failing(text: str) -> set[str]:
    return {check.name for check in inspect_token(text, now=NOW).checks if check.verdict == "bad"}


def printed(text: str) -> str:
    out = io.StringIO()
    show(inspect_token(text, now=NOW), [], Console(file=out, width=300, force_terminal=True))
    return out.getvalue()


def test_a_good_token_fails_no_check_and_its_grant_is_named() -> None:
    assert failing(token()) == set()
    assert "generation 3" in printed(token())


@pytest.mark.parametrize(
    ("text", "checks"),
    [
        ("", {"segments", "header", "payload"}),
        ("opaque", {"segments", "header", "payload"}),
        ("a.b", {"segments", "header", "payload"}),
        (token() + ".x", {"segments"}),
        (token() + ".x.y", {"segments"}),
        (token()[:-40].rpartition(".")[0], {"segments", "payload"}),
        ("x" * 20_000, {"size", "segments", "header", "payload"}),
        (token().replace(".", "=.", 1), {"header"}),
        ("ü" + token(), {"header"}),
        (segment([]) + "." + segment(CLAIMS) + ".x", {"header"}),
        (segment({"alg": "HS256"}) + "." + segment("x") + ".x", {"payload"}),
        (token({"alg": "none"}), {"algorithm"}),
        (token({"alg": "NoNe"}), {"algorithm"}),
        (token({"alg": "HS512"}), {"algorithm"}),
        (token({"alg": None}), {"algorithm"}),
        (token({"alg": ["HS256"]}), {"algorithm"}),
        (token({"crit": ["exp"]}), {"algorithm"}),
        (token({"jku": "https://evil.example"}), {"algorithm"}),
        (token(iss=None), {"iss"}),
        (token(aud=["x"]), {"aud"}),
        (token(client_id=""), {"client_id"}),
        (token(jti=None), {"jti"}),
        (token(exp=None), {"exp"}),
        (token(exp=NOW), {"exp"}),
        (token(exp=-(10**400)), {"exp"}),
        (token(exp=10**400), {"exp"}),
        (token(exp=str(NOW + 60)), {"exp"}),
        (token(exp=True), {"exp"}),
        (token(exp=NOW + 0.5), {"exp"}),
        (token(iat=NOW + 3600), {"iat"}),
        (token(nbf=NOW + 3600), {"nbf"}),
        (token(token_use="id"), {"token_use"}),
        (token(token_use=["access"]), {"token_use", "grant"}),
        (token(token_use="refresh"), {"grant"}),
    ],
)
def test_the_check_that_fails_is_named(text: str, checks: set[str]) -> None:
    assert checks <= failing(text)
    if "payload" not in checks and "header" not in checks:
        assert failing(text) - checks <= {"grant"}
    assert printed(text)


def test_attack_d07_the_jti_is_never_shown() -> None:
    for text in (token(), token(token_use="refresh"), token(exp=1)):
        assert JTI not in printed(text)
        assert text not in printed(text)


def test_claims_can_not_steer_the_terminal() -> None:
    hostile = "[bold red]x[/] \x1b]0;title\x07 \x9b31m \u202e \r\n[link=https://evil.example]y"
    shown = printed(token({"kid": hostile}, **{"sub": hostile, hostile: 1, "x": {"y": hostile}}))
    assert shown.count("[bold red]x[/] ") == 4
    assert "\x1b]" not in shown
    for character in ("\x07", "\x9b", "\u202e", "\r"):
        assert character not in shown


@given(
    st.text(max_size=60)
    | st.dictionaries(st.text(), st.integers() | st.text()).map(
        lambda claims: f"{segment({'alg': 'HS256'})}.{segment(claims)}.x"
    )
)
def test_any_text_is_explained(text: str) -> None:
    assert inspect_token(text, now=NOW).checks[-1].name == "signature"


def test_reads_standard_input_and_tells_by_its_exit_code() -> None:
    good = mintage("token", "inspect", given=f"{token(exp=2**32, iat=1)}\n".encode())
    assert (good.returncode, good.stderr) == (0, b"")
    assert b"https://auth.example.com/mcp" in good.stdout
    assert JTI.encode() not in good.stdout
    bad = mintage("token", "inspect", given=b"\xff\xfe garbage")
    assert (bad.returncode, bad.stderr) == (1, b"")


@pytest.mark.parametrize("words", [["-"], ["--token", "-"], ["--token=-"]])
def test_a_hyphen_is_standard_input(words: list[str]) -> None:
    found = mintage("token", "inspect", *words, given=token(exp=2**32, iat=1).encode())
    assert (found.returncode, found.stderr) == (0, b"")
    assert b"https://auth.example.com/mcp" in found.stdout


def test_an_option_that_does_not_exist_is_no_token() -> None:
    found = mintage("token", "inspect", "--confg")
    assert found.returncode == 2
    assert b"--confg" in found.stderr


def test_with_a_configuration_it_says_what_that_server_would(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "secret").chmod(0o600)
    file = tmp_path / "mintage.toml"
    file.write_text(
        'issuer = "https://auth.example.com"\nsecret = "file:secret"\nstore = "memory://"\n'
        '[upstream]\nissuer = "https://login.example.com"\nclient_id = "m"\n'
        '[[resource]]\npath = "/mcp"\nbackend = "http://127.0.0.1:1"\n'
    )
    issuer = JWTIssuer(CLAIMS["iss"], CLAIMS["aud"], purpose_key(Secret(SECRET.encode()), "sign"))
    ours = issuer.issue_access_token("mc1.x", ["tools"], JTI)
    found = mintage("token", "inspect", ours, "--config", str(file))
    assert found.returncode == 0
    assert b"issued it" in found.stdout
    assert b"only the issuer's key" not in found.stdout  # which is asked here
    assert b"Handle(" not in found.stdout
    assert "no other process can look into it" in found.stdout.decode()
    forged = mintage("token", "inspect", token(exp=2**32, iat=1), "--config", str(file))
    assert forged.returncode == 1
    assert "unknown_key" in forged.stdout.decode()
    for answer in (found, forged):
        assert JTI.encode() not in answer.stdout
        assert SECRET.encode() not in answer.stdout + answer.stderr


async def test_with_a_configuration_it_needs_no_secret_of_others(tmp_path: Path) -> None:
    """An administrator may have no other than the root secret and the key that signs."""
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for name, content in (("secret", SECRET.encode()), ("key.pem", pem)):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    file = tmp_path / "mintage.toml"
    file.write_text(
        'issuer = "https://auth.example.com"\nsecret = "file:secret"\nstore = "sqlite://m.db"\n'
        '[tokens]\nsigning_key = "file:key.pem"\n'
        '[upstream]\nissuer = "https://login.example.com"\nclient_id = "m"\n'
        'client_secret = "env:NOT_SET_HERE"\n'
        '[[resource]]\npath = "/mcp"\nbackend = "http://127.0.0.1:1"\n'
    )
    async with Mintage(
        load(file, environ={"NOT_SET_HERE": "of the provider"})
    ).running() as running:
        ours = await token_for(running, "https://auth.example.com/mcp", now=int(time.time()))
        found = await asyncio.to_thread(mintage, "token", "inspect", ours, "--config", str(file))
    assert inspect_token(ours, now=0).header["alg"] == "EdDSA"
    assert (found.returncode, found.stderr) == (0, b"")
    assert "this server issued it" in found.stdout.decode()
    assert "the login lives" in found.stdout.decode()


async def test_with_a_store_it_says_whether_the_login_lives(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "secret").chmod(0o600)
    file = tmp_path / "mintage.toml"
    file.write_text(
        'issuer = "https://auth.example.com"\nsecret = "file:secret"\nstore = "sqlite://m.db"\n'
        '[upstream]\nissuer = "https://login.example.com"\nclient_id = "m"\n'
        '[[resource]]\npath = "/mcp"\nbackend = "http://127.0.0.1:1"\n'
    )
    async with Mintage(load(file)).running() as running:
        ours = await token_for(running, "https://auth.example.com/mcp", now=int(time.time()))
        live = await asyncio.to_thread(mintage, "token", "inspect", ours, "--config", str(file))
        handle, claims = running.tokens.read_any(ours)
        await running.vault.revocation.revoke(handle, ClientId(claims.client_id))
        over = await asyncio.to_thread(mintage, "token", "inspect", ours, "--config", str(file))
        other = await token_for(running, "https://auth.example.com/mcp", now=int(time.time()))
        await asyncio.to_thread(mintage, "grants", "end", "--all", "--config", str(file))
        gone = await asyncio.to_thread(mintage, "token", "inspect", other, "--config", str(file))
        file.write_text(file.read_text() + '[audit]\nto = "file:audit.jsonl"\n')
        audited = await asyncio.to_thread(mintage, "token", "inspect", other, "--config", str(file))
    assert (live.returncode, live.stderr) == (0, b"")
    assert "the login lives" in live.stdout.decode()
    assert (over.returncode, over.stderr) == (1, b"")
    assert "grant_revoked" in over.stdout.decode()
    assert "grant_revoked: the login was ended; the server's log says when" in gone.stdout.decode()
    assert "a command did: only an audit trail records that" in gone.stdout.decode()
    assert "grant_revoked: the login was ended; the audit trail says" in audited.stdout.decode()
    for answer in (live, over, gone):
        assert "the server's log tells" not in answer.stdout.decode()
    for answer in (live, over):
        assert claims.jti.encode() not in answer.stdout
