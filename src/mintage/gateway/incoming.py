"""A request's body, read before the request is checked, and forwarded as it was read."""

import msgspec
from starlette.types import Message, Receive

from mintage.errors import ContentTooLarge, InvalidRequest
from mintage.gateway.http1.request import ClientGone
from mintage.gateway.mcp_messages import Asked, read_messages
from mintage.web.disconnects import DisconnectHook, disconnect_hook


class Incoming(msgspec.Struct):
    """The body behind *receive*. It is read only if a rule needs it.

    `onward` forwards the very bytes that were read and checked.
    """

    receive: Receive
    _body: bytes | None = None
    _delivered: bool = False
    _messages: tuple[Asked, ...] | None = None

    @property
    def onward(self) -> Receive:
        """An ASGI ``receive`` for the backend or the application: the body, then the disconnect."""
        return self.receive if self._body is None else self._again

    @property
    def when_disconnected(self) -> DisconnectHook | None:
        """See `disconnect_hook`."""
        return disconnect_hook(self.receive)

    async def messages(self, limit: int) -> tuple[Asked, ...]:
        """The JSON-RPC messages in the body, which is read once.

        Raises `InvalidRequest`; `ContentTooLarge` beyond *limit* bytes; `ClientGone`.
        """
        if self._messages is None:
            self._messages = read_messages(await self._read(limit))
        return self._messages

    async def check_empty(self) -> None:
        """Raises `InvalidRequest` if there is a body, because no rule checks it."""
        if await self._read(limit=0):
            raise InvalidRequest("only a POST may have a body here")

    async def _read(self, limit: int) -> bytes:
        if self._delivered:  # a request is looked at again while its answer lasts
            return b""
        if self._body is None:
            self._body = await self._collected(limit)
        return self._body

    async def _collected(self, limit: int) -> bytes:
        body, more = bytearray(), True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > limit:
                raise ContentTooLarge(f"the body must be at most {limit} bytes here")
        return bytes(body)

    async def _again(self) -> Message:
        if self._delivered:
            return await self.receive()
        self._delivered = True
        body, self._body = self._body or b"", b""
        return {"type": "http.request", "body": body, "more_body": False}
