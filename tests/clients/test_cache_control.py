"""How long an answer is fresh, by its Cache-Control (RFC 9111 §5.2.2)."""

import pytest

from mintage.network.cache_control import freshness


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        ("max-age = 600", 600),
        ("max-age=600; public", 600),
        ("max-age=1e9", 300),
        ("max-age=" + "9" * 10, 900),
        ("max-age=" + "9" * 400, 300),
        ("x-max-age=600", 300),
        ("max-age=٦٠٠", 300),
        ('no-cache="set-cookie", max-age=600', 60),
        ("no-store;max-age=600", 60),
        ("no-store-at-all, max-age=600", 600),
    ],
)
def test_what_is_said_counts_within_bounds(cache_control: str, seconds: int) -> None:
    assert freshness(cache_control, least=60, usual=300, most=900) == seconds
