"""Resource servers elsewhere: no secret, a JWK set, and an issuer that may be down."""

import asyncio
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mintage.errors import (
    BadKeySet,
    BadSignature,
    ExpiredToken,
    KeysUnavailable,
    UnknownKey,
    WrongAudience,
    WrongIssuer,
)
from mintage.jwt.verifier import (
    MAX_JWKS,
    Fetched,
    JWTVerifier,
    age_of,
    fetch_over_http,
)
from mintage.jwt_issuer import JWTIssuer, KeyRing
from tests.support.forge import ASYMMETRIC, AUDIENCE, ISSUER, KEY, KEYS, NOW

URL = "https://auth.example.com/.well-known/jwks.json"
ES, ED, RS = (KEYS[name] for name in ("ES256", "EdDSA", "RS256"))


def issuer_of(ring: KeyRing, *, issuer: str = ISSUER, audience: str = AUDIENCE) -> JWTIssuer:
    return JWTIssuer(issuer, audience, ring, clock=lambda: NOW)


def issue(ring: KeyRing, **names: str) -> str:
    return issuer_of(ring, **names).issue_access_token("ide", ["read"], "q7", 600, subject="alice")


class World:
    """A clock, and an issuer's key set with a count of how often it was fetched."""

    def __init__(self, ring: KeyRing, cache_control: str = "max-age=300") -> None:
        self.now = float(NOW)
        self.ring = ring
        self.cache_control = cache_control
        self.fetches = 0
        self.fault: Exception | None = None
        self.body: bytes | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, url: str) -> Fetched:
        assert url == URL
        self.fetches += 1
        await self.gate.wait()
        if self.fault:
            raise self.fault
        body = json.dumps(self.ring.jwks()).encode() if self.body is None else self.body
        return Fetched(body, self.cache_control)

    def verifier(self, **options: Any) -> JWTVerifier:
        return JWTVerifier(
            ISSUER, AUDIENCE, jwks_url=URL, fetch=self.fetch, clock=lambda: self.now, **options
        )


@pytest.mark.parametrize("name", ASYMMETRIC)
async def test_a_published_key_is_all_it_takes(name: str) -> None:
    ring = KeyRing(KEYS[name], [KEY])
    token = issue(ring)
    for jwks in (ring.jwks(), json.dumps(ring.jwks()), json.dumps(ring.jwks()).encode()):
        verifier = JWTVerifier(ISSUER, AUDIENCE, jwks=jwks, clock=lambda: NOW)
        claims = await verifier.verify(token)
        assert claims == verifier.verify_now(token) == issuer_of(ring).verify(token)
        assert await verifier.verify_token(token) == issuer_of(ring).verify_token(token)


async def test_each_fault_has_its_error() -> None:
    ring = KeyRing(ES)
    verifier = JWTVerifier(ISSUER, AUDIENCE, jwks=ring.jwks(), clock=lambda: NOW)
    good = issue(ring)
    cases = {
        issue(ring, issuer="https://other.example"): WrongIssuer,
        issue(ring, audience="https://other.example"): WrongAudience,
        issue(KeyRing(ED)): UnknownKey,
        good[:-4] + ("AAAA" if not good.endswith("AAAA") else "BBBB"): BadSignature,
        issuer_of(ring).issue_refresh_token("ide", [], "q7", 60): UnknownKey,
        issuer_of(ring).issue_access_token("i", [], "q", 5, subject="a", issued_at=1): ExpiredToken,
    }
    for token, error in cases.items():
        with pytest.raises(error):
            await verifier.verify(token)
        with pytest.raises(error):
            verifier.verify_now(token)


async def test_a_symmetric_key_in_a_key_set_verifies_nothing() -> None:
    """The public set would be the secret; and a public key is never used as one."""
    symmetric = {"kty": "oct", "k": "AAAA", "kid": KEYS["HS256"].kid, "alg": "HS256"}
    with pytest.raises(BadKeySet):
        JWTVerifier(ISSUER, AUDIENCE, jwks={"keys": [symmetric]})
    verifier = JWTVerifier(ISSUER, AUDIENCE, jwks={"keys": [symmetric, dict(ES.jwk or {})]})
    with pytest.raises(UnknownKey):
        await verifier.verify(issue(KeyRing(KEY)))


