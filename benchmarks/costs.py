"""What a token kernel must not cost: importing it, refusing, and the oddest of inputs."""

import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from benchmarks.aims import Aim, tell
from benchmarks.timing import interleaved, machine
from mintage.errors import TokenError
from mintage.jwt import jws
from mintage.jwt_issuer import JWTIssuer, KeyRing, TokenKey

IMPORT_MOST: Final = 42  # milliseconds
ISSUER, AUDIENCE = "https://auth.example.com", "https://auth.example.com/mcp"

CPU = """
import resource, sys
def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
before = cpu()
exec(sys.argv[1])
print(cpu() - before)
"""
IMPORTS = {
    "Mintage": "from mintage import JWTIssuer",
    "FastMCP": "from fastmcp.server.auth.jwt_issuer import JWTIssuer",
}
ODD = {
    "brackets": b"[" * 12_000,
    "nested objects": b'{"a":' * 2_400,
    "escapes": b'{"iss":"' + b"\\u0061" * 2_000,
    "quotes": b'"' * 12_000,
    "digits": b"9" * 12_000,
    "spaces": b" " * 12_000,
    "one long name": b'{"' + b"a" * 12_000,
    "many members": b'{"a":1,' * 1_700,
}


def keys() -> dict[str, TokenKey]:
    def pem(
        key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey,
    ) -> bytes:
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    return {
        "HS256": TokenKey.hs256(bytes(range(32))),
        "ES256": TokenKey.from_pem(pem(ec.generate_private_key(ec.SECP256R1()))),
        "EdDSA": TokenKey.from_pem(pem(ed25519.Ed25519PrivateKey.generate())),
        "RS256": TokenKey.from_pem(pem(rsa.generate_private_key(65537, 2048))),
    }


def tried(issuer: JWTIssuer, token: str) -> Callable[[], None]:
    """Verify and catch: the same frame around what is accepted and what is refused."""

    def attempt() -> None:
        try:
            issuer.verify(token)
        except TokenError:
            return

    return attempt


def refusals() -> None:
    print("| | accept | bad signature | bad payload | foreign header |\n|---|---:|---:|---:|---:|")
    for name, key in keys().items():
        issuer = JWTIssuer(ISSUER, AUDIENCE, KeyRing(key))
        token = issuer.issue_access_token("ide", ["read"], "q7", subject="alice")
        first, last = token.index(".") + 60, token.rindex(".") + 1
        flipped = [
            token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
            for at in (last, first)
        ]
        foreign = "eyJhbGciOiJub25lIn0" + token[token.index(".") :]
        times = interleaved(
            {text: tried(issuer, text) for text in (token, *flipped, foreign)}, rounds=20
        )
        print(f"| {name}, µs | " + " | ".join(f"{t:.1f}" for t in times.values()) + " |")


def odd_inputs() -> None:
    ring = KeyRing(TokenKey.hs256(bytes(range(32))))
    header, signer = ring.signing(refresh=False)
    issuer = JWTIssuer(ISSUER, AUDIENCE, ring)
    tokens = {
        name: jws.sign(payload, header=header, signer=signer) for name, payload in ODD.items()
    }
    times = interleaved({name: tried(issuer, token) for name, token in tokens.items()}, rounds=10)
    print("| payload, properly signed | µs | µs for each character |\n|---|---:|---:|")
    for name, microseconds in times.items():
        print(f"| {name} | {microseconds:.0f} | {microseconds / len(tokens[name]):.3f} |")


def imports() -> None:
    print("| import of the issuer | CPU ms on top of Python's start |\n|---|---:|")
    for name, statement in IMPORTS.items():
        runs = [
            subprocess.run(  # noqa: S603
                [sys.executable, "-c", CPU, statement], capture_output=True, text=True, check=False
            )
            for _ in range(5)
        ]
        good = [float(run.stdout) for run in runs if run.returncode == 0]
        if not good:
            print(f"| {name} | – |")
            continue
        milliseconds = statistics.median(good) * 1000
        print(f"| {name} | {milliseconds:.0f} |")
        if name == "Mintage":
            tell(Aim("import of the issuer, CPU", milliseconds, IMPORT_MOST, "ms", at_most=True))


def main() -> None:
    print(f"What it must not cost ({machine()})\n")
    imports()
    print()
    refusals()
    print()
    odd_inputs()


if __name__ == "__main__":
    main()
