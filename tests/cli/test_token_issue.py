"""``mintage token issue`` and ``verify``, and the completion of the shell."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mintage.jwt_issuer import KeyRing, TokenKey

PLACE = ("--issuer", "https://auth.example", "--audience", "https://api.example")
SECRET = "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM"


def token(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mintage", "token", *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TOKEN_KEY": SECRET, "NO_COLOR": "1"},
    )


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    file = tmp_path / "key.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return file


def test_what_is_issued_is_verified_with_the_same_key() -> None:
    issued = token(
        "issue", *PLACE, "--key", "env:TOKEN_KEY", "--client-id", "ide",
        "--scope", "read", "--scope", "write", "--subject", "alice", "--expires-in", "60",
    )  # fmt: skip
    assert issued.returncode == 0, issued.stderr
    verified = token("verify", *PLACE, "--key", "env:TOKEN_KEY", given=issued.stdout)
    claims = json.loads(verified.stdout)
    assert (claims["client_id"], claims["scope"], claims["sub"]) == ("ide", "read write", "alice")
    assert claims["exp"] - claims["iat"] == 60


def test_others_verify_by_the_public_keys(pem: Path, tmp_path: Path) -> None:
    issued = token(
        "issue", *PLACE, "--key", f"file:{pem}", "--client-id", "ide", "--subject", "alice"
    )
    assert issued.returncode == 0, issued.stderr
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps(KeyRing(TokenKey.from_pem(pem.read_bytes())).jwks()))
    verified = token("verify", *PLACE, "--jwks", str(jwks), given=issued.stdout)
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["sub"] == "alice"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--issuer", "https://auth.example", "--audience", "https://other.example"), "audience"),
        ((*PLACE, "--refresh"), "Token type mismatch: expected refresh, got access"),
    ],
)
def test_a_refused_token_is_one_line_with_the_reason(arguments: tuple[str, ...], why: str) -> None:
    issued = token("issue", *PLACE, "--key", "env:TOKEN_KEY", "--client-id", "ide")
    refused = token("verify", *arguments, "--key", "env:TOKEN_KEY", given=issued.stdout)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert why in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_token_that_has_ended_can_be_issued_and_is_refused() -> None:
    issued = token(
        "issue", *PLACE, "--key", "env:TOKEN_KEY", "--client-id", "ide", "--expires-in=-5"
    )
    refused = token("verify", *PLACE, "--key", "env:TOKEN_KEY", given=issued.stdout)
    assert refused.returncode == 1
    assert "expired" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (("issue", *PLACE, "--key", SECRET, "--client-id", "ide"), "--key"),
        (("issue", *PLACE, "--key", "env:NO_SUCH", "--client-id", "ide"), "--key"),
        (("issue", *PLACE, "--key", "env:TOKEN_KEY", "--client-id", ""), "token issue"),
        (("verify", "x", *PLACE), "token verify"),
        (("verify", "x", *PLACE, "--jwks", "/no/such.json"), "--jwks"),
    ],
)
def test_a_wrong_argument_is_named_and_no_key_is_shown(
    arguments: tuple[str, ...], key: str
) -> None:
    done = token(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"mintage: {key}: ")
    assert SECRET not in done.stderr


def test_bash_completes_commands() -> None:
    bash = shutil.which("bash")
    assert bash is not None
    script = subprocess.run(
        [sys.executable, "-m", "mintage", "completion", "bash"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    asked = (
        f"{script}\nCOMP_WORDS=(mintage gra) COMP_CWORD=1\n"
        "function_of=$(complete -p mintage | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n"
        '$function_of mintage gra mintage; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [bash, "--norc", "-c", asked], capture_output=True, text=True, timeout=60, check=False
    )
    assert "grants" in done.stdout.split(), done.stderr
