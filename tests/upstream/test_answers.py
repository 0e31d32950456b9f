"""Yes, no and unknown: whatever a provider answers, only a specified no ends a login."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwk

from mintage.errors import UpstreamError, UpstreamRefused, UpstreamUnavailable
from mintage.grants.states import Identity, UpstreamTokens
from mintage.testing.clock import ManualClock
from mintage.upstream.answers import (
    No,
    Unknown,
    retry_after,
    to_a_token_request,
    to_does_it_hold,
)
from mintage.upstream.preset import Preset
from mintage.upstream.presets import PRESETS
from mintage.upstream.protocol import HttpRequest, HttpResponse
from tests.upstream.conftest import opened_with

NOW = 1_800_000_000
KEY = jwk.RSAKey.generate_key(2048, auto_kid=True)
PARAMETERS = {
    "auth0": {"domain": "a.example"}, "clerk": {"domain": "a.example"},
    "cognito": {"region": "eu-west-1", "user_pool": "eu-west-1_a1B2"},
    "entra": {"tenant": "common"}, "keycloak": {"domain": "a.example", "realm": "r"},
    "okta": {"domain": "a.example"}, "workos": {"domain": "a.example"},
    "oidc": {"issuer": "https://a.example"},
    "oauth2": {"authorization_endpoint": "https://a.example/a",
               "token_endpoint": "https://a.example/t",
               "userinfo_endpoint": "https://a.example/u"},
}  # fmt: skip
WORDS = st.sampled_from(
    ["invalid_grant", "access_denied", "invalid_token", "invalid_client", "invalid_request",
     "temporarily_unavailable", "ratelimited", "missing_scope", "Bad credentials", "Forbidden",
     "401: Unauthorized", "Unauthorized", "bad_refresh_token", "token_revoked", "no_such_word"]
)  # fmt: skip
BODIES: st.SearchStrategy[Any] = (
    st.builds(lambda word: {"error": word}, WORDS)
    | st.builds(lambda word: {"ok": False, "error": word}, WORDS)
    | st.builds(lambda word: {"message": word}, WORDS)
    | st.builds(lambda word: {"error": word, "error_codes": [50196]}, WORDS)
    | st.sampled_from([{}, [], None, "text", 7, {"active": True}, {"active": False}, [{}], [None]])
    | st.just({"access_token": "new", "token_type": "bearer", "expires_in": 60})
)
RAW = BODIES.map(lambda body: json.dumps(body).encode()) | st.sampled_from([b"", b"<html>\xff"])
HEADERS = st.sampled_from(
    [
        {},
        {"retry-after": "30"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW + 900)},
        {"www-authenticate": 'Bearer error="invalid_token"'},
        {"www-authenticate": "Basic"},
    ]
)
STATUSES = st.sampled_from([200, 204, 302, 400, 401, 403, 404, 418, 429, 500, 503])
ANSWERS = st.builds(
    lambda status, body, headers: HttpResponse(
        status=status, headers={"content-type": "application/json", **headers}, body=body
    ),
    STATUSES, RAW, HEADERS,
)  # fmt: skip


@dataclass
class Scripted:
    """A provider at the end of the wire: good answers to discovery, drawn ones to all else."""

    answers: list[HttpResponse]
    issuer: str
    seen: list[tuple[HttpRequest, HttpResponse]] = field(default_factory=list)

    async def send(self, request: HttpRequest) -> HttpResponse:
        if request.url.endswith("/.well-known/openid-configuration"):
            return _json(self._discovery())
        if request.url.endswith("/jwks"):
            return _json({"keys": [KEY.as_dict(private=False)]})
        answer = self.answers.pop() if self.answers else HttpResponse(
            status=503, headers={}, body=b""
        )  # fmt: skip
        self.seen.append((request, answer))
        if answer.status >= 500 or answer.status == 429:
            raise UpstreamUnavailable("away")
        return answer

    async def close(self) -> None: ...

    def _discovery(self) -> dict[str, Any]:
        names = ("authorization", "token", "userinfo", "revocation")
        endpoints = {f"{name}_endpoint": f"https://a.example/{name}" for name in names}
        return {"issuer": self.issuer, "jwks_uri": "https://a.example/jwks", **endpoints}


def _json(body: Any) -> HttpResponse:
    headers = {"content-type": "application/json"}
    return HttpResponse(status=200, headers=headers, body=json.dumps(body).encode())


def says_no(preset: Preset, request: HttpRequest, answer: HttpResponse) -> bool:
    """Whether *answer* is a refusal by the specification of what was asked. Written anew here."""
    quirks = preset.quirks
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = None
    body = body if isinstance(body, dict) else {}
    word = quirks.error_words.get(str(body.get("error")), str(body.get("error")))
    over = word in ("invalid_grant", "access_denied")
    if answer.status == 401 and word == "access_denied":
        over = False
    if preset.name == "entra" and 50196 in body.get("error_codes", ()):
        over = False
    if request.form is not None:
        in_200 = answer.status == 200 and quirks.errors_in_200
        return over and (answer.status in quirks.refusal_statuses or in_200)
    if answer.status == 401:
        told = {str(body.get(name)) for name in ("error", "message", "code")}
        challenge = answer.headers.get("www-authenticate", "")
        return "invalid_token" in challenge or bool(
            told & ({"invalid_token"} | quirks.dead_token_words)
        )
    return answer.status == 200 and quirks.errors_in_200 and over


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_attack_e22_no_login_ends_but_for_a_no(preset: Preset) -> None:
    """Answers at random to every question of a renewal, of every provider."""
    section = {"client_id": "m", "client_secret": "env:S", "preset": preset.name}
    section |= PARAMETERS.get(preset.name, {})

    @settings(max_examples=60)
    @given(answers=st.lists(ANSWERS, max_size=9), renewable=st.booleans(), recheck=st.booleans())
    def holds(answers: list[HttpResponse], renewable: bool, recheck: bool) -> None:  # noqa: FBT001
        asyncio.run(_holds(preset, section, answers, renewable=renewable, recheck=recheck))

    holds()


async def _holds(
    preset: Preset,
    section: dict[str, Any],
    answers: list[HttpResponse],
    *,
    renewable: bool,
    recheck: bool,
) -> None:
    wire = Scripted(answers, "https://a.example")
    upstream = opened_with(section, wire, ManualClock(NOW), S=b"a secret")
    wire.issuer = upstream._upstream.issuer  # type: ignore[attr-defined]
    tokens = UpstreamTokens(
        access_token="a", refresh_token="r" if renewable or not recheck else None,
        expires_at=NOW, recheck=recheck, scope="user:email read:org guilds",
    )  # fmt: skip

    def judge(who: Identity, _: bool) -> Identity:  # noqa: FBT001
        return who

    try:
        await upstream.refresh(tokens, now=NOW, judge=judge)
    except UpstreamRefused:
        assert any(says_no(preset, *one) for one in wire.seen), wire.seen
    except UpstreamError:
        pass
    # Only a no of our own rules revokes at the provider, and there are none.
    sent = [request.url for request, _ in wire.seen if request.method == "POST"]
    assert not any("revo" in url for url in sent)
    assert not any(request.method == "DELETE" for request, _ in wire.seen)


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (503, {"retry-after": "30"}, 30),
        (503, {"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW + 900)}, 900),
        (429, {"x-ratelimit-reset-after": "1.25"}, 1),
        (429, {"ratelimit-remaining": "0", "ratelimit-reset": "12"}, 12),
        (429, {"x-ratelimit-reset": "2027-01-15T08:15:00Z"}, 900),
        (429, {"x-ratelimit-reset": "2027-01-15T08:15Z"}, 900),
        (503, {"retry-after": "99999999"}, 3600),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW - 5)}, 1),
        (503, {"retry-after": "soon"}, None),
        (503, {}, None),
    ],
)
def test_how_long_to_wait_is_the_providers_word(
    status: int, headers: dict[str, str], seconds: int | None
) -> None:
    answer = HttpResponse(status=status, headers=headers, body=b"")
    assert retry_after(answer, now=NOW) == seconds


def test_attack_e22_entras_word_for_too_many_requests_ends_nothing() -> None:
    """Entra throttles calls for a user with ``invalid_grant`` and the code AADSTS50196."""
    body = {
        "error": "invalid_grant",
        "error_description": "AADSTS50196: The server terminated an operation because it "
        "encountered a client request loop.",
        "error_codes": [50196],
    }
    answer = HttpResponse(status=400, headers={}, body=json.dumps(body).encode())
    told = to_a_token_request(answer, PRESETS["entra"].quirks)
    assert isinstance(told, Unknown)
    assert told.why == "away"
    body["error_codes"] = [700082]  # a refresh token that nobody used for too long
    answer = HttpResponse(status=400, headers={}, body=json.dumps(body).encode())
    assert to_a_token_request(answer, PRESETS["entra"].quirks) == No("invalid_grant")


def test_attack_e22_atlassians_word_for_a_wrong_secret_ends_nothing() -> None:
    answer = HttpResponse(status=403, headers={}, body=b'{"error": "access_denied"}')
    told = to_a_token_request(answer, PRESETS["atlassian"].quirks)
    assert isinstance(told, Unknown)
    assert told.why == "us"


def test_attack_e22_auth0s_word_for_a_wrong_secret_ends_nothing() -> None:
    """401 is for the client that is refused (RFC 6749 §5.2), whatever the word."""
    answer = HttpResponse(status=401, headers={}, body=b'{"error": "access_denied"}')
    told = to_a_token_request(answer, PRESETS["auth0"].quirks)
    assert isinstance(told, Unknown)
    assert told.why == "us"


@pytest.mark.parametrize("status", [429, 500])
def test_attack_e22_auth0s_word_for_an_exhausted_quota_ends_nothing(status: int) -> None:
    """Tenants were answered ``access_denied``, "Global limit has been reached"."""
    body = b'{"error": "access_denied", "error_description": "Global limit has been reached"}'
    answer = HttpResponse(status=status, headers={}, body=body)
    assert isinstance(to_a_token_request(answer, PRESETS["auth0"].quirks), Unknown)


@pytest.mark.parametrize("word", ["invalid_auth", "not_authed", "accesslimited"])
def test_attack_e22_slacks_words_for_a_shut_out_address_end_nothing(word: str) -> None:
    """``invalid_auth``: the token is invalid, *or* this address may not ask. Nobody can tell."""
    answer = HttpResponse(
        status=200, headers={}, body=json.dumps({"ok": False, "error": word}).encode()
    )
    for name in ("slack", "slack_api"):
        told = to_does_it_hold(answer, PRESETS[name].quirks, now=NOW)
        assert isinstance(told, Unknown)
