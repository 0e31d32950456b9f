"""The maps of the house are those of the code."""

from tools import rooms


def test_the_page_draws_the_packages_as_they_are() -> None:
    page = rooms.PAGE.read_text()
    assert page == rooms.drawn(page), "a module has come, gone or changed: python -m tools.rooms"
