"""Records to a web service, in batches, signed as Standard Webhooks 1.0 says."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import httpx2

from mintage.audit.trail import NotWritten
from mintage.network.tls import trusted
from mintage.values import Clock, Secret

_SECONDS: Final = 10.0
# The records themselves are not accepted: another attempt would only stop those behind them.
_NEVER: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)


class WebhookSink:
    """Sends records with POST, one in each line. Any 2xx says that they have arrived.

    *authorization*: the value of the header of that name. *signing_secret*: signs each batch.
    *clock*: the time of day. *seconds*: how long an attempt may take in all, however slowly the
    service answers. The body of an answer is not read. A batch that is sent again has the same
    ``webhook-id``.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        authorization: Secret | None = None,
        signing_secret: Secret | None = None,
        seconds: float = _SECONDS,
    ) -> None:
        self._url = url
        self._clock = clock
        self._authorization = authorization
        self._signing_secret = signing_secret
        self._seconds = seconds
        self._trusted = trusted()

    @property
    def name(self) -> str:
        return f"audit webhook at {urlsplit(self._url).netloc.rpartition('@')[2]}"

    def write(self, lines: Sequence[bytes]) -> None:
        body = b"".join(lines)
        try:
            status = asyncio.run(self._post(body))
        except TimeoutError:
            raise NotWritten(f"no answer in {self._seconds:g} seconds") from None
        except httpx2.HTTPError as error:
            # Without the text of the error, which may have the whole URL in it.
            raise NotWritten(f"no answer: {type(error).__name__}") from None
        if httpx2.codes.is_success(status):
            return
        said = f"it answered {status}"
        if status in _NEVER:
            raise NotWritten(f"{said}; {len(lines)} records are dropped", refused=len(lines))
        raise NotWritten(said)

    def close(self) -> None:
        """Nothing is open between two attempts."""

    async def _post(self, body: bytes) -> int:
        """The status of the answer. Timeouts of a client are for each read: this is for all."""
        async with (
            asyncio.timeout(self._seconds),
            httpx2.AsyncClient(verify=self._trusted, timeout=None) as client,
            client.stream("POST", self._url, content=body, headers=self._headers(body)) as answer,
        ):
            return answer.status_code

    def _headers(self, body: bytes) -> dict[str, str]:
        message_id = f"msg_{hashlib.sha256(body).hexdigest()[:32]}"
        headers = {
            "content-type": "application/x-ndjson",
            "user-agent": "mintage",
            "webhook-id": message_id,
        }
        if self._authorization is not None:
            headers["authorization"] = self._authorization.reveal().decode("latin-1")
        if self._signing_secret is not None:
            timestamp = str(int(self._clock()))
            signed = f"{message_id}.{timestamp}.".encode() + body
            mac = hmac.digest(self._signing_secret.reveal(), signed, "sha256")
            headers["webhook-timestamp"] = timestamp
            headers["webhook-signature"] = f"v1,{base64.b64encode(mac).decode()}"
        return headers
