"""The gateway of these tests: one resource on the raw backend, and one that is down."""

from typing import Any

import pytest

from mintage.testing.nanoidp import free_port
from tests.support.raw_backend import RawBackend


@pytest.fixture
def overrides(raw: RawBackend) -> dict[str, Any]:
    down = f"http://127.0.0.1:{free_port()}"
    backends = {"/mcp": f"http://127.0.0.1:{raw.port}/base", "/down": down}
    return {
        "resource": [
            {"path": path, "backend": url, "scopes": ["tools"], "credential": "identity"}
            for path, url in backends.items()
        ]
    }
