"""Spans around the stages of a request: the whole, the check of its token, and the backend."""

from functools import lru_cache
from typing import Any, Final, Self

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mintage.gateway.access_guard import AccessGuard, Screened
from mintage.gateway.credentials import NOTHING, Told
from mintage.gateway.header_names import Passing
from mintage.gateway.headers import RawHeaders
from mintage.gateway.http1.connection import Connection
from mintage.gateway.http1.pool import User
from mintage.gateway.http1.request import Body
from mintage.gateway.proxy import Ask, Course, Exchange
from mintage.resource.bearer import Access
from mintage.site.resource import Resource
from mintage.telemetry.backends import outcome_of
from mintage.telemetry.requests import PlaceOf
from mintage.telemetry.steps import Kind, Probe, Step
from mintage.telemetry.words import status_class
from mintage.web.current_request import CURRENT, TRACE_ID

REQUEST: Final = Kind("request", None, labels=("endpoint", "resource"))
ADMIT: Final = Kind("admit", None, labels=("resource",))
BACKEND: Final = Kind("backend", None, labels=("resource",))
_TRACEPARENT: Final = b"traceparent"
_NOBODY: Final = Probe()


class TracedRouter(msgspec.Struct, frozen=True):
    """Passes each request on to *router*, in a span."""

    router: ASGIApp
    place_of: PlaceOf
    probe: Probe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint, resource = self.place_of(scope)
        with self.probe.step(REQUEST, endpoint, resource, detail=scope) as step:
            step.outcome = "none"
            if self.probe.tracer is not None:
                scope[TRACE_ID] = trace_id = self.probe.tracer.trace_id()
                if (request := CURRENT.get()) is not None:  # it began further out
                    request.trace_id = trace_id

            async def traced(message: Message) -> None:
                if message["type"] in ("http.response.start", "websocket.http.response.start"):
                    step.status = message["status"]
                    step.outcome = status_class(step.status)
                elif message["type"] == "websocket.accept":
                    step.outcome = status_class(101)
                await send(message)

            await self.router(scope, receive, traced)


class TracedGuard(AccessGuard, frozen=True):
    """Decides in a span. *probe* is set by `of`."""

    probe: Probe = _NOBODY

    @classmethod
    def of(cls, guard: AccessGuard, probe: Probe) -> Self:
        names = (name for name in AccessGuard.__struct_fields__)
        return cls(**{name: getattr(guard, name) for name in names}, probe=probe)

    def at_hand(self, *_: Any) -> None:
        """Nothing: each decision gets its span in `admit`."""

    async def admit(self, headers: RawHeaders, resource: Resource, **more: Any) -> Access:
        with self.probe.step(ADMIT, resource.path):
            return await AccessGuard.admit(self, headers, resource, **more)

    def screen(
        self, headers: RawHeaders, resource: Resource, *, method: str, path: str
    ) -> Screened:
        try:
            return AccessGuard.screen(self, headers, resource, method=method, path=path)
        except BaseException:
            with self.probe.step(ADMIT, resource.path):
                raise


class TracedRequests(msgspec.Struct, frozen=True):
    """Makes the requests of a `Proxy` by *ask*, each in a span that the backend can continue."""

    ask: Ask
    probe: Probe

    def __call__(
        self, course: Course, told: Told, more: RawHeaders, body: Body, user: User
    ) -> Exchange:
        asked = course.begun.method, course.pool.target.url
        step = self.probe.step(BACKEND, course.resource.path, detail=asked)
        step.__enter__()
        try:
            request = self.ask(*self._passed_on(course, told, more), body, user)
        except BaseException as error:
            _end(step, error)
            raise
        return _TracedRequest(request, step)

    def _passed_on(
        self, course: Course, told: Told, more: RawHeaders
    ) -> tuple[Course, Told, RawHeaders]:
        """The headers with this trace, unless the operator keeps trace headers from the backend."""
        tracer, pool, begun = self.probe.tracer, course.pool, course.begun
        if tracer is None or not _may_know(pool.target.drop_headers, pool.target.pass_headers):
            return course, told, more
        headers = tracer.passed_on([*begun.headers, *told.headers, *more])
        begun = pool.begin(begun.method, begun.target, headers, chunked=begun.chunked)
        return msgspec.structs.replace(course, begun=begun), NOTHING, []


@lru_cache
def _may_know(dropped: tuple[str, ...], passed: tuple[str, ...] | None) -> bool:
    return Passing(dropped, passed).lets[_TRACEPARENT]


class _TracedRequest:
    """*request*; its span ends when the head of the response is there."""

    def __init__(self, request: Exchange, step: Step) -> None:
        self._request = request
        self._step = step

    async def answer(self) -> Connection:
        try:
            connection = await self._request.answer()
        except BaseException as error:
            _end(self._step, error)
            raise
        self._step.status = connection.status
        self._step.outcome = status_class(connection.status)
        self._step.__exit__(None, None, None)
        return connection

    def end(self) -> None:
        self._request.end()


def _end(step: Step, error: BaseException) -> None:
    step.outcome = outcome_of(error)
    step.__exit__(type(error), error, error.__traceback__)
