"""`form_encoded` writes what the standard library's `urlencode` writes."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.urls import form_encoded

_ANY = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(_ANY, _ANY))
def test_it_is_what_the_standard_library_writes(fields: dict[str, str]) -> None:
    assert form_encoded(fields) == urlencode(fields)


@pytest.mark.parametrize("character", [*map(chr, range(128))])
def test_each_character_is(character: str) -> None:
    assert form_encoded({"a": character}) == urlencode({"a": character})
