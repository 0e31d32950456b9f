"""Mintage around an ASGI application. The application adds one middleware and nothing else."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

from starlette.types import ASGIApp, Receive, Scope, Send

from mintage.app import Mintage, Running
from mintage.errors import MintageError, NotFound
from mintage.gateway.headers import RawHeaders
from mintage.gateway.heads import Answer, Head, Known, KnownHeads, head_of
from mintage.gateway.http1.request import ClientGone
from mintage.gateway.incoming import Incoming
from mintage.gateway.list_answers import ListFilter, asking_for_plain
from mintage.gateway.paths import Match, begins_like_ours
from mintage.gateway.proven import PROVEN, as_bearer
from mintage.gateway.watch import Sending
from mintage.integrations.answers import Outward, answer, as_request
from mintage.integrations.judged import Asked, Judged
from mintage.integrations.lifespans import lifespan_within
from mintage.integrations.path_interpretations import Places, located, public_path
from mintage.integrations.user import PerGrant, Table, User, config_of
from mintage.resource.bearer import Access
from mintage.server.queries import kept_from_logs
from mintage.settings.load import load
from mintage.site.resource import Resource
from mintage.site.targets import External
from mintage.web.cors import PREFLIGHT, is_preflight
from mintage.web.current_request import CURRENT, RESOURCE, note_endpoint, note_tally
from mintage.web.edge import error_response, failure_of
from mintage.web.limits import check_size
from mintage.web.references import referring

PASSED: Final = "mintage.passed"  # in a scope: it went through the middleware
_USER: Final = "mintage.user"

log = logging.getLogger("mintage.integrations")


class Login:
    """Mintage in another application. The arguments are the settings of ``mintage.toml``.

    A resource without a ``backend`` is the application's own: `middleware` refuses every request
    there that has no valid access token (RFC 6750). The endpoints for the login of clients are
    served beside the application.

    Args:
        issuer: The server's URL (RFC 8414 §2).
        upstream: The table ``[upstream]`` as a dict, or several of them. Only a server for machines
            alone has none.
        resource: The table ``[[resource]]`` as a dict, or several of them.
        more: The other sections and settings by their names: ``store``, ``secret``, ``tokens``, …

    Raises:
        ConfigError: A setting is missing or wrong.
    """

    def __init__(
        self,
        *,
        issuer: str,
        upstream: Table | Sequence[Table] | None = None,
        resource: Table | Sequence[Table],
        **more: Any,
    ) -> None:
        self._take(Mintage(config_of(issuer=issuer, upstream=upstream, resource=resource, **more)))

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """A login with the settings of a file.

        Args:
            path: The TOML file.

        Returns:
            The login.

        Raises:
            ConfigError: A setting is missing or wrong.
        """
        return cls.of(Mintage(load(Path(path))))

    @classmethod
    def of(cls, mintage: Mintage) -> Self:
        """A login around a `Mintage` that you made yourself.

        Args:
            mintage: What `create_app` returned. It must not be started elsewhere.

        Returns:
            The login.
        """
        login = cls.__new__(cls)
        login._take(mintage)  # noqa: SLF001  (its own)
        return login

    def _take(self, mintage: Mintage) -> None:
        self.mintage = mintage
        self.guards = False  # whether there is a middleware of it
        self._running: Running | None = None
        self._places: Places[Resource] = Places({})
        self._opened_in: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._shadows_told = False

    @property
    def is_running(self) -> bool:
        """Whether it is started: by the application's lifespan, or by `lifespan`."""
        return self._running is not None

    def check_place(self) -> None:
        """Check that this is the process and the event loop in which the login was started.

        Its connections, locks and tasks belong to that loop.

        Raises:
            RuntimeError: It is another process or another event loop.
        """
        if self._opened_in is None:
            return
        process, loop = self._opened_in
        if process != os.getpid():
            raise RuntimeError(
                "the login was opened before this process was forked: open it in each process, "
                "after the fork"
            )
        if loop is not asyncio.get_running_loop():
            raise RuntimeError(
                "the login is open in another event loop: give each loop a login of its own"
            )

    @property
    def running(self) -> Running:
        """The open `Running`. Raises ``RuntimeError`` if the login is not started here."""
        if self._opened_in != (os.getpid(), asyncio.get_running_loop()):
            self.check_place()
        if self._running is None:
            raise RuntimeError(
                "the login was not started: the server must run the application with its lifespan, "
                "or enter login.lifespan() where the application is mounted in another"
            )
        return self._running

    def middleware(self, app: ASGIApp) -> "Guard":
        """The login around an application. It starts and stops with the application's lifespan.

        Args:
            app: The ASGI application.

        Returns:
            An ASGI application that asks for a token and then calls *app*.
        """
        return Guard(app, self)

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        """Start the login for a block, in an application that the server's lifespan does not reach.

        If the middleware has started it already, this does nothing.

        Args:
            _app: Ignored, so that you can pass this method as a framework's ``lifespan``.

        Returns:
            An asynchronous context manager.

        Raises:
            RuntimeError: The login is open in another process or event loop.
        """
        self.check_place()
        if self._running is not None:
            yield  # the middleware has started it
            return
        self._opened_in = os.getpid(), asyncio.get_running_loop()
        try:
            async with self.mintage.running() as running:
                self._running = running
                self._places = Places(_by_path(running), lambda resource: resource.ambiguities)
                try:
                    yield
                finally:
                    self._running = None
        finally:
            self._opened_in = None

    def tell_of_shadows(self, scope: Scope) -> None:
        """Log each route of the application that an endpoint of Mintage hides. It logs only once.

        Args:
            scope: The ASGI scope of a request, or of the lifespan.
        """
        app = scope.get("app")
        if self._shadows_told or self._running is None or app is None:
            return
        self._shadows_told = True
        root = scope.get("root_path", "").rstrip("/")
        for path in sorted({getattr(route, "path", "") for route in getattr(app, "routes", ())}):
            if self._running.answers_at(path) or self._running.answers_at(root + path):
                log.warning(
                    "the application's route %s is never reached: the login answers there; "
                    "give the route another path",
                    path,
                )

    def find(self, scope: Scope) -> "Match[Resource] | None":
        """The resource that a request is for.

        Args:
            scope: The ASGI scope of the request.

        Returns:
            The resource and the rest of the path, or None.

        Raises:
            InvalidRequest: The path has several readings.
            NotFound: The path begins like an endpoint of Mintage and is none. A resource at ``/``
                does not get such a path.
        """
        found = self._places.find(scope)
        if found is not None and found.target.is_whole_site and begins_like_ours(found.rest):
            raise NotFound("there is nothing at this path; check the address")
        return found


