"""What the sender of a request prefers (RFC 9110 §12.5). Pure."""

from typing import Final

_MAX_LENGTH: Final = 1000
_NAVIGATIONS: Final = ("GET", "HEAD")


def weighted(header: str) -> list[tuple[str, float]]:
    """The values of an ``Accept`` or ``Accept-Language`` header, in lower case, the best first.

    Values with a weight of 0 or one that is no number are left out.
    """
    found = [_weighed(part) for part in header[:_MAX_LENGTH].lower().split(",")]
    return sorted((one for one in found if one[0] and one[1] > 0), key=lambda one: -one[1])


def _weighed(part: str) -> tuple[str, float]:
    value, *parameters = (piece.strip() for piece in part.split(";"))
    for parameter in parameters:
        name, _, number = parameter.partition("=")
        if name.strip() == "q":
            try:
                return value, min(float(number), 1.0)
            except ValueError:
                return value, 0.0
    return value, 1.0


def wants_page(method: str, accept: str) -> bool:
    """Whether a browser asks for a page: it names ``text/html``, and nothing that it likes better.

    Clients of APIs name JSON, an event stream, or ``*/*``.
    """
    values = weighted(accept)
    best = max((weight for _, weight in values), default=0.0)
    return method in _NAVIGATIONS and ("text/html", best) in values
