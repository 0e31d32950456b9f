"""Issuing and verifying one token: us, and what a Python user could take instead.

HS256, a token of some 340 bytes, no cache of verified tokens.
"""

import logging
import time
from collections.abc import Callable

import jwt as pyjwt
from joserfc import jwk
from joserfc import jwt as joserfc_jwt

from benchmarks.timing import interleaved, machine
from mintage.jwt_issuer import JWTIssuer, derive_jwt_key

ISSUER, AUDIENCE = "https://auth.example.com", "https://auth.example.com/mcp"
KEY = derive_jwt_key(high_entropy_material="a-high-entropy-secret", salt="benchmark")
CLIENT, SCOPES, JTI = "mc1." + "c" * 60, ["read", "write"], "j" * 28


def refused(call: Callable[[], object]) -> Callable[[], None]:
    """*call*, which has to raise."""

    def wrapped() -> None:
        try:
            call()
        except Exception:  # noqa: BLE001  (each library has its own)
            return
        raise AssertionError("not refused")

    return wrapped


def subjects() -> tuple[dict[str, Callable[[], object]], dict[str, str]]:
    """What is timed, and for each who it is measured against."""
    logging.disable(logging.CRITICAL)
    ours = JWTIssuer(ISSUER, AUDIENCE, KEY)
    token = ours.issue_access_token(CLIENT, SCOPES, JTI)
    forged = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    foreign = "eyJhbGciOiJub25lIn0" + token[token.index(".") :]
    now = int(time.time())
    payload = {
        "iss": ISSUER, "aud": AUDIENCE, "client_id": CLIENT, "scope": "read write",
        "exp": now + 3600, "iat": now, "jti": JTI,
    }  # fmt: skip
    key = jwk.import_key(KEY, "oct")
    calls: dict[str, Callable[[], object]] = {
        "issue: Mintage": lambda: ours.issue_access_token(CLIENT, SCOPES, JTI),
        "issue: PyJWT": lambda: pyjwt.encode(payload, KEY, algorithm="HS256"),
        "issue: joserfc": lambda: joserfc_jwt.encode({"alg": "HS256"}, payload, key),
        "verify: Mintage": lambda: ours.verify_token(token),
        "verify: PyJWT": lambda: pyjwt.decode(
            token, KEY, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER
        ),
        "verify: joserfc, signature only": lambda: joserfc_jwt.decode(token, key, ["HS256"]),
        "refuse a bad signature: Mintage": refused(lambda: ours.verify_token(forged)),
        "refuse a foreign header: Mintage": refused(lambda: ours.verify_token(foreign)),
    }
    try:
        from fastmcp.server.auth.jwt_issuer import JWTIssuer as Theirs
    except ImportError as error:
        print(f"FastMCP is left out: {error}")
    else:
        theirs = Theirs(ISSUER, AUDIENCE, KEY)
        assert theirs.verify_token(token)["jti"] == JTI
        calls |= {
            "issue: FastMCP": lambda: theirs.issue_access_token(CLIENT, SCOPES, JTI),
            "verify: FastMCP": lambda: theirs.verify_token(token),
            "refuse a bad signature: FastMCP": refused(lambda: theirs.verify_token(forged)),
            "refuse a foreign header: FastMCP": refused(lambda: theirs.verify_token(foreign)),
        }
    return calls, {name: name.partition(":")[0] + ": FastMCP" for name in calls}


def main() -> None:
    calls, against = subjects()
    times = interleaved(calls)
    print(f"Issuing and verifying one token ({machine()})")
    print("| | µs | × FastMCP |\n|---|---:|---:|")
    for name in sorted(times):
        peer = times.get(against[name])
        print(f"| {name} | {times[name]:.1f} | {peer / times[name]:.1f} |" if peer else name)


if __name__ == "__main__":
    main()
