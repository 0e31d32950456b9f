"""``/token``: the steps that all grant types share run here, so that none can omit one."""

from collections.abc import Iterable
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from mintage.clients.advice import check_grant_type
from mintage.clients.authentication import Authenticator
from mintage.errors import UnsupportedGrantType
from mintage.server.client_address import KeptAddress, kept_address
from mintage.server.grant_type import ClientlessGrantType, GrantType, TokenRequest
from mintage.server.proof_of_key import ProofOfKey
from mintage.web.edge import authorization_of, json_response, read_form
from mintage.web.forms import Form, one

_CLIENT: Final = frozenset({"client_id", "client_secret", "client_assertion"})


class TokenEndpoint:
    """*kept*: what is kept of the addresses from which clients get tokens.

    *proof_of_key*: checks DPoP proofs.
    """

    def __init__(
        self,
        authenticate: Authenticator,
        grant_types: Iterable[GrantType],
        proof_of_key: ProofOfKey,
        kept: KeptAddress = "off",
    ) -> None:
        self._authenticate = authenticate
        self._proof_of_key = proof_of_key
        self._kept = kept
        self._grant_types = {grant_type.name: grant_type for grant_type in grant_types}
        self._clientless = {
            name: grant_type
            for name, grant_type in self._grant_types.items()
            if isinstance(grant_type, ClientlessGrantType)
        }

    async def __call__(self, request: Request) -> Response:
        form = await read_form(request)
        grant_type = self._grant_types.get(name := one(form, "grant_type"))
        if grant_type is None:
            raise UnsupportedGrantType("grant_type must be one of: " + ", ".join(self._grant_types))
        authorization = authorization_of(request)
        client_address = request.scope.get("client")
        source = kept_address(client_address and client_address[0], self._kept)
        clientless = self._clientless.get(name)
        if clientless is not None and not _names_client(form, authorization):
            jkt = self._proof_of_key.jkt(request)
            issued = await clientless.issue_without_client(form, source, jkt)
            return json_response(issued, headers=self._proof_of_key.headers(jkt))
        client = await self._authenticate(
            form, authorization, concerns=partial(grant_type.concerns, form)
        )
        check_grant_type(client, name)
        jkt = self._proof_of_key.jkt_for_token(request, client)
        issued = await grant_type.issue(
            TokenRequest(form=form, client=client, source=source, jkt=jkt)
        )
        return json_response(issued, headers=self._proof_of_key.headers(jkt))


def _names_client(form: Form, authorization: str | None) -> bool:
    """Whether the request names or authenticates a client, in whichever way."""
    return authorization is not None or not _CLIENT.isdisjoint(form)
