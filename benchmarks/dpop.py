"""What a DPoP proof costs: ``python -m benchmarks.dpop [rounds]``.

A proof is verified against the bare ES256 verification of ``cryptography`` over the same bytes, in
turns in one process. The aim is 1.3 times that, with the key known from an earlier proof: a client
sends the same header each time. Proofs differ in their ``jti``, and are remembered as by a
resource.
"""

import sys
import uuid
from collections.abc import Callable
from itertools import cycle

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from benchmarks.aims import Aim, tell
from benchmarks.timing import interleaved, machine
from mintage.crypto.base64url import encode_text
from mintage.dpop.proofs import Proofs, hash_of
from mintage.dpop.replays import Replays
from mintage.jwt.asymmetric import public_jwk, signer

AIM = 1.3
NOW = 1_800_000_000
URI = "https://gateway.example.com/mcp"
TOKEN = "eyJ" + "x" * 340 + ".sig"
BASE, KNOWN = "bare ES256 verification", "a proof, its key known"


def proof(key: ec.EllipticCurvePrivateKey) -> bytes:
    head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public_jwk(key.public_key())}
    claims = {
        "jti": str(uuid.uuid4()), "htm": "POST", "htu": URI, "iat": NOW, "ath": hash_of(TOKEN),
    }  # fmt: skip
    data = ".".join(encode_text(msgspec.json.encode(part)) for part in (head, claims)).encode()
    return data + b"." + signer(key).sign(data)


def subjects() -> dict[str, Callable[[], object]]:
    key = ec.generate_private_key(ec.SECP256R1())
    many = [proof(key) for _ in range(256)]
    scheme, public = ec.ECDSA(SHA256()), key.public_key()
    # As many different ones: the same signature again and again would verify faster.
    datas = [one.rpartition(b".")[0] for one in many]
    bare = cycle([(key.sign(data, scheme), data) for data in datas])
    proofs, replays, sent = Proofs(), Replays(), cycle(many)

    def verify(reader: Proofs) -> None:
        read = reader.read([next(sent)], method="POST", uri=URI, now=NOW, access_token=TOKEN)
        replays.is_first(read, now=NOW)

    return {
        BASE: lambda: public.verify(*next(bare), scheme),
        KNOWN: lambda: verify(proofs),
        "a proof, its key new": lambda: verify(Proofs()),
    }


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(machine())
    found = interleaved(subjects(), rounds=rounds, seconds=0.001)
    for name, micros in found.items():
        aim = f"   (aim {AIM})" if name == KNOWN else ""
        print(f"{name:28} {micros:8.1f} µs   {micros / found[BASE]:.2f} x{aim}")
    tell(Aim(f"DPoP: {KNOWN}, against {BASE}", found[KNOWN] / found[BASE], AIM, at_most=True))


if __name__ == "__main__":
    main()
