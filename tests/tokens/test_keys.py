from typing import get_args

import pytest

from mintage.crypto.derivation import Purpose, check_secret, derive_jwt_key, purpose_key
from mintage.values import Secret


def test_high_entropy_material_gives_the_known_key() -> None:
    key = derive_jwt_key(high_entropy_material="test-secret", salt="test-salt")
    assert key == b"kSKidu851zDPlmn00JCg3o4zFvBQUoV7k98a9xdDPmY="


def test_low_entropy_material_gives_the_known_key() -> None:
    key = derive_jwt_key(low_entropy_material="test-secret", salt="test-salt")
    assert key == b"8VK4pSbUkQSaiVeSkCmd-W3Lzs2PYqRUBCP3j0Ve2Yg="


def test_the_salt_changes_the_key() -> None:
    one, other = (derive_jwt_key(high_entropy_material="secret!", salt=salt) for salt in "ab")
    assert one != other


def test_both_materials_or_none_is_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"^give either high_entropy_material or low_entropy_material$"
    ):
        derive_jwt_key(high_entropy_material="a-b", low_entropy_material="c-d", salt="s")  # type: ignore[call-overload]
    with pytest.raises(
        ValueError, match=r"^give either high_entropy_material or low_entropy_material$"
    ):
        derive_jwt_key(salt="s")  # type: ignore[call-overload]


def test_material_of_two_characters_is_material() -> None:
    assert len(derive_jwt_key(high_entropy_material="abababab", salt="s")) == 44


@pytest.mark.parametrize("material", ["", "a", "aaaaaaaa", "\0" * 64])
def test_material_that_anybody_could_guess_is_refused(material: str) -> None:
    with pytest.raises(ValueError, match="make one with"):
        derive_jwt_key(high_entropy_material=material, salt="s")
    with pytest.raises(ValueError, match="make one with"):
        derive_jwt_key(low_entropy_material=material, salt="s")


@pytest.mark.parametrize(
    ("material", "why"),
    [
        (b"", "empty"),
        (b"horse battery", "shorter than 32"),
        (bytes(range(31)), "shorter than 32"),
        (b"\0" * 32, "one byte repeated"),
        (b"x" * 64, "one byte repeated"),
        (b"changeme" * 4, "placeholder"),
        (b"change-me-change-me-change-me-change-me!", "placeholder"),
        (b"Your-Secret-Key-Here" * 2, "placeholder"),
        (b"0123456789abcdef0123456789abcdef", "placeholder"),
        (b"changeme" * 4 + b"\n", "placeholder"),
    ],
)
def test_a_weak_secret_is_refused_with_advice(material: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refusal:
        check_secret(material)
    assert "make one with: python -c " in str(refusal.value)  # every install has that
    assert not material or material.decode() not in str(refusal.value)


@pytest.mark.parametrize(
    "material",
    [
        bytes(range(32)),
        b"kSKidu851zDPlmn00JCg3o4zFvBQUoV7k98a9xdDPmY=",
        b"9f86d081884c7d659a2feaa0c55ad015",
        b"\xff\xfe" * 16,
        b"\xff\xfe" * 16 + b"te",  # random bytes with a few letters that begin a word
    ],
)
def test_a_secret_that_is_not_known_weak_is_accepted(material: bytes) -> None:
    check_secret(material)


def test_each_purpose_has_a_key_of_its_own() -> None:
    root = Secret(bytes(range(32)))
    keys = {purpose_key(root, purpose) for purpose in get_args(Purpose)}
    assert len(keys) == len(get_args(Purpose))
    assert {len(key) for key in keys} == {32}


def test_a_purpose_key_is_the_same_on_every_replica() -> None:
    """A known answer: changing it logs every user out."""
    key = purpose_key(Secret(bytes(range(32))), "sign")
    assert key.hex() == "c659df18f1538bc87949b42592204c1827e6fb18f77728544cc50fe9dd013591"


def test_a_purpose_nobody_knows_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such purpose"):
        purpose_key(Secret(bytes(range(32))), "backup")  # type: ignore[arg-type]
