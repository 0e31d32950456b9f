"""What a struct shows of itself where it is printed."""

import importlib
import pkgutil

import mintage
from mintage.partly_shown import PartlyShown
from mintage.server.requests import Revocation


class Sealed(PartlyShown, frozen=True):
    not_shown = ("key",)

    name: str
    key: bytes


def test_a_field_that_is_not_shown_is_not_in_the_repr() -> None:
    assert repr(Sealed("vault", b"k" * 32)) == "Sealed(name='vault')"
    assert repr(Revocation(token="ey.ey.ey")) == "Revocation()"


def test_each_field_that_is_not_shown_is_there() -> None:
    """A name that is misspelled would hide nothing."""
    for found in pkgutil.walk_packages(mintage.__path__, "mintage."):
        if not found.name.startswith(("mintage.integrations.", "mintage.__main__")):
            importlib.import_module(found.name)
    kinds = PartlyShown.__subclasses__()
    assert Revocation in kinds
    for kind in kinds:
        assert kind.not_shown
        assert set(kind.not_shown) <= set(kind.__struct_fields__), kind
