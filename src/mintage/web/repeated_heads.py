"""Where something is kept that was read of a head which comes again and again.

The server knows some heads by their bytes (`mintage.serving.known_requests`). What is read of such
a head is the same each time, so it is kept beside it.
"""

from typing import Any, Final

import msgspec

REPEATED: Final = "mintage.repeated"
"""In a scope as the server made it: the `Repeated` of its head, if it is known.

Who changes method, path, query or headers of a scope removes it.
"""


class Repeated(msgspec.Struct, eq=False):
    """Of one head, for which it stands where it is a key.

    *length_at*: which of its headers is the one that differs, if one does.

    *read*: what was read of the head, for the last client that sent it from *address*. It depends
    on nothing else. None: nothing was yet.
    """

    length_at: int | None
    address: str | None = None
    read: Any = None
