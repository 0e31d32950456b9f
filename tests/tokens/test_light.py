"""What a program pays that only wants the issuer."""

import asyncio
import json
import subprocess
import sys

import pytest

import mintage
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
