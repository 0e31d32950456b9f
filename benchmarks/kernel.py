"""What a token costs: ``python benchmarks/kernel.py [seconds]``.

Everything is measured in one process, in turns, so that what else the machine does falls on
all alike; the median turn counts. Absolute times are this machine's, ratios carry further.
A peer that is not installed is left out, and named.
"""

import hashlib
import importlib
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from benchmarks.aims import Aim, tell
from mintage.jwt_issuer import JWTIssuer, KeyRing, TokenKey, derive_jwt_key

Work = Callable[[], object]

ISSUER, AUDIENCE = "https://auth.example.com", "https://auth.example.com/mcp"
KEY = derive_jwt_key(high_entropy_material="test-secret", salt="test-salt")
CLIENT, SCOPES, JTI = "mcp-client-7f3a9c", ["read", "write"], "q7Zk1v0Xc3Nf8RtYp2LmAw5sBdEh"
TURN = 0.002  # seconds that one turn of one case takes, about


@dataclass
class Case:
    """One thing that is measured. *target* is how many times faster than *base* it should be."""

    name: str
    work: Work
    base: str | None = None
    target: str = ""
    median: float = 0.0


def refusing(work: Callable[[str], object], token: str) -> Work:
    """Verify *token*, which is bad, and take the exception as a server does."""

    def refuse() -> None:
        try:
            work(token)
        except Exception:  # noqa: BLE001 - each library has its own
            return
        raise AssertionError("a bad token was accepted")

    refuse()
    return refuse


def claims_now() -> dict[str, Any]:
    now = int(time.time())
    return {"iss": ISSUER, "aud": AUDIENCE, "client_id": CLIENT, "scope": " ".join(SCOPES),
            "exp": now + 3600, "iat": now, "jti": JTI}  # fmt: skip


def module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed here and is left out")
        return None


def symmetric() -> Iterator[Case]:
    ours = JWTIssuer(ISSUER, AUDIENCE, KEY)
    token = ours.issue_access_token(CLIENT, SCOPES, JTI)
    data = token.encode()
    bad = token[:-3] + ("AAE" if token[-3:] != "AAE" else "AAI")
    foreign = "eyJhbGciOiJub25lIn0" + token[token.index(".") :]
    fastmcp = module("fastmcp.server.auth.jwt_issuer")
    if fastmcp is not None:
        theirs = fastmcp.JWTIssuer(ISSUER, AUDIENCE, KEY)
        yield Case("issue: FastMCP", lambda: theirs.issue_access_token(CLIENT, SCOPES, JTI))
        yield Case("verify: FastMCP", lambda: theirs.verify_token(token))
        yield Case("bad signature: FastMCP", refusing(theirs.verify_token, bad))
        yield Case("foreign header: FastMCP", refusing(theirs.verify_token, foreign))
    yield from libraries(token)
    yield Case("issue: mintage", lambda: ours.issue_access_token(CLIENT, SCOPES, JTI),
               "issue: FastMCP", "9")  # fmt: skip
    yield Case("verify: mintage verify (typed)", lambda: ours.verify(token), "verify: FastMCP", "9")
    yield Case("verify: mintage verify_token (dict)", lambda: ours.verify_token(token),
               "verify: FastMCP", "9")  # fmt: skip
    yield Case("bad signature: mintage", refusing(ours.verify, bad), "bad signature: FastMCP", "10")
    yield Case("foreign header: mintage", refusing(ours.verify, foreign),
               "foreign header: FastMCP", "40")  # fmt: skip
    keys = [bytes([n]) + KEY for n in range(64)]
    ring = JWTIssuer(ISSUER, AUDIENCE, KeyRing(keys[-1], keys[:-1]))
    one = JWTIssuer(ISSUER, AUDIENCE, KeyRing(keys[-1]))
    named = one.issue_access_token(CLIENT, SCOPES, JTI)
    yield Case("issue: 1 key on a ring", lambda: one.issue_access_token(CLIENT, SCOPES, JTI))
    yield Case("issue: 64 keys on a ring", lambda: ring.issue_access_token(CLIENT, SCOPES, JTI),
               "issue: 1 key on a ring", "0.95")  # fmt: skip
    yield Case("verify: 1 key on a ring", lambda: one.verify(named))
    yield Case("verify: 64 keys on a ring", lambda: ring.verify(named),
               "verify: 1 key on a ring", "0.95")  # fmt: skip
    digest = hashlib.sha256(data).digest()
    yield Case("floor: two SHA-256 passes",
               lambda: (hashlib.sha256(data), hashlib.sha256(digest)),
               "verify: mintage verify (typed)")  # fmt: skip


