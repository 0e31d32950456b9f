"""What a program pays that only wants the issuer."""

import asyncio
import json
import subprocess
import sys

import pytest

import mintage
from mintage import errors
from mintage.jwt_issuer import derive_jwt_key, derive_jwt_key_async

HEAVY = {"starlette", "httpx2", "httpx", "jinja2", "uvicorn", "asyncio", "rich", "cyclopts", "ssl"}

PROGRAM = """
import json, sys
from mintage import JWTIssuer, derive_jwt_key
key = derive_jwt_key(high_entropy_material="test-secret", salt="test-salt")
issuer = JWTIssuer("https://auth.example.com", "https://auth.example.com/mcp", key)
issuer.verify_token(issuer.issue_access_token("ide", ["read"], "q7"))
print(json.dumps(sorted(sys.modules)))
"""


def test_the_issuer_loads_no_web_framework_http_client_or_template_engine() -> None:
    output = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True)
    modules = json.loads(output.stdout)
    assert "mintage.jwt.issuer" in modules
    assert not HEAVY & set(modules)
    assert not [name for name in modules if name.endswith("asymmetric")]


OF_A_GIVEN_KEY = """
import json, sys
from mintage.jwt_issuer import JWTIssuer
issuer = JWTIssuer("https://auth.example.com", "https://auth.example.com/mcp", bytes(range(32)))
issuer.verify_token(issuer.issue_access_token("ide", ["read"], "q7"))
print(*sys.modules)
"""


def test_an_issuer_of_a_given_key_loads_no_cryptography_and_no_errors_of_a_server() -> None:
    output = subprocess.run(
        [sys.executable, "-c", OF_A_GIVEN_KEY], check=True, capture_output=True, text=True
    )
    modules = set(output.stdout.split())
    assert "mintage.errors.tokens" in modules
    assert not {"cryptography", "mintage.errors.oauth", "mintage.errors.upstream"} & modules
    assert {name for name in modules if name.startswith("joserfc")} == {"joserfc", "joserfc.errors"}


def test_every_error_is_found_where_its_package_lists_it() -> None:
    for name in errors.__all__:
        assert getattr(errors, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'NoSuchError'"):
        errors.NoSuchError  # noqa: B018


def test_every_public_name_is_there_when_asked_for() -> None:
    assert dir(mintage) == sorted(mintage.__all__)
    for name in mintage.__all__:
        assert getattr(mintage, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Secret'"):
        mintage.Secret  # noqa: B018


async def test_a_slow_derivation_does_not_hold_up_the_event_loop() -> None:
    deriving = asyncio.create_task(
        derive_jwt_key_async(low_entropy_material="test-secret", salt="test-salt")
    )
    turns = 0
    while not deriving.done():
        await asyncio.sleep(0.001)
        turns += 1
    key = derive_jwt_key(low_entropy_material="test-secret", salt="test-salt")
    assert await deriving == key
    assert turns >= 10


async def test_the_async_derivation_is_the_same_function() -> None:
    key = await derive_jwt_key_async(high_entropy_material="test-secret", salt="test-salt")
    assert key == b"kSKidu851zDPlmn00JCg3o4zFvBQUoV7k98a9xdDPmY="
