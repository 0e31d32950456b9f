"""A short round of ``python -m stress.rolling``: each change once, on each store."""

from pathlib import Path

import pytest
from stress.rolling import run_rolling


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "store",
    [
        "sqlite",
        pytest.param("postgres_url", marks=pytest.mark.xdist_group("postgres")),
        pytest.param("redis_url", marks=pytest.mark.xdist_group("redis")),
    ],
)
async def test_no_request_fails_and_no_login_is_lost(
    store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite://{tmp_path}/store.db" if store == "sqlite" else request.getfixturevalue(store)
    book = await run_rolling(url, tmp_path, rounds=1, users=3)
    assert book.wrong == []
    for what in ("login", "code", "call", "refresh"):
        assert book.answers[what] > 0