async def test_keys_are_fetched_once_and_kept_as_long_as_they_are_fresh() -> None:
    world = World(KeyRing(ES), "public, max-age=120")
    verifier, token = world.verifier(), issue(KeyRing(ES))
    for moment, fetches in ((0, 1), (1, 1), (119, 1), (120, 2), (239, 2), (240, 3)):
        world.now = NOW + moment
        assert (await verifier.verify(token)).jti == "q7"
        assert world.fetches == fetches


async def test_a_hundred_callers_wait_for_one_fetch() -> None:
    world = World(KeyRing(ES))
    world.gate.clear()
    verifier, token = world.verifier(), issue(KeyRing(ES))
    callers = [asyncio.create_task(verifier.verify(token)) for _ in range(100)]
    await asyncio.sleep(0)
    world.gate.set()
    assert {claims.jti for claims in await asyncio.gather(*callers)} == {"q7"}
    assert world.fetches == 1


async def test_a_failed_fetch_is_not_repeated_by_those_who_waited_for_it() -> None:
    world = World(KeyRing(ES))
    world.gate.clear()
    world.fault = OSError("connection refused")
    verifier, token = world.verifier(), issue(KeyRing(ES))
    callers = [asyncio.create_task(verifier.verify(token)) for _ in range(100)]
    await asyncio.sleep(0)
    world.gate.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert {type(result) for result in results} == {KeysUnavailable}
    assert world.fetches == 1


async def test_when_the_caller_who_fetches_goes_away_the_next_one_fetches() -> None:
    world = World(KeyRing(ES))
    world.gate.clear()
    verifier, token = world.verifier(), issue(KeyRing(ES))
    first, second = (asyncio.create_task(verifier.verify(token)) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    world.gate.set()
    assert (await second).jti == "q7"
    assert first.cancelled()
    assert world.fetches == 2


async def test_an_unknown_kid_fetches_at_once_and_then_at_a_bounded_rate() -> None:
    world = World(KeyRing(ES), "max-age=86400")
    verifier = world.verifier(refetch_after=30)
    await verifier.verify(issue(KeyRing(ES)))
    world.now += 31
    world.ring = KeyRing(ED, [ES])
    assert (await verifier.verify(issue(KeyRing(ED)))).jti == "q7"
    assert world.fetches == 2
    for _ in range(50):
        with pytest.raises(UnknownKey):
            await verifier.verify(issue(KeyRing(RS)))
    assert world.fetches == 2
    world.now += 30
    with pytest.raises(UnknownKey):
        await verifier.verify(issue(KeyRing(RS)))
    assert world.fetches == 3


async def test_a_key_that_left_the_set_verifies_nothing_any_more() -> None:
    world = World(KeyRing(ES), "max-age=60")
    verifier, token = world.verifier(), issue(KeyRing(ES))
    assert (await verifier.verify(token)).jti == "q7"
    world.ring, world.now = KeyRing(ED), world.now + 61
    with pytest.raises(UnknownKey):
        await verifier.verify(token)


@pytest.mark.parametrize("fault", [OSError("down"), KeysUnavailable("503", retry_after=1), None])
async def test_stale_keys_bridge_an_outage_for_so_long(fault: Exception | None) -> None:
    world = World(KeyRing(ES), "max-age=60")
    verifier, token = world.verifier(stale_for=120, leeway=300), issue(KeyRing(ES))
    assert (await verifier.verify(token)).jti == "q7"
    world.fault, world.body = fault, b"<html>a proxy's error page</html>"
    for age in (60, 100, 179):
        world.now = NOW + age
        assert (await verifier.verify(token)).jti == "q7"
    world.now = NOW + 180
    with pytest.raises(KeysUnavailable) as outage:
        await verifier.verify(token)
    assert 1 <= outage.value.retry_after <= 30
    world.fault, world.body, world.now = None, None, NOW + 240
    assert (await verifier.verify(token)).jti == "q7"


async def test_an_outage_is_asked_about_at_a_bounded_rate() -> None:
    world = World(KeyRing(ES))
    world.fault = OSError("down")
    verifier, token = world.verifier(refetch_after=10), issue(KeyRing(ES))
    for second in range(100):
        world.now = NOW + second
        with pytest.raises(KeysUnavailable):
            await verifier.verify(token)
    assert world.fetches == 10


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 300),
        ("max-age=600", 600),
        ("public, max-age=600, must-revalidate", 600),
        ('MAX-AGE="600"', 600),
        ("s-maxage=60, max-age=600", 600),
        ("max-age=0", 30),
        ("max-age=99999999", 86400),
        ("max-age=-5", 300),
        ("max-age=1e9", 300),
        ("max-age=" + "9" * 400, 300),
        ("no-store", 30),
        ("no-cache, max-age=600", 30),
        ("x-max-age=600", 300),
    ],
)
def test_how_long_a_set_is_fresh(header: str, seconds: int) -> None:
    assert age_of(header) == seconds


