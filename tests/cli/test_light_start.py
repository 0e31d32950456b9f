"""What a server imports before it answers. A package that is needed only later makes it slower."""

import json
import subprocess
import sys
from pathlib import Path

LATER = {
    "joserfc.jwk",
    "cryptography.x509",
    "httpx2",
    "jinja2",
    "rich",
    "websockets",
    "redis",
    "asyncpg",
    "prometheus_client",
    "mcp",
}

PROGRAM = """
import asyncio, json, sys
from pathlib import Path
import mintage.cli.serve
from mintage.app import create_app
from mintage.settings.load import parse

async def main():
    config = parse(json.loads(sys.argv[1]), base=Path(), environ={"S": "x9" * 20})
    async with create_app(config).running():
        print(json.dumps(sorted(sys.modules)))

asyncio.run(main())
"""


def settings_in(directory: Path) -> dict[str, object]:
    return {
        "issuer": "http://127.0.0.1:8000",
        "store": f"sqlite:///{directory}/mintage.db",
        "secret": "env:S",
        "upstream": {"issuer": "https://idp.example", "client_id": "mintage"},
        "resource": [{"path": "/mcp", "backend": "http://127.0.0.1:9000"}],
    }


def test_a_start_imports_nothing_that_only_some_requests_need(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, json.dumps(settings_in(tmp_path))]
    done = subprocess.run(command, check=True, capture_output=True)
    modules = set(json.loads(done.stdout))
    assert "mintage.server.token" in modules
    assert not LATER & modules


READY = """
import asyncio, json, sys
from pathlib import Path
from mintage.app import create_app
from mintage.settings.load import parse

async def main():
    config = parse(json.loads(sys.argv[1]), base=Path(), environ={"S": "x9" * 20})
    async with create_app(config).running():
        while not hasattr(sys.modules.get("joserfc.jwt"), "decode"):
            await asyncio.sleep(0.01)

asyncio.run(main())
"""


def test_what_verifies_id_tokens_is_imported_before_the_first_login(tmp_path: Path) -> None:
    command = [sys.executable, "-c", READY, json.dumps(settings_in(tmp_path))]
    subprocess.run(command, check=True, timeout=60)
