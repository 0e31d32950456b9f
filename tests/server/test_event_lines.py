"""The log's line for a security event."""

import json

import pytest

from mintage.events.event import Event, Party
from mintage.events.grants import GrantEnded
from mintage.events.lines import log_event
from mintage.events.logins import ConsentGiven
from mintage.events.requests import RequestRefused
from mintage.events.tokens import AssertionReplayed, TokenRefreshed, TokenReused
from mintage.logs import JsonLines
from mintage.values import ClientId, GrantId


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


_PARTY = Party(client_id=ClientId("ide"), provider="oidc", grant=GrantId("3wd6"))


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (TokenRefreshed(party=_PARTY), "grant 3wd6, client ide, provider oidc"),
        (TokenRefreshed(repeated=True), "repeated"),
        (
            GrantEnded(party=Party(grant=GrantId("3wd6")), by="user", reason="signed_out"),
            "grant 3wd6, by user, reason signed_out",
        ),
        (ConsentGiven(), None),
    ],
)
def test_a_line_has_what_is_known(
    caplog: pytest.LogCaptureFixture, event: Event, line: str | None
) -> None:
    caplog.set_level("INFO", "mintage.events")
    log_event(event)
    assert caplog.messages == [event.action if line is None else f"{event.action}: {line}"]


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (
            TokenRefreshed(party=_PARTY, repeated=True),
            {"grant": "3wd6", "client_id": "ide", "provider": "oidc", "repeated": True},
        ),
        (
            GrantEnded(party=Party(grant=GrantId("3wd6")), by="reuse", reason="code_replayed"),
            {"grant": "3wd6", "by": "reuse", "reason": "code_replayed"},
        ),
        (
            ConsentGiven(party=Party(client_id=ClientId("m" * 201))),
            {"client_id": "m" * 200 + "…"},
        ),
        (ConsentGiven(), {}),
    ],
)
def test_a_program_finds_what_is_known_as_members(
    caplog: pytest.LogCaptureFixture, event: Event, fields: dict[str, object]
) -> None:
    """So that all lines of a grant can be selected by its id."""
    caplog.set_level("INFO", "mintage.events")
    log_event(event)
    [record] = caplog.records
    line = json.loads(JsonLines().format(record))
    assert line.items() >= (fields | {"event": event.action}).items()
    assert line.keys() == {"time", "level", "logger", "message", "event", *fields}


def test_a_line_names_its_place_where_the_application_shows_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "mintage.events")
    log_event(ConsentGiven())
    [record] = caplog.records
    assert (record.filename, record.funcName) == ("lines.py", "log_event")
    assert record.lineno > 0


def test_a_logger_that_the_application_has_switched_off_stays_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("WARNING", "mintage.events")
    log_event(ConsentGiven())
    assert caplog.messages == []


_OF_THEFT = (
    TokenReused(kind="refresh_token"),
    AssertionReplayed(grant_type="client_credentials"),
    GrantEnded(by="reuse", reason="refresh_token_reused"),
)


@pytest.mark.parametrize("event", _OF_THEFT, ids=lambda event: event.action)
def test_a_sign_of_theft_is_a_warning(caplog: pytest.LogCaptureFixture, event: Event) -> None:
    """Operators search for WARNING when an alert fires, and may log nothing below it."""
    caplog.set_level("WARNING", "mintage.events")
    log_event(event)
    [record] = caplog.records
    assert record.levelname == "WARNING"


def test_everything_else_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "mintage.events")
    log_event(GrantEnded(by="user", reason="signed_out"))
    log_event(TokenRefreshed())
    log_event(RequestRefused(endpoint="token", stage="grant", code="invalid_grant", status=400))
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