def libraries(token: str) -> Iterator[Case]:
    """The other libraries, each with its key prepared where it can be."""
    if pyjwt := module("jwt"):
        yield Case("issue: PyJWT", lambda: pyjwt.encode(claims_now(), KEY, algorithm="HS256"),
                   "issue: mintage", "0.1")  # fmt: skip
        yield Case("verify: PyJWT", lambda: pyjwt.decode(
            token, KEY, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER),
            "verify: mintage verify (typed)", "0.067")  # fmt: skip
    if joserfc := module("joserfc.jwt"):
        key = importlib.import_module("joserfc.jwk").import_key(KEY, "oct")
        header = {"alg": "HS256", "typ": "JWT"}
        registry = joserfc.JWTClaimsRegistry(
            iss={"essential": True, "value": ISSUER}, aud={"essential": True, "value": AUDIENCE}
        )
        yield Case("issue: joserfc", lambda: joserfc.encode(header, claims_now(), key),
                   "issue: mintage")  # fmt: skip
        yield Case("verify: joserfc", lambda: registry.validate(
            joserfc.decode(token, key, algorithms=["HS256"]).claims),
            "verify: mintage verify (typed)")  # fmt: skip
    if oxyjwt := module("oxyjwt"):
        encoding = oxyjwt.EncodingKey.from_secret(KEY)
        decoding = oxyjwt.DecodingKey.from_secret(KEY)
        yield Case("issue: oxyjwt (Rust)", lambda: oxyjwt.encode(claims_now(), encoding),
                   "issue: mintage")  # fmt: skip
        yield Case("verify: oxyjwt (Rust)", lambda: oxyjwt.decode(
            token, decoding, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER),
            "verify: mintage verify (typed)", "0.91")  # fmt: skip
    if jwtoxide := module("jwtoxide"):
        encoding2 = jwtoxide.EncodingKey.from_secret(KEY)
        decoding2 = jwtoxide.DecodingKey.from_secret(KEY)
        options = jwtoxide.ValidationOptions(
            aud={AUDIENCE},
            iss={ISSUER},
            required_spec_claims={"exp"},
            validate_nbf=False,
            algorithms=["HS256"],
        )
        yield Case("issue: jwtoxide (Rust)", lambda: jwtoxide.encode(claims_now(), encoding2),
                   "issue: mintage")  # fmt: skip
        yield Case("verify: jwtoxide (Rust)", lambda: jwtoxide.decode(token, decoding2, options),
                   "verify: mintage verify (typed)", "0.91")  # fmt: skip
    if ryjwt := module("ryjwt"):  # Python 3.12 and later
        secret = ryjwt.SecretKey(KEY, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)
        yield Case("issue: ryjwt (Rust)", lambda: secret.encode(claims_now()), "issue: mintage")
        yield Case("verify: ryjwt (Rust)", lambda: secret.decode(token),
                   "verify: mintage verify (typed)")  # fmt: skip


def asymmetric() -> Iterator[Case]:
    """Against the bare signature operation of ``cryptography`` over the same bytes."""
    data = b"x" * 340
    for name, private, mode, shares in raw_keys():
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        issuer = JWTIssuer(ISSUER, AUDIENCE, KeyRing(TokenKey.from_pem(pem)))

        issue = partial(issuer.issue_access_token, CLIENT, SCOPES, JTI, subject="alice")
        token, public, signature = issue(), private.public_key(), private.sign(data, *mode)
        yield Case(f"issue: {name} signature alone", partial(private.sign, data, *mode))
        yield Case(f"issue: {name}", issue, f"issue: {name} signature alone", shares[0])
        bare = partial(public.verify, signature, data, *mode)
        yield Case(f"verify: {name} signature alone", bare)
        work = partial(issuer.verify, token)
        yield Case(f"verify: {name}", work, f"verify: {name} signature alone", shares[1])


def raw_keys() -> Iterator[tuple[str, Any, tuple[Any, ...], tuple[str, str]]]:
    """(name, key, arguments of sign and verify, (target share to issue, to verify))."""
    yield "ES256", ec.generate_private_key(ec.SECP256R1()), (ec.ECDSA(hashes.SHA256()),), (
        "0.85", "0.90")  # fmt: skip
    yield "EdDSA", ed25519.Ed25519PrivateKey.generate(), (), ("0.85", "0.90")
    yield "RS256", rsa.generate_private_key(public_exponent=65537, key_size=2048), (
        padding.PKCS1v15(), hashes.SHA256()), ("", "0.75")  # fmt: skip


def measure(cases: list[Case], seconds: float) -> None:
    """Fill in the medians. Every case has a turn in every round."""
    repeats = [max(1, round(TURN / once(case.work))) for case in cases]
    turns: list[list[float]] = [[] for _ in cases]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(turns[0]) < 5:
        for case, count, times in zip(cases, repeats, turns, strict=True):
            started = time.perf_counter()
            for _ in range(count):
                case.work()
            times.append((time.perf_counter() - started) / count)
    for case, times in zip(cases, turns, strict=True):
        case.median = statistics.median(times)


def once(work: Work) -> float:
    work()
    started = time.perf_counter()
    for _ in range(5):
        work()
    return (time.perf_counter() - started) / 5


def report(cases: list[Case]) -> None:
    by_name = {case.name: case for case in cases}
    print(f"\n{platform.python_implementation()} {platform.python_version()}, {platform.machine()}")
    print(f"\n| {'':38} | {'µs':>8} | {'speed, in units of':44} | aim |")
    print(f"|{'-' * 40}|{'-' * 9}:|{'-' * 46}|-----|")
    for case in cases:
        base = by_name.get(case.base or "")
        ratio = f"{base.median / case.median:.2f} x {base.name}" if base else ""
        print(f"| {case.name:38} | {case.median * 1e6:8.2f} | {ratio:44} | {case.target:3} |")
        if base and case.target:
            what = f"{case.name}, against {base.name}"
            # A peer may have at most so much of our speed.
            aim = float(case.target)
            tell(Aim(what, base.median / case.median, aim, at_most="mintage" in base.name))


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    for cases in (list(symmetric()), list(asymmetric())):
        measure(cases, seconds)
        report(cases)


if __name__ == "__main__":
    main()
