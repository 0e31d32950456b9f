"""A login as the documentation tells it: what each request earns, and nothing of how.

Written from the words of docs/architecture.md, for `test_model` to hold the vault against.
A step gives *all* outcomes that are allowed: what the provider does behind an answer may
come before it or after it.
"""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from mintage.grants.states import Reason

CODE, REFRESH, GRACE, MARGIN, CACHED = 60, 1000, 60, 60, 5  # seconds
UPSTREAM = 200  # seconds that the provider's tokens live

Phase = Literal["code", "live", "over"]
Provider = Literal["well", "away", "refusing", "later"]  # "later": its answer is yet to come
Fault = Literal["none", "client", "redirect_uri", "resource", "verifier", "code", "scope"]

REFUSALS: dict[Fault, Reason] = {
    "client": Reason.WRONG_CLIENT,
    "redirect_uri": Reason.WRONG_REDIRECT_URI,
    "resource": Reason.WRONG_RESOURCE,
    "scope": Reason.SCOPE_WIDENED,
    "code": Reason.WRONG_CODE,
}


@dataclass(frozen=True)
class Life:
    """One login. *since*: when it got into its phase, or was last refreshed."""

    since: int
    upstream_until: int | None
    renewable: bool
    phase: Phase = "code"
    generation: int = 0
    upstream: int = 0  # how often its upstream tokens were renewed

    @property
    def until(self) -> int:
        """From then on nothing is known of it."""
        return self.since + (CODE if self.phase == "code" else REFRESH)

    def reports(self, newest: int) -> set[int]:
        """Which upstream tokens must have been reported, each once, for the provider to revoke.

        *newest*: the last that it gave; they may have come when the login was over already.
        """
        return {self.upstream, newest} if self.phase == "over" else set()

    def ends_within(self, seconds: int, now: int) -> bool:
        return self.upstream_until is not None and now + seconds >= self.upstream_until


@dataclass(frozen=True)
class Open:
    generation: int
    upstream: int


@dataclass(frozen=True)
class No:
    reason: Reason


@dataclass(frozen=True)
class Away:
    """The provider must be asked and does not answer."""


Answer: TypeAlias = Open | No | Away
Outcome: TypeAlias = tuple[Life, Answer]


@dataclass(frozen=True)
class Redeem:
    fault: Fault = "none"


@dataclass(frozen=True)
class Refresh:
    generation: int
    fault: Fault = "none"


@dataclass(frozen=True)
class Revoke:
    fault: Fault = "none"


@dataclass(frozen=True)
class Authenticate:
    """A request with an access token."""


@dataclass(frozen=True)
class Use:
    """A request that needs the upstream's token as well."""


Request: TypeAlias = Redeem | Refresh | Revoke | Authenticate | Use


def outcomes(
    life: Life, request: Request, provider: Provider, now: int, *, settled: bool = True
) -> set[Outcome]:
    """All that may come of *request*; where not *settled*, a renewal may still be under way."""
    if now >= life.until:
        return {(life, No(Reason.UNKNOWN))}
    if life.phase == "over":
        return {(life, No(Reason.REVOKED))}
    match request:
        case Redeem(fault=fault):
            return {_redeem(life, fault, now)}
        case Revoke(fault=fault):
            return {_revoke(life, fault, now)}
        case _ if life.phase == "code":
            return {(life, No(Reason.NOT_ACTIVE))}
        case Authenticate():
            return {_opened(life)}
        case Use():
            return _use(life, provider, now) | _unless(settled, _use(life, "later", now))
        case Refresh():
            later = _refresh(life, request, "later", now)
            return _refresh(life, request, provider, now) | _unless(settled, later)


def _unless(settled: bool, later: set[Outcome]) -> set[Outcome]:  # noqa: FBT001
    """Who must wait for the provider does wait."""
    return {one for one in later if not settled and not isinstance(one[1], Away)}


def _redeem(life: Life, fault: Fault, now: int) -> Outcome:
    """A code works once; seen again it ends the login, and so does a wrong verifier."""
    if fault == "code":
        return life, No(Reason.WRONG_CODE)
    if life.phase == "live":
        return _end(life, Reason.CODE_REPLAYED, now)
    if fault == "verifier":
        return _end(life, Reason.WRONG_VERIFIER, now)
    if fault != "none":
        return life, No(REFUSALS[fault])
    return _opened(replace(life, phase="live", generation=1, since=now))


def _revoke(life: Life, fault: Fault, now: int) -> Outcome:
    if fault != "none":
        return life, No(REFUSALS[fault])
    return _end(life, Reason.CLIENT_REVOKED, now)


def _refresh(life: Life, request: Refresh, provider: Provider, now: int) -> set[Outcome]:
    """The newest rotates, the one before gives the same again for a while, others end it."""
    if request.fault != "none":
        return {(life, No(REFUSALS[request.fault]))}
    generation = request.generation
    if generation == life.generation - 1 and now < life.since + GRACE:
        return {_opened(life)}
    if generation != life.generation:
        return {_end(life, Reason.REFRESH_REUSED, now)}
    if not life.renewable and life.ends_within(0, now):
        return {_end(life, Reason.UPSTREAM_EXPIRED, now)}
    if not life.renewable or not life.ends_within(MARGIN, now):
        return {_rotated(life, now)}
    asked, answer = _ask(life, provider, now)
    if life.ends_within(0, now):
        return {_rotated(asked, now) if isinstance(answer, Open) else (asked, answer)}
    if asked.phase == "over":  # behind the answer, or just before it
        return {(asked, _rotated(life, now)[1]), (asked, No(Reason.REVOKED))}
    after, renewed = _rotated(asked, now)
    return {(after, renewed), (after, _rotated(life, now)[1])}


def _use(life: Life, provider: Provider, now: int) -> set[Outcome]:
    """Nobody waits for the provider while its old token holds."""
    expired = life.ends_within(0, now)
    if not life.renewable:
        return {_end(life, Reason.UPSTREAM_EXPIRED, now) if expired else _opened(life)}
    if not life.ends_within(MARGIN, now):
        return {_opened(life)}
    asked, answer = _ask(life, provider, now)
    return {(asked, answer if expired else _opened(life)[1])}


def _ask(life: Life, provider: Provider, now: int) -> Outcome:
    match provider:
        case "well":
            until = now + UPSTREAM
            return _opened(replace(life, upstream=life.upstream + 1, upstream_until=until))
        case "refusing":
            return _end(life, Reason.UPSTREAM_REFUSED, now)
        case "away" | "later":
            return life, Away()


def _rotated(life: Life, now: int) -> Outcome:
    return _opened(replace(life, generation=life.generation + 1, since=now))


def _opened(life: Life) -> Outcome:
    return life, Open(life.generation, life.upstream)


def _end(life: Life, reason: Reason, now: int) -> Outcome:
    return replace(life, phase="over", since=now), No(reason)
