"""What a refusal at ``/authorize`` tells a client that nobody vouches for: it is behind a link."""

import html
import re
from typing import Final, Protocol

from mintage.testing.oauth_client import answer_of

_LINK: Final = re.compile(
    r'<a class="button(?: second)?" rel="noreferrer" href="([^"]+)">Back to the app'
)


class Shown(Protocol):
    """A page, as a browser or a plain client has it."""

    @property
    def text(self) -> str: ...


def way_back(page: Shown) -> str:
    """The address of the page's link to the client."""
    found = _LINK.search(page.text)
    assert found is not None, page.text
    return html.unescape(found[1])


def told(page: Shown) -> dict[str, str]:
    """The authorization response that waits behind the link."""
    return answer_of(way_back(page))
