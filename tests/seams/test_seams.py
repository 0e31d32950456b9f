"""What a backend sees is what was judged, whoever stands before it and behind us."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.seams.conftest import LONG
from tests.seams.lab import Lab
from tests.seams.requests import CORPUS, MESSAGE, ODD, Odd, corpus

# One lab for all tests of this file, and so one process that runs them.
pytestmark = [pytest.mark.xdist_group("seams"), pytest.mark.timeout(0 if LONG else 300)]

_BATCH = 24
# In a short run each request goes by every seventh way, another seventh each time.
_SPREAD = 1 if LONG else 7


def test_an_ordinary_request_arrives_by_every_way(lab: Lab) -> None:
    """Otherwise the lab shows nothing."""
    before = lab.figures.seen
    places = {"root": "/x", "admin": "/admin/x", "files": "/files/x"}
    assert lab.check([Odd(user, path=path) for user, path in places.items()]) == []
    ways = [way for way in lab.ways if not way.tools]
    assert lab.figures.seen - before == len(places) * len(ways), lab.figures


def test_an_ordinary_call_of_a_tool_arrives_by_every_way_that_shows_its_body(lab: Lab) -> None:
    before = lab.figures.seen
    lines = (*MESSAGE, "MCP-Protocol-Version: 2025-11-25")
    body = CORPUS["mcp_bodies"][0].encode()
    assert lab.check([Odd("mcp", "POST", "/mcp", lines, body)]) == []
    ways = [way for way in lab.ways if way.side != "asked"]
    assert lab.figures.seen - before == len(ways), lab.figures


def test_an_empty_segment_below_a_resource_leads_out_of_it_by_no_way(lab: Lab) -> None:
    paths = ("/files//x", "/files//", "/files/%2Fx", "/files//admin")
    assert lab.check([Odd("files", path=path) for path in paths]) == []


def test_every_request_of_the_corpus_is_seen_as_it_was_judged_or_not_at_all(lab: Lab) -> None:
    assert lab.check(corpus(), lanes=4, spread=_SPREAD)[:5] == []


def test_drawn_requests_are_seen_as_they_were_judged_or_not_at_all(lab: Lab) -> None:
    """A long run goes on after a fault, and names some of all at its end."""
    each = len(lab.ways) * _BATCH
    examples = max(10, (LONG - lab.figures.sent) // each + 1 if LONG else 0)
    phases = (Phase.generate,) if LONG else tuple(Phase)
    found: list[str] = []

    @settings(
        max_examples=examples,
        database=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(ODD, min_size=_BATCH, max_size=_BATCH))
    def holds(requests: list[Odd]) -> None:
        faults = lab.check(requests, lanes=4, spread=_SPREAD)
        assert LONG or faults[:3] == []
        found.extend(faults)
        if LONG:
            print(f"{lab.figures}; {len(found)} faults", flush=True)  # noqa: T201

    holds()
    assert found[:10] == [], f"{len(found)} faults"
