"""The records of the audit trail: their fields, and what is never in them."""

import json
import re
from pathlib import Path
from typing import Any

from mintage.audit.categories import CATEGORIES
from mintage.audit.record import SCHEMA, Recorder
from mintage.events.event import Event, Origin, Party, Subject
from mintage.events.grants import GrantEnded
from mintage.events.logins import LoggedIn, LoginRefused
from mintage.events.tokens import TokenIssued
from mintage.values import ClientId, GrantId

PARTY = Party(
    subject=Subject("https://idp.example", "alice"),
    client_id=ClientId("client"),
    resource="https://auth.example/mcp",
    provider="okta",
    grant=GrantId("abcdefghijklmnop"),
)
ORIGIN = Origin(
    address="192.0.2.7", reference="0a1b2c3d4e5f", trace_id="0af7651916cd43dd8448eb211c80319c"
)
PAGE = (Path(__file__).parents[2] / "docs/how-to/keep-an-audit-trail.md").read_text()
RECORDER = Recorder("server-1", 42)


def record(event: Event, recorder: Recorder = RECORDER) -> dict[str, Any]:
    line = recorder.line(event, at=1_800_000_000.1234, record_id="id")
    assert line.endswith(b"\n")
    found: dict[str, Any] = json.loads(line)
    return found


def every_event() -> set[type[Event]]:
    found, new = set[type[Event]](), {Event}
    while new := {sub for event in new for sub in event.__subclasses__()}:
        found |= new
    return found


def test_a_record_is_in_the_words_of_ecs() -> None:
    event = GrantEnded(party=PARTY, origin=ORIGIN, by="client", reason="revoked_by_client")
    assert record(event) == {
        "@timestamp": "2027-01-15T08:00:00.123Z",
        "ecs": {"version": "8.17.0"},
        "event": {
            "id": "id",
            "kind": "event",
            "dataset": "mintage.audit",
            "action": "grant_ended",
            "category": ["session"],
            "type": ["end"],
            "outcome": "success",
            "reason": "revoked_by_client",
        },
        "service": {"name": "mintage"},
        "host": {"name": "server-1"},
        "process": {"pid": 42},
        "user": {"id": "alice", "domain": "https://idp.example"},
        "client": {"address": "192.0.2.7"},
        "http": {"request": {"id": "0a1b2c3d4e5f"}},
        "trace": {"id": "0af7651916cd43dd8448eb211c80319c"},
        "mintage": {
            "schema": SCHEMA,
            "client_id": "client",
            "resource": "https://auth.example/mcp",
            "provider": "okta",
            "grant": "abcdefghijklmnop",
            "by": "client",
        },
    }


def test_what_is_not_known_is_left_out() -> None:
    found = record(TokenIssued(grant_type="authorization_code"))
    assert not {"user", "client", "http", "trace"} & found.keys()
    assert found["mintage"] == {"schema": SCHEMA, "grant_type": "authorization_code"}


def test_a_hashed_user_is_the_same_in_each_record_and_has_no_name() -> None:
    hashing = Recorder("server-1", 42, b"k" * 32)
    one, again = record(LoggedIn(party=PARTY), hashing), record(LoggedIn(party=PARTY), hashing)
    assert one["user"] == again["user"]
    assert re.fullmatch("[0-9a-f]{32}", one["user"]["hash"])
    assert "alice" not in str(one)
    other = Recorder("server-1", 42, b"o" * 32)
    assert record(LoggedIn(party=PARTY), other)["user"] != one["user"]


def test_the_same_name_at_another_provider_has_another_hash() -> None:
    hashing = Recorder("server-1", 42, b"k" * 32)
    elsewhere = Party(subject=Subject("https://other.example", "alice"))
    here = record(LoggedIn(party=PARTY), hashing)["user"]
    assert record(LoggedIn(party=elsewhere), hashing)["user"] != here


def test_a_text_of_any_length_is_cut() -> None:
    event = LoginRefused(stage="upstream", reason="x" * 100_000)
    assert len(record(event)["event"]["reason"]) == 1000


def test_the_manual_shows_a_record_as_it_is() -> None:
    (shown,) = re.findall(r"```text\n(\{.*?\n\})\n```", PAGE, re.DOTALL)
    party = Party(
        subject=Subject("https://login.example.com", "00u1a2b3c4"),
        client_id=ClientId("https://app.example/client.json"),
        resource="https://auth.example.com/mcp",
        provider="oidc",
        grant=GrantId("3wd67fwa7pem7upj"),
    )
    origin = Origin(address="192.0.2.7", reference="0a1b2c3d4e5f")
    event = GrantEnded(party=party, origin=origin, by="client", reason="revoked_by_client")
    made = Recorder("auth-1", 42).line(event, at=1_800_000_000.123, record_id="5b0c6f0e2d9a")
    assert json.loads(shown) == json.loads(made)


def test_the_manual_names_each_event_and_each_of_its_fields() -> None:
    rows = dict(re.findall(r"^\| (`[^|]*) \|[^|]*\|([^|]*)\|$", PAGE, re.MULTILINE))
    for event in every_event():
        (fields,) = [told for names, told in rows.items() if f"`{event.action}`" in names]
        own = set(event.__struct_fields__) - {"party", "origin", "reason"}
        assert {name for name in own if f"`{name}`" not in fields} == set()


def test_each_event_has_a_category() -> None:
    assert {event.action for event in every_event()} == CATEGORIES.keys()