@pytest.mark.parametrize(
    "url",
    ["http://auth.example.com/jwks", "ftp://x/y", "auth.example.com", "", "https://", "file:///x"],
)
def test_keys_come_over_https_only(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        JWTVerifier(ISSUER, AUDIENCE, jwks_url=url)


def test_keys_come_from_one_place() -> None:
    with pytest.raises(ValueError, match="either"):
        JWTVerifier(ISSUER, AUDIENCE)
    with pytest.raises(ValueError, match="either"):
        JWTVerifier(ISSUER, AUDIENCE, jwks_url=URL, jwks={"keys": []})
    with pytest.raises(ValueError, match="give the keys as jwks"):
        JWTVerifier(ISSUER, AUDIENCE, jwks_url=URL).verify_now("a.b.c")


# --- over a real socket ----------------------------------------------------------------------


@contextmanager
def serving(answer: bytes) -> Iterator[str]:
    """A server on this machine that gives *answer*, status line and all, to every request."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(answer)
            self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/jwks"
        finally:
            server.shutdown()
            thread.join()


def response(status: str, body: bytes, *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers])
    return head.encode() + b"\r\n\r\n" + body


async def test_keys_come_over_http() -> None:
    ring = KeyRing(ES)
    body = json.dumps(ring.jwks()).encode()
    with serving(response("200 OK", body, "Cache-Control: max-age=77")) as url:
        assert await fetch_over_http(url) == Fetched(body, "max-age=77")
        verifier = JWTVerifier(ISSUER, AUDIENCE, jwks_url=url, clock=lambda: NOW)
        assert (await verifier.verify(issue(ring))).jti == "q7"


@pytest.mark.parametrize(
    "answer",
    [
        response("500 Internal Server Error", b"{}"),
        response("404 Not Found", b"{}"),
        response("302 Found", b"", "Location: http://127.0.0.1:1/"),
        response("200 OK", b" " * (MAX_JWKS + 1)),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
        b"nonsense\r\n\r\n",
        b"",
    ],
    ids=["500", "404", "redirect", "too long", "cut off", "no HTTP", "closed"],
)
async def test_what_is_no_key_set_is_an_outage(answer: bytes) -> None:
    with serving(answer) as url:
        with pytest.raises(KeysUnavailable):
            await fetch_over_http(url)
        verifier = JWTVerifier(ISSUER, AUDIENCE, jwks_url=url, clock=lambda: NOW)
        with pytest.raises(KeysUnavailable):
            await verifier.verify(issue(KeyRing(ES)))


async def test_nobody_there_is_an_outage() -> None:
    with serving(b"") as url:
        pass
    with pytest.raises(KeysUnavailable):
        await fetch_over_http(url)
