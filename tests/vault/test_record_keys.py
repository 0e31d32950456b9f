"""The key of a record comes from the server's key and the grant's secret by HKDF (RFC 5869)."""

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mintage.crypto.sealing import record_key


@pytest.mark.parametrize("size", [1, 16, 32, 64, 65])
def test_it_is_hkdf(size: int) -> None:
    seal_key, secret = bytes(range(32)), bytes(range(100, 100 + size))
    standard = HKDF(algorithm=SHA256(), length=32, salt=secret, info=b"mintage record")
    assert record_key(seal_key, secret) == standard.derive(seal_key)