def _by_path(running: Running) -> dict[str, Resource]:
    """The resources by their paths, with the issuer's path in front and without it.

    A proxy may have removed that prefix, and the path must not be open then.
    """
    resources = running.site.resources
    bare = {resource.path.rstrip("/"): resource for resource in resources}
    return bare | {resource.request_path: resource for resource in resources}


def _nothing_more(_headers: RawHeaders, _user: User) -> Mapping[str, Any]:
    """Starlette and FastAPI find a user where every framework does."""
    return {}


@dataclass(frozen=True, slots=True)
class Guard:
    """The middleware of a `Login`: serves its endpoints, and checks tokens below a resource.

    *open_late*: starts the login where no lifespan does. *describe*: what a framework looks for in
    the scope of a request with these headers, in words of its own.
    """

    app: ASGIApp
    login: Login
    open_late: Callable[[], Awaitable[None]] | None = None
    describe: Callable[[RawHeaders, User], Mapping[str, Any]] = _nothing_more
    _described: PerGrant[tuple[User, Mapping[str, Any]]] = field(
        default_factory=PerGrant, init=False, repr=False, compare=False
    )
    _known: KnownHeads = field(default_factory=KnownHeads, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.login.guards = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await lifespan_within(
                partial(self._lifespan, scope), self.app, scope, receive, send
            )
        try:
            running = self.login.running
        except RuntimeError:
            if self.open_late is None:
                raise
            await self.open_late()
            running = self.login.running
        head = head_of(scope)
        known = self._known.get(head.key)
        if known is not None and known.judged.holds_for(running, scope):
            app: ASGIApp = partial(known.answer, known.judged, head)
        else:
            app, known = partial(self._answer, running, head), None
        return await running.router.requests(app, scope, receive, send, head, known, names=False)

    async def _answer(
        self, running: Running, head: Head, scope: Scope, receive: Receive, outward: Send
    ) -> None:
        self.login.tell_of_shadows(scope)
        send = referring(outward)
        if scope["type"] == "http" and running.answers_at(public_path(scope)):
            return await self.login.mintage(located(kept_from_logs(scope)), receive, send)
        try:
            check_size(scope)
            found = self.login.find(scope)
        except MintageError as error:
            failure = failure_of(error, as_request(scope), running.router.random_bytes)
            return await answer(error_response(failure), scope, receive, send)
        if found is None:
            return await self.app({**scope, PASSED: True}, receive, send)
        if not isinstance(found.target.target, External):
            return await self.login.mintage(located(scope), receive, send)
        note_endpoint(RESOURCE)
        if scope["type"] == "http" and is_preflight(scope):
            return await PREFLIGHT(scope, receive, send)
        note_tally(running.telemetry.of_resource(found.target.path))
        judged = Judged(running, scope.get("root_path", ""), found)
        return await self._answer_of(running)(judged, head, scope, receive, outward)

    @asynccontextmanager
    async def _lifespan(self, scope: Scope) -> AsyncIterator[None]:
        async with self.login.lifespan():
            self.login.tell_of_shadows(scope)
            yield

    def _answer_of(self, running: Running) -> Answer:
        return self._admit if running.telemetry.tracer is None else self._admit_traced

    def _admit_traced(
        self, judged: Judged, head: Head, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        telemetry, path = judged.running.telemetry, judged.found.target.path
        return telemetry.around(partial(self._admit, judged, head), path)(scope, receive, send)

    async def _admit(
        self, judged: Judged, head: Head, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Call the application for a request that may pass."""
        running, resource, rest = judged.running, judged.found.target, judged.found.rest
        guard, is_http = running.gateway.guard, scope["type"] == "http"
        incoming, outward, headers = Incoming(receive), Outward(send), scope["headers"]
        method = scope["method"] if is_http else "GET"
        try:
            screened = judged.screened
            if screened is None:
                screened = guard.screen(headers, resource, method=method, path=rest)
            asked = Asked(guard, headers, resource, method, rest, incoming, not is_http, screened)
            access = guard.at_hand(screened, resource) or await asked.admit()
            if judged.screened is None and is_http:
                judged.screened = screened
                self._keep(head, judged)
            outward.nonce = access.next_nonce
            if access.cnf is not None:
                scope, token = as_bearer(scope)
                PROVEN.set(token)
            sending = Sending(running.gateway.proxy.watch, asked)
            user_scope = self._with_user(running, access, resource, scope)
            if not (resource.filter_lists and is_http):
                return await sending.run(self.app, user_scope, incoming.onward, outward, send)
            refuse = partial(_refuse, judged, scope, receive, outward)
            may_call = guard.may_call(access, resource, rest)
            filtering = ListFilter(outward, may_call, refuse, method, scope["path"])
            plain = {**user_scope, "headers": asking_for_plain(scope["headers"])}
            return await sending.run(self.app, plain, incoming.onward, filtering)
        except ClientGone:
            return None
        except MintageError as error:
            if outward.begun:
                raise
            return await _refuse(judged, scope, receive, outward, error)

    def _keep(self, head: Head, judged: Judged) -> None:
        """Remember what was judged of *head*, for requests that have the same."""
        request = CURRENT.get()
        address, tally = (None, None) if request is None else (request.address, request.tally)
        answer = self._answer_of(judged.running)
        self._known.keep(head, Known(answer, judged, RESOURCE, address, tally))

    def _with_user(
        self, running: Running, access: Access, resource: Resource, scope: Scope
    ) -> Scope:
        """*scope* with the user, who is the same object as long as token and grant are the same."""
        user, described = self._described.of(access) or self._describe(
            running, access, resource, scope["headers"]
        )
        return {**scope, **described, "state": {**scope.get("state", {}), "user": user}}

    def _describe(
        self, running: Running, access: Access, resource: Resource, headers: RawHeaders
    ) -> tuple[User, Mapping[str, Any]]:
        user = User.of(access, resource, running.site.hierarchy, running.vault)
        described = {PASSED: True, _USER: user, **self.describe(headers, user)}
        return self._described.keep(access, (user, described))


async def _refuse(
    judged: Judged, scope: Scope, receive: Receive, outward: Outward, error: MintageError
) -> None:
    guard, found = judged.running.gateway.guard, judged.found
    response = guard.refusal(error, as_request(scope), found.target, slash=found.rest == "/")
    await answer(response, scope, receive, outward)


def user_of(scope: Scope) -> User:
    """The user of a request that the middleware admitted. Raises ``RuntimeError`` for any other."""
    user = scope.get(_USER)
    if not isinstance(user, User):
        raise RuntimeError(  # noqa: TRY004  (a fault of the application, not of an argument)
            f"nobody was asked for a token at {scope.get('path')}: the path is below no resource "
            "of the login, or its middleware was not added"
        )
    return user
