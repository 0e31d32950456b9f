"""What a connection waits for, and when to give up on a body. Pure."""

import enum

from mintage.serving.settings import ServerSection


class Phase(enum.Enum):
    """What a connection waits for."""

    NEW = enum.auto()  # its first byte
    HEAD = enum.auto()
    BODY = enum.auto()
    ANSWER = enum.auto()  # the application's
    REST = enum.auto()  # of a body; the answer is out
    IDLE = enum.auto()  # the next request
    REFUSED = enum.auto()  # the client, to hang up


def is_too_slow(bounds: ServerSection, quiet: int, waited: int, received: int) -> bool:
    """Whether to give up on a body of which *received* bytes came in *waited* seconds.

    *quiet*: the seconds since the last byte of it came.
    """
    if quiet >= bounds.body_seconds:
        return True
    late = waited - bounds.body_seconds
    return late > 0 and received < late * bounds.body_min_rate
