from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.errors import InvalidRequest
from mintage.web.forms import MAX_FIELDS, one, optional, parse_form, parse_query

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(_TEXT, _TEXT), max_size=MAX_FIELDS))
def test_what_was_encoded_comes_back_in_order(pairs: list[tuple[str, str]]) -> None:
    form = parse_form(urlencode(pairs).encode())
    for name, _ in pairs:
        assert form[name] == tuple(value for key, value in pairs if key == name)


@given(st.binary())
def test_any_bytes_give_a_form_or_invalid_request(raw: bytes) -> None:
    try:
        form = parse_query(raw)
    except InvalidRequest:
        return
    assert all(form.values())


@pytest.mark.parametrize("raw", [b"a=%", b"a=%4", b"a=%zz", b"%=a", b"a=%ff", b"a=\xff", b"&" * 64])
def test_malformed_input_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_form(raw)


def test_a_parameter_given_twice_is_refused_by_both() -> None:
    form = parse_form(b"state=a&state=a")
    with pytest.raises(InvalidRequest, match="state must be given once"):
        one(form, "state")
    with pytest.raises(InvalidRequest, match="state must be given once"):
        optional(form, "state")


@pytest.mark.parametrize("raw", [b"", b"state", b"state="])
def test_an_empty_value_counts_as_absent(raw: bytes) -> None:
    assert optional(parse_form(raw), "state") is None
    with pytest.raises(InvalidRequest, match="state is missing"):
        one(parse_form(raw), "state")


def test_plus_is_a_space() -> None:
    assert one(parse_form(b"scope=a+b%2Bc"), "scope") == "a b+c"
