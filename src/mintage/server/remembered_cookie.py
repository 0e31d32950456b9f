"""Which consents this browser knows to be remembered: a hint, in one encrypted cookie.

It only tells whether to leave out the page on the way to the provider. After the login the store
decides, for the user who logged in. It names users and apps by parts of hashes.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.crypto.sealing import BoxKey
from mintage.errors import SealError
from mintage.partly_shown import PartlyShown
from mintage.server.cookies import Cookies, cookies_of
from mintage.server.sealed_text import open_text, seal_text
from mintage.values import RandomBytes

PART_BYTES: Final = 16
_MOST: Final = 10
_NAME: Final = "remembered"


class Hint(msgspec.Struct, frozen=True, array_like=True):
    """A consent to *terms* was remembered under *name*: the first bytes of both."""

    terms: bytes
    name: bytes
    expires_at: int


class Hints(msgspec.Struct, frozen=True, array_like=True):
    """All of one browser, the newest last."""

    hints: tuple[Hint, ...]


_decoder: msgspec.msgpack.Decoder[Hints] = msgspec.msgpack.Decoder(Hints)


class HintCookie(PartlyShown, frozen=True):
    """*keys*: the first encrypts, all decrypt. Another *issuer* with the same keys can't."""

    not_shown = ("keys",)

    cookies: Cookies
    keys: tuple[BoxKey, ...]
    issuer: str
    random_bytes: RandomBytes

    def read(self, request: Request, *, now: int) -> tuple[Hint, ...]:
        """The hints of this browser that have not ended."""
        value = cookies_of(request).get(self._cookie)
        if value is None:
            return ()
        try:
            found = open_text(value, _decoder, keys=self.keys, context=self._context).hints
        except SealError:
            return ()
        return tuple(hint for hint in found if now < hint.expires_at)

    def add(self, request: Request, response: Response, hint: Hint, *, now: int) -> None:
        """Keep *hint* too. The oldest give way."""
        others = [each for each in self.read(request, now=now) if each.name != hint.name]
        self._write(response, [*others, hint][-_MOST:], now)

    def drop(
        self, request: Request, response: Response, names: Iterable[bytes], *, now: int
    ) -> None:
        """Forget the hints with these *names*."""
        gone, found = {name[:PART_BYTES] for name in names}, self.read(request, now=now)
        left = [hint for hint in found if hint.name not in gone]
        if not left:
            self.clear(response)
        elif len(left) != len(found):
            self._write(response, left, now)

    def clear(self, response: Response) -> None:
        """Forget all hints of this browser."""
        self.cookies.expire(response, self._cookie)

    def _write(self, response: Response, hints: Sequence[Hint], now: int) -> None:
        value = seal_text(
            Hints(tuple(hints)),
            keys=self.keys,
            context=self._context,
            random_bytes=self.random_bytes,
        )
        seconds = max(hint.expires_at for hint in hints) - now
        self.cookies.set(response, self._cookie, value, seconds=seconds)

    @property
    def _cookie(self) -> str:
        return self.cookies.name(_NAME)

    @property
    def _context(self) -> bytes:
        return f"remembered consents of {self.issuer}".encode()
