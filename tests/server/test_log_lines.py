"""Lines of the log are for people: they have plain values, and no ``repr`` of one in Mintage."""

import ast
import inspect
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mintage
from tests.support.world import World

SOURCE = Path(str(mintage.__file__)).parent
LEVELS = {"debug", "info", "warning", "error", "exception", "log"}


def own_types() -> set[str]:
    return {
        name
        for module in list(sys.modules.values())
        if getattr(module, "__name__", "").startswith("mintage")
        for name, found in vars(module).items()
        if inspect.isclass(found) and found.__module__.startswith("mintage")
    }


async def test_what_comes_of_a_login_is_told_in_plain_values(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "mintage"):
        client = await world.client()
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        await client.call(tokens["access_token"])
        await client.call("no token")
        renewed = (await client.refresh(tokens["refresh_token"])).json()
        for name in ("access_token", "refresh_token"):
            await client.revoke(renewed[name])
        await client.revoke("no token")
        await client.refresh(renewed["refresh_token"])
        await client.call(renewed["access_token"])
    lines = [record.getMessage() for record in caplog.records]
    shown = re.compile(rf"\b(?:{'|'.join(map(re.escape, own_types()))})\(|<[\w.]+ object at ")
    assert [line for line in lines if shown.search(line)] == []
    (grant,) = {found[1] for line in lines if (found := re.search(r"grant (\w{16})\b", line))}
    said = [line.partition(f": grant {grant}: ")[2] for line in lines if "POST /revoke" in line]
    assert said == ["grant_revoked", ""]
    assert sum("reason revoked_by_client" in line for line in lines) == 1
    refused = [line.partition(", stage grant: ")[2] for line in lines if ", stage grant: " in line]
    assert refused == [f"grant_revoked, grant {grant}"] * 2  # a refresh, and a call


def logged() -> Iterator[tuple[str, ast.expr]]:
    """Each argument of a call that writes to the log, with the place of the call."""
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            writes = isinstance(called, ast.Name) and called.id == "log_reason"
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
                writes = called.value.id == "log" and called.attr in LEVELS
            if writes:
                yield from ((f"{file.relative_to(SOURCE)}:{node.lineno}", a) for a in node.args)


def test_no_line_asks_for_a_repr() -> None:
    found = [
        where
        for where, argument in logged()
        for node in ast.walk(argument)
        if (isinstance(node, ast.FormattedValue) and node.conversion == ord("r"))
        or (isinstance(node, ast.Constant) and "%r" in str(node.value))
        or (isinstance(node, ast.Name) and node.id == "repr")
    ]
    assert found == []
    assert len(set(logged())) > 100, "the calls are found"
