"""Records to a web service, in batches, signed as Standard Webhooks 1.0 says."""

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
    *clock*: the time of day. A batch that is sent again has the same ``webhook-id``.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        authorization: Secret | None = None,
        signing_secret: Secret | None = None,
        client: httpx2.Client | None = None,
    ) -> None:
        self._url = url
        self._clock = clock
        self._authorization = authorization
        self._signing_secret = signing_secret
        self._client = client or httpx2.Client(verify=trusted(), timeout=_SECONDS)

    @property
    def name(self) -> str:
        return f"audit webhook at {urlsplit(self._url).netloc.rpartition('@')[2]}"

    def write(self, lines: Sequence[bytes]) -> None:
        body = b"".join(lines)
        try:
            answer = self._client.post(self._url, content=body, headers=self._headers(body))
        except httpx2.HTTPError as error:
            # Without the text of the error, which may have the whole URL in it.
            raise NotWritten(f"no answer: {type(error).__name__}") from None
        if answer.is_success:
            return
        said = f"it answered {answer.status_code}"
        if answer.status_code in _NEVER:
            raise NotWritten(f"{said}; {len(lines)} records are dropped", refused=len(lines))
        raise NotWritten(said)

    def close(self) -> None:
        self._client.close()

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
