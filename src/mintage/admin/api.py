"""The admin API: grants, clients and denials as JSON."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from mintage.admin.operators import Operator
from mintage.admin.status import Statuses
from mintage.app.client_denials import KNOWN_EVERYWHERE
from mintage.app.described import Described
from mintage.app.running import Running
from mintage.errors import InvalidRequest, NotFound
from mintage.events.operation import AdminAction
from mintage.grants.handles import parse_grant_id
from mintage.vault.values import Listed
from mintage.web.edge import NO_STORE, json_response, read_query
from mintage.web.forms import Form, one, optional

MOST: Final = 500
USUAL: Final = 100
_LOOKS: Final = 20


@dataclass(slots=True)
class Api:
    """*running*: the application that is open. *wait*: waits so many seconds."""

    running: Callable[[], Running]
    statuses: Statuses
    wait: Callable[[float], Awaitable[object]] = asyncio.sleep
    _sweeps: set[asyncio.Task[int]] = field(default_factory=set, init=False, repr=False)

    @property
    def described(self) -> Described:
        """What describes grants and clients."""
        needs = self.running().secret_needs
        return Described(needs.config, needs.vault, needs.client_ids)

    async def status(self, _: Request, __: Operator) -> Response:
        """How the server is."""
        return _answer(await self.statuses.of(self.running()))

    async def grants(self, request: Request, _: Operator) -> Response:
        """A page of grants."""
        query = _query(request, "subject", "client", "cursor", "limit")
        grants, more = await self.described.page(
            optional(query, "subject"),
            optional(query, "client"),
            after=_cursor(optional(query, "cursor")),
            limit=_limit(optional(query, "limit")),
        )
        rows = [self.described.row(grant) for grant in grants]
        return _answer({"grants": rows, "next": more})

    async def grant(self, _: Request, __: Operator, name: str) -> Response:
        """One grant."""
        return _answer(self.described.whole(await self._found(name)))

    async def end_grant(self, _: Request, operator: Operator, name: str) -> Response:
        """End one grant."""
        grant = await self._found(name)
        await self.running().vault.revocation.end(grant, reason="ended_by_the_admin_api")
        self._tell("grants end", operator, 1)
        return _answer({"ended": 1})

    async def end_grants(self, request: Request, operator: Operator) -> Response:
        """End the grants of a user, of a client, or of a user at a client."""
        query = _query(request, "subject", "client")
        subject, client = optional(query, "subject"), optional(query, "client")
        if subject is None and client is None:
            raise InvalidRequest("give subject or client, or both: whose grants are to end")
        ended = 0
        for _ in range(_LOOKS):  # users may log in meanwhile
            found = [grant async for grant in self.described.find(subject, client)]
            mine = [grant for grant in found if not grant.foreign]
            for grant in mine:
                await self.running().vault.revocation.end(grant, reason="ended_by_the_admin_api")
            ended += len(mine)
            if not mine:
                break
        self._tell("grants end", operator, ended)
        return _answer({"ended": ended})

    async def clients(self, _: Request, __: Operator) -> Response:
        """The clients that are configured or used, and the denials."""
        return _answer({"clients": await self.described.clients(self.running().client_denials)})

    async def denials(self, _: Request, __: Operator) -> Response:
        """What is denied."""
        found = await self.running().client_denials.look()
        rows = [{"name": each.name, "since": each.since, "by": each.by} for each in found]
        return _answer({"denied": rows})

    async def deny(self, request: Request, operator: Operator) -> Response:
        """Deny a client."""
        denials = self.running().client_denials
        try:
            name = denials.canonical(_name(request))
        except ValueError as error:
            raise InvalidRequest(str(error)) from None
        new = await denials.deny(name, by=operator.name)
        ended = await denials.end_grants()
        self._tell("clients deny", operator, ended)
        self._sweep_later()
        return _answer({"name": name, "denied": True, "changed": new, "ended": ended})

    async def admit(self, request: Request, operator: Operator) -> Response:
        """Admit a client that was denied."""
        name = _name(request)
        if not await self.running().client_denials.admit(name):
            raise NotFound("nothing is denied under this name; GET /denials has the names")
        self._tell("clients admit", operator, 1)
        return _answer({"name": name, "denied": False, "changed": True, "ended": 0})

    async def close(self) -> None:
        """Give up what was to be done later."""
        for task in self._sweeps:
            task.cancel()
        await asyncio.gather(*self._sweeps, return_exceptions=True)

    def _sweep_later(self) -> None:
        """End what servers that did not know of a denial yet have begun."""

        async def sweep() -> int:
            await self.wait(KNOWN_EVERYWHERE)
            return await self.running().client_denials.end_grants()

        task = asyncio.create_task(sweep())
        self._sweeps.add(task)
        task.add_done_callback(self._sweeps.discard)

    async def _found(self, name: str) -> Listed:
        found = await self.running().vault.listing.get(name)
        if found is None:
            raise NotFound("there is no such grant, or it has ended")
        return found

    def _tell(self, operation: str, operator: Operator, count: int) -> None:
        name = operator.name
        self.running().events(
            AdminAction(operation=operation, via="api", operator=name, count=count)
        )


def _name(request: Request) -> str:
    return one(_query(request, "name"), "name")


def _query(request: Request, *names: str) -> Form:
    """The query, with *names* in it and no others. None of them may be empty.

    Otherwise a misspelt or an empty filter would mean all grants.
    """
    query = read_query(request)
    for name, values in query.items():
        if name not in names:
            raise InvalidRequest(f"the query may have: {', '.join(names)}")
        if not all(values):
            raise InvalidRequest(f"{name} must not be empty")
    return query


def _cursor(text: str | None) -> str | None:
    if text is not None and parse_grant_id(text) is None:
        raise InvalidRequest("cursor is the `next` of the page before")
    return text


def _limit(text: str | None) -> int:
    if text is None:
        return USUAL
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= MOST):
        raise InvalidRequest(f"limit is a number from 1 to {MOST}")
    return int(text)


def _answer(content: dict[str, Any]) -> Response:
    return json_response(content, headers=NO_STORE)
