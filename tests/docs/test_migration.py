"""The page on moving from FastMCP's proxies names each parameter that these have, and no other."""

import inspect
import re
from pathlib import Path

import pytest
from fastmcp.server.auth import OAuthProxy
from fastmcp.server.auth.oidc_proxy import OIDCProxy
from fastmcp.server.auth.providers.github import GitHubProvider
from fastmcp.server.auth.providers.google import GoogleProvider

PAGE = Path(__file__).parents[2] / "docs/how-to/migrate-from-fastmcp.md"
ROWS = re.findall(r"^\| (`.*?) \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
NAMED = [name for names, _ in ROWS for name in re.findall(r"`(\w+)`", names)]
THEIRS = (OAuthProxy, OIDCProxy, GitHubProvider, GoogleProvider)


def parameters(proxy: type) -> set[str]:
    return set(inspect.signature(proxy).parameters)


@pytest.mark.parametrize("proxy", THEIRS, ids=lambda proxy: proxy.__name__)
def test_each_parameter_has_a_row(proxy: type) -> None:
    assert parameters(proxy) <= set(NAMED)


def test_each_row_is_about_a_parameter_that_there_is() -> None:
    assert len(NAMED) == len(set(NAMED))
    assert set(NAMED) <= set().union(*map(parameters, THEIRS))
