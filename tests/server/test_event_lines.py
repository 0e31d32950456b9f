"""The log's line for a security event."""

import pytest

from mintage.events.event import Party
from mintage.events.lines import log_event
from mintage.events.logins import ConsentGiven
from mintage.values import ClientId


@pytest.mark.parametrize(
    ("client", "shown"),
    [("m" * 120, "m" * 120), ("m" * 200, "m" * 200), ("m" * 201, "m" * 200 + "…")],
)
def test_a_client_id_is_whole_or_marked_as_cut(
    caplog: pytest.LogCaptureFixture, client: str, shown: str
) -> None:
    """A registered one has about 100 characters: commands take it as the log shows it."""
    caplog.set_level("INFO", "mintage.events")
    log_event(ConsentGiven(party=Party(client_id=ClientId(client)), scopes=("tools",)))
    assert caplog.messages == [f"consent_given: client {shown}"]
