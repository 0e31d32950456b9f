"""`JWTVerifier` with a status list: what is revoked is refused, and an outage is no refusal."""

import json
import zlib
from typing import Any

import pytest

from mintage.crypto.base64url import encode_text
from mintage.errors import BadStatus, ExpiredToken, RevokedToken, StatusUnavailable
from mintage.jwt.jws import sign
from mintage.jwt.keyring import KeyRing
from mintage.jwt.status_list import STATUS_LIST
from mintage.jwt.verifier import Fetched, JWTVerifier
from mintage.jwt_issuer import JWTIssuer
from tests.support.forge import AUDIENCE, ISSUER, KEYS, NOW

JWKS = f"{ISSUER}/jwks"
URI = f"{ISSUER}/status-list"
OURS = KeyRing(KEYS["ES256"])
BITS = 8192


def signed_list(ring: KeyRing = OURS, *, typ: str = STATUS_LIST, **claims: Any) -> str:
    """A list as the issuer could sign it, with *claims* among its own; None leaves one out."""
    bits = claims.pop("bits", bytes(BITS // 8))
    lst = claims.pop("lst", encode_text(zlib.compress(bits)))
    payload = {
        "iss": ISSUER,
        "sub": URI,
        "iat": NOW,
        "exp": NOW + 60,
        "ttl": 3,
        "status_list": {"bits": 1, "lst": lst},
    } | claims
    body = json.dumps({name: value for name, value in payload.items() if value is not None})
    assert ring.active.signer is not None
    return sign(body.encode(), header=ring.active.header(typ), signer=ring.active.signer)


def with_bit(idx: int) -> bytes:
    bits = bytearray(BITS // 8)
    bits[idx // 8] |= 1 << idx % 8
    return bytes(bits)


class World:
    """An issuer that serves its keys and a list, with a clock and counts of the fetches."""

    def __init__(self) -> None:
        self.now = float(NOW)
        self.list: str | Exception = signed_list()
        self.fetched: list[str] = []
        self.verifier = JWTVerifier(
            ISSUER,
            AUDIENCE,
            jwks_url=JWKS,
            status_list=URI,
            fetch=self.fetch,
            clock=lambda: self.now,
        )

    async def fetch(self, url: str) -> Fetched:
        self.fetched.append(url)
        if url == JWKS:
            return Fetched(json.dumps(OURS.jwks()).encode(), "max-age=3600")
        if isinstance(self.list, Exception):
            raise self.list
        return Fetched(self.list.encode())

    @property
    def list_fetches(self) -> int:
        return self.fetched.count(URI)


def token(idx: object = 7, *, uri: object = URI, status: Any = ...) -> str:
    if status is ...:
        status = {"status_list": {"idx": idx, "uri": uri}}
    issuer = JWTIssuer(ISSUER, AUDIENCE, OURS, clock=lambda: NOW)
    extra = None if status is None else {"status": status}
    return issuer.issue_access_token(
        "ide", ["read"], "q7", 600, subject="alice", extra_claims=extra
    )


@pytest.fixture
def world() -> World:
    return World()


async def settled(world: World) -> None:
    """What runs in the background is over."""
    source = world.verifier._status
    assert source is not None
    if source._flight is not None:
        await source._flight


async def test_a_revoked_token_is_refused_within_five_seconds(world: World) -> None:
    """And nothing is asked while the list is fresh, however many tokens come."""
    for _ in range(100):
        assert (await world.verifier.verify(token())).sub == "alice"
    assert world.list_fetches == 1
    world.now += 1
    world.list = signed_list(bits=with_bit(7), iat=NOW + 1, exp=NOW + 61)
    world.now += 3
    with pytest.raises(RevokedToken):
        await world.verifier.verify(token())
    assert (await world.verifier.verify(token(8))).sub == "alice"
    assert world.list_fetches == 2


async def test_a_busy_verifier_never_waits(world: World) -> None:
    """A new list is fetched in the background in the second half of the time of the one in use."""
    await world.verifier.verify(token())
    world.now += 2
    world.list = signed_list(bits=with_bit(7), iat=NOW + 2, exp=NOW + 62)
    await world.verifier.verify(token())  # by the list in use
    await settled(world)
    with pytest.raises(RevokedToken):
        await world.verifier.verify(token())


async def test_a_list_that_cant_be_had_is_no_refusal(world: World) -> None:
    """For half a minute the last one is used; then nothing is known, and no token is refused."""
    await world.verifier.verify(token())
    world.list = OSError("no route")
    world.now += 32
    await world.verifier.verify(token())
    world.now += 1
    with pytest.raises(StatusUnavailable, match="no route") as caught:
        await world.verifier.verify(token())
    assert caught.value.retry_after == 1
    world.list = signed_list(iat=NOW + 33, exp=NOW + 93)
    world.now += 1
    await world.verifier.verify(token())


async def test_an_outage_is_not_asked_at_each_request(world: World) -> None:
    world.list = OSError("no route")
    for _ in range(20):
        with pytest.raises(StatusUnavailable):
            await world.verifier.verify(token())
    assert world.list_fetches == 1


async def test_a_bad_token_makes_nobody_fetch_a_list(world: World) -> None:
    world.now = NOW + 700
    with pytest.raises(ExpiredToken):
        await world.verifier.verify(token())
    assert world.list_fetches == 0


async def test_verify_now_has_no_list(world: World) -> None:
    verifier = JWTVerifier(ISSUER, AUDIENCE, jwks=OURS.jwks(), status_list=URI, fetch=world.fetch)
    with pytest.raises(ValueError, match="no status_list"):
        verifier.verify_now(token())


@pytest.mark.parametrize("url", ["http://auth.example.com/status-list", "status-list", ""])
def test_the_address_of_the_list_is_https(url: str, world: World) -> None:
    with pytest.raises(ValueError, match="status_list is an https URL"):
        JWTVerifier(ISSUER, AUDIENCE, jwks=OURS.jwks(), status_list=url, fetch=world.fetch)


FORGED = {
    "by another key": signed_list(KeyRing(KEYS["RS256"])),
    "an access token": signed_list(typ="at+jwt"),
    "of the type JWT": signed_list(typ="JWT"),
    "not signed": signed_list().rpartition(".")[0] + ".",
    "other bits under the signature": ".".join(
        [
            signed_list().split(".")[0],
            signed_list(bits=with_bit(9)).split(".")[1],
            signed_list().split(".")[2],
        ]
    ),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_attack_f80_a_forged_list_is_not_taken(forged: str, world: World) -> None:
    world.list = forged
    with pytest.raises(StatusUnavailable):
        await world.verifier.verify(token())


ANOTHERS = {
    "of another issuer": {"iss": "https://evil.example"},
    "from another address": {"sub": f"{ISSUER}/other-list"},
    "that does not say whose it is": {"iss": None},
    "that does not say from where it is": {"sub": None},
    "without an end": {"exp": None},
    "with two bits for a token": {"status_list": {"bits": 2, "lst": "eNoDAAAAAAE"}},
}


@pytest.mark.parametrize("claims", ANOTHERS.values(), ids=ANOTHERS)
async def test_attack_f80_a_list_of_another_issuer_or_address_is_not_taken(
    claims: dict[str, Any], world: World
) -> None:
    world.list = signed_list(**claims)
    with pytest.raises(StatusUnavailable):
        await world.verifier.verify(token())


async def test_attack_f80_an_older_list_does_not_replace_a_newer_one(world: World) -> None:
    """An old list, which has not ended, does not bring a revoked token back."""
    old = signed_list()
    world.list = signed_list(bits=with_bit(7), iat=NOW + 1, exp=NOW + 61)
    with pytest.raises(RevokedToken):
        await world.verifier.verify(token())
    world.list = old
    world.now += 20
    with pytest.raises(RevokedToken):
        await world.verifier.verify(token())
    world.now += 15
    with pytest.raises(StatusUnavailable, match="it is too old"):
        await world.verifier.verify(token())


async def test_attack_f80_a_verifier_that_starts_takes_no_list_older_than_the_grace(
    world: World,
) -> None:
    world.now += 36
    with pytest.raises(StatusUnavailable, match="it is too old"):
        await world.verifier.verify(token())


async def test_attack_f80_a_list_of_the_future_is_not_taken(world: World) -> None:
    """It would keep every later list out."""
    world.list = signed_list(iat=NOW + 3600, exp=NOW + 7200)
    with pytest.raises(StatusUnavailable, match="in the future"):
        await world.verifier.verify(token())


ELSEWHERE = {
    "another list": token(uri="https://evil.example/status-list"),
    "another spelling of the list": token(uri=URI + "/"),
    "no status": token(status=None),
    "no list in it": token(status={}),
    "no number": token(None),
    "a number as text": token("7"),
    "a number that is true": token(idx=True),
    "a negative number": token(-1),
    "a number beyond the list": token(BITS),
    "a huge number": token(2**53),
}


@pytest.mark.parametrize("elsewhere", ELSEWHERE.values(), ids=ELSEWHERE)
async def test_attack_f81_a_token_that_names_no_place_in_this_list_is_refused(
    elsewhere: str, world: World
) -> None:
    """No address that a token names is fetched."""
    with pytest.raises(BadStatus):
        await world.verifier.verify(elsewhere)
    assert set(world.fetched) == {JWKS, URI}


BOMBS = {
    "a gigabyte of zeros": encode_text(zlib.compress(bytes(64 * 1024 * 1024), 9)),
    "cut off": encode_text(zlib.compress(bytes(4096))[:-6]),
    "with more behind it": encode_text(zlib.compress(bytes(1024)) + b"more"),
    "not compressed": encode_text(bytes(1024)),
    "no base64url": "!!!!",
}


@pytest.mark.parametrize("lst", BOMBS.values(), ids=BOMBS)
async def test_attack_f82_a_compressed_bomb_is_not_expanded(lst: str, world: World) -> None:
    world.list = signed_list(lst=lst)
    with pytest.raises(StatusUnavailable, match="lst"):
        await world.verifier.verify(token())
