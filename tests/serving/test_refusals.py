"""The rows of errors.toml about connections, sent as bytes: the status and the whole sentence."""

import json
import re
import tomllib
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from mintage.serving import refusals
from mintage.serving.refusals import Refusal
from mintage.serving.settings import ServerSection
from tests.serving.conftest import staged
from tests.serving.test_protocol import settled

DATA: Final = Path(__file__).parents[1] / "server/errors.toml"
ROWS: Final[list[dict[str, Any]]] = tomllib.loads(DATA.read_text(encoding="utf-8"))["connection"]
_LONG: Final = re.compile(r"<(\d+)>")
_NEVER_SENT: Final = {refusals.PIPELINED.reason}  # an earlier answer is under way then


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["input"])
async def test_a_connection_is_told_what_to_do(
    row: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    bounds = msgspec.convert(row.get("settings", {}), ServerSection)
    async with staged(bounds) as stage, AsyncExitStack() as stack:
        if "settings" in row:
            await stack.enter_async_context(stage.connected())
        client = await stack.enter_async_context(stage.connected())
        raw = _LONG.sub(lambda found: "a" * int(found[1]), row.get("raw", ""))
        client.writer.write(raw.encode())
        await settled()
        stage.seconds(row.get("seconds", 0))
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % row["status"])
    assert json.loads(body) == {"error": row["error"], "error_description": row["says"]}
    assert f": {row['reason']}" in caplog.text


def test_every_refusal_of_a_connection_has_a_row() -> None:
    reasons = {one.reason for one in vars(refusals).values() if isinstance(one, Refusal)}
    told = {row["reason"] for row in ROWS}
    unknown = [reason for reason in reasons - _NEVER_SENT if not reason.startswith(tuple(told))]
    assert unknown == []
