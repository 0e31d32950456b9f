"""JSON pointers, by the examples of RFC 6901 §5."""

import pytest

from mintage.access.json_pointers import parse_pointer


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("/foo/0", ("foo", "0")),
        ("/", ("",)),
        ("/a~1b", ("a/b",)),
        ("/m~0n", ("m~n",)),
        ("/~01", ("~1",)),
        ("/https:~1~1example.com~1roles", ("https://example.com/roles",)),
    ],
)
def test_the_tokens_of_a_pointer(text: str, tokens: tuple[str, ...]) -> None:
    assert parse_pointer(text) == tokens


@pytest.mark.parametrize("text", ["", "foo", "#/foo"])
def test_what_does_not_begin_with_a_slash_is_no_pointer(text: str) -> None:
    with pytest.raises(ValueError, match="JSON pointer"):
        parse_pointer(text)
