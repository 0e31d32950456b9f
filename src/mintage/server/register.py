"""``/register`` (RFC 7591), stateless: the answer's ``client_id`` is the registration itself."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from mintage.clients.registration import ClientIds, parse_registration
from mintage.server.http import NO_STORE, json_response, read_json
from mintage.values import Clock, Dice


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterEndpoint:
    client_ids: ClientIds
    clock: Clock
    dice: Dice

    async def __call__(self, request: Request) -> Response:
        registration = parse_registration(await read_json(request))
        registered = self.client_ids.issue(registration, now=int(self.clock()), salt=self.dice(8))
        return json_response(registered.response(), status=201, headers=NO_STORE)
