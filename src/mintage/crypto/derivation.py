"""Derives keys, separates them by purpose, and refuses keys that can be guessed."""

import base64
import hashlib
from collections.abc import Iterable
from typing import Final, Literal, get_args, overload

from mintage.values import Secret

Purpose = Literal["sign", "seal", "client-id", "cookie", "index", "audit", "subject", "dpop"]

KEY_BYTES: Final = 32
PBKDF2_ITERATIONS: Final = 1_000_000

_ADVICE = (
    "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))' "
    "(or, with mintage[server]: mintage keys new)"
)

# Secrets from templates and tutorials, lower case, letters and digits only.
_PLACEHOLDERS: Final = frozenset(
    b"changeme changeit changethis replaceme secret mysecret mysecretkey secretkey supersecret "
    b"supersecretkey topsecret password passw0rd yoursecret yoursecretkey yoursecrethere "
    b"yoursecretkeyhere your256bitsecret yoursupersecretkey thisisasecret thisisasecretkey "
    b"placeholder example test todo xxxx 0123456789 1234567890 0123456789abcdef deadbeef "
    b"abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz123456 "
    b"abcdefghijklmnopqrstuvwxyz0123456789 yoursecretkeyatleast32byteslong "
    b"asecretofatleast32bytes changemetoarandomsecret changemeinproduction "
    b"youwillneverguessthissecretkey thisisaverysecretkeydontshareit".split()
)


@overload
def derive_jwt_key(*, high_entropy_material: str, salt: str) -> bytes: ...
@overload
def derive_jwt_key(*, low_entropy_material: str, salt: str) -> bytes: ...
def derive_jwt_key(
    *,
    high_entropy_material: str | None = None,
    low_entropy_material: str | None = None,
    salt: str,
) -> bytes:
    """An HS256 signing key. The same arguments always give the same key, which is FastMCP's too.

    Give exactly one kind of material.

    Args:
        high_entropy_material: A random string or a client secret. It goes through HKDF-SHA256
            (RFC 5869).
        low_entropy_material: A passphrase of a person. It goes through a million rounds of PBKDF2
            (RFC 8018), which takes a noticeable part of a second.
        salt: Any text. Another salt gives another key.

    Returns:
        44 bytes: the base64url of 32.

    Raises:
        ValueError: None or both are given, or the material is empty or one character repeated, so
            that anybody could compute the key.
    """
    if high_entropy_material is not None and low_entropy_material is None:
        material, derive = high_entropy_material, _hkdf
    elif low_entropy_material is not None and high_entropy_material is None:
        material, derive = low_entropy_material, _pbkdf2
    else:
        raise ValueError("give either high_entropy_material or low_entropy_material")
    if len(set(material)) <= 1:
        raise ValueError(f"the key material is empty or one character repeated; {_ADVICE}")
    return base64.urlsafe_b64encode(derive(material.encode(), salt.encode()))


def check_secret(material: bytes) -> None:
    """Raises ``ValueError``, with a sentence on how to make a good one, if *material* is weak.

    Weak means: empty, under 32 bytes, one byte repeated, or known from templates. It can't tell
    whether the rest is random.
    """
    if not material:
        raise ValueError(f"the secret is empty; {_ADVICE}")
    if len(material) < KEY_BYTES:
        raise ValueError(f"the secret is shorter than {KEY_BYTES} bytes; {_ADVICE}")
    if len(set(material)) == 1:
        raise ValueError(f"the secret is one byte repeated; {_ADVICE}")
    if _is_placeholder(material):
        raise ValueError(f"the secret is a well-known placeholder; {_ADVICE}")


def check_signing_key(key: bytes) -> None:
    """Raises ``ValueError`` unless *key* can be an HS256 key (RFC 7518 §3.2: 256 bits or more)."""
    if not isinstance(key, bytes) or len(key) < KEY_BYTES or len(set(key)) == 1:
        raise ValueError(
            f"a signing key is at least {KEY_BYTES} bytes, not all the same; "
            "make one with derive_jwt_key(high_entropy_material=…, salt=…)"
        )


def purpose_key(root: Secret, purpose: Purpose) -> bytes:
    """The 32-byte key that *root* gives for one *purpose*. Other keys give no hint of it."""
    if purpose not in get_args(Purpose):
        raise ValueError(f"no such purpose: {purpose}")
    return _expanded(root.reveal(), None, b"mintage key: " + purpose.encode())


def purpose_keys(roots: Iterable[Secret], purpose: Purpose) -> tuple[bytes, ...]:
    """The `purpose_key` of each of *roots*, in order: the one in use, then former ones."""
    return tuple(purpose_key(root, purpose) for root in roots)


def _hkdf(material: bytes, salt: bytes) -> bytes:
    # The info is FastMCP's, so that both derive the same keys from the same arguments.
    return _expanded(material, salt, b"Fernet")


def _expanded(material: bytes, salt: bytes | None, info: bytes) -> bytes:
    # Loaded only here: an HS256 issuer that is given its key does without a library of this size.
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(material)


def _pbkdf2(material: bytes, salt: bytes) -> bytes:
    # The standard library's, which lets other threads run; cryptography's does so from 50 on.
    return hashlib.pbkdf2_hmac("sha256", material, salt, PBKDF2_ITERATIONS)


def _is_placeholder(material: bytes) -> bool:
    """Whether *material* is a placeholder, once or several times in a row.

    Random bytes never are, even if a few letters among them spell a word.
    """
    if not (material.isascii() and material.strip().decode().isprintable()):
        return False
    plain = bytes(byte for byte in material.lower() if chr(byte).isalnum())
    return any(_repeats(plain, word) for word in _PLACEHOLDERS)


def _repeats(text: bytes, word: bytes) -> bool:
    return text != b"" and text == (word * (len(text) // len(word) + 1))[: len(text)]
