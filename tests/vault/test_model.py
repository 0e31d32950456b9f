"""Any requests, in any order, at any replica, alone or at once: the vault answers as the model.

``MINTAGE_STRESS=full`` runs many more examples.
"""

import asyncio
import os
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    rule,
    run_state_machine_as_test,
)

from mintage.grants.states import Reason
from tests.vault.reference import (
    CACHED,
    GRACE,
    MARGIN,
    Answer,
    Authenticate,
    Away,
    Fault,
    Life,
    No,
    Open,
    Provider,
    Redeem,
    Refresh,
    Request,
    Revoke,
    Use,
    outcomes,
)
from tests.vault.replicas import Family, Replicas, Subject

T = TypeVar("T")

REPLICAS = 3
FULL = os.environ.get("MINTAGE_STRESS") == "full"
EXAMPLES = {"memory": 150, "sqlite": 100, "postgres_url": 40, "redis_url": 40, "cluster_url": 20}

replica = st.integers(0, REPLICAS - 1)
edge = st.sampled_from([0, 1, 2, 2, 2, 3])
used = st.sampled_from([1, 2, 3])
seconds = st.sampled_from([1, 3, 5, 20, 59, 61, 139, 200])
redeem_fault = st.sampled_from(["none"] * 6 + ["client", "redirect_uri", "resource", "verifier"])
refresh_fault = st.sampled_from(["none"] * 9 + ["client", "resource", "scope"])
back = st.sampled_from([0] * 6 + [1] * 3 + [2])


class Known:
    """One login: what it may be by now, and what it was not long ago."""

    def __init__(self, subject: Subject, life: Life) -> None:
        self.subject = subject
        self.lives = {life}
        self.past: list[tuple[int, set[Life]]] = []  # until when it was so
        self.heard = [0] * REPLICAS  # how much of the past each replica must have forgotten

    def answered(self, lives: set[Life], now: int, by: int | None) -> None:
        """It is one of *lives* now; *by* the replica that made it so, if only one can have."""
        if lives != self.lives:
            self.past.append((now, self.lives))
        if by is not None and lives.isdisjoint(self.lives):
            self.heard[by] = len(self.past)
        self.lives = lives

    def remembered(self, at: int, now: int) -> set[Answer]:
        """What replica *at* may still believe, from its memory."""
        return {
            Open(life.generation, life.upstream)
            for until, lives in [*self.past[self.heard[at] :], (now, self.lives)]
            for life in lives
            if life.phase == "live" and now < min(until, life.until) + CACHED
        }


class Machine(RuleBasedStateMachine):
    logins = Bundle("logins")

    def __init__(self, runner: asyncio.Runner, replicas: Replicas) -> None:
        super().__init__()
        self.run, self.replicas, self.clock = runner.run, replicas, replicas.clock
        self.provider: Provider = "well"

    @property
    def now(self) -> int:
        return int(self.clock())

    @rule(target=logins, at=replica, renewable=st.booleans(), expires=st.booleans())
    def create(self, at: int, *, renewable: bool, expires: bool) -> Known:
        return self.created(at, renewable=renewable, expires=expires)

    @rule(target=logins, at=replica, renewable=st.booleans(), expires=st.booleans(), used=used)
    def log_in(self, at: int, used: int, *, renewable: bool, expires: bool) -> Known:
        """Most of what there is to see comes after the code was redeemed."""
        known = self.created(at, renewable=renewable, expires=expires)
        self.ask(known, at, Redeem())
        for generation in range(1, used):
            self.ask(known, at, Refresh(generation))
        return known

    @rule(known=logins, at=replica, fault=redeem_fault | st.just("code"))
    def redeem(self, known: Known, at: int, fault: Fault) -> None:
        self.ask(known, at, Redeem(fault))

    @rule(known=logins, at=replica, back=back, fault=refresh_fault)
    def refresh(self, known: Known, at: int, back: int, fault: Fault) -> None:
        self.ask(known, at, Refresh(max(1, known.subject.newest - back), fault))

    @rule(known=logins, at=replica, by=replica, after=st.sampled_from([0, 59, 60]))
    def refresh_again(self, known: Known, at: int, by: int, after: int) -> None:
        """The answer got lost: the client comes back, elsewhere, in time or too late."""
        generation = known.subject.newest
        self.ask(known, at, Refresh(generation))
        self.clock.advance(after)
        self.ask(known, by, Refresh(generation))

    @rule(known=logins, at=replica, fault=st.sampled_from(["client", "client", "none"]))
    def revoke(self, known: Known, at: int, fault: Fault) -> None:
        self.ask(known, at, Revoke(fault))

    @rule(known=logins, at=replica)
    def use(self, known: Known, at: int) -> None:
        if self.all_agree(known):
            self.ask(known, at, Use())

    @rule(known=logins, at=replica)
    def authenticate(self, known: Known, at: int) -> None:
        """At once. A replica that has not heard yet answers as of five seconds ago at most."""
        answer = self.run(self.replicas.ask(at, known.subject, Authenticate()))
        allowed = known.remembered(at, self.now) | self.exact(known)
        assert answer in allowed, (answer, allowed)

    @rule(known=logins)
    def hear(self, known: Known) -> None:
        self.all_agree(known)

    @rule(known=logins, data=st.data())
    def together(self, known: Known, data: st.DataObject) -> None:
        """Several at once: some order of them explains what each of them saw."""
        if not self.all_agree(known):
            return
        several = data.draw(
            st.lists(st.tuples(replica, self.requests(known)), min_size=2, max_size=5)
        )
        providers = [self.provider_for(known, at) for at, _ in several]

        async def at_once() -> list[Answer]:
            asked = [self.replicas.ask(at, known.subject, request) for at, request in several]
            return list(await asyncio.gather(*asked))

        answers = self.settled(at_once())
        seen = [
            (request, answer, provider)
            for (_, request), answer, provider in zip(several, answers, providers, strict=True)
        ]
        lives = explained(known.lives, seen, self.now)
        assert lives, (known.lives, several, answers)
        known.answered(reporting(lives, known.subject.family), self.now, None)

    @rule(provider=st.sampled_from(["well", "well", "away", "refusing"]))
    def becomes(self, provider: Provider) -> None:
        self.provider = provider

    @rule(seconds=seconds)
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(known=logins, edge=edge, early=st.sampled_from([0, 0, 1]), data=st.data())
    def time_comes(self, known: Known, edge: int, early: int, data: st.DataObject) -> None:
        """A request in the very second at which something changes, or in the one before."""
        life = next(iter(known.lives))
        due = life.upstream_until or life.until
        when = [due - MARGIN, due, life.since + GRACE, life.until][edge] - early
        self.clock.now = max(self.clock.now, when)
        request, at = data.draw(self.requests(known)), data.draw(replica)
        if not isinstance(request, Use | Authenticate) or self.all_agree(known):
            self.ask(known, at, request)

    @rule(known=logins, at=replica, by=replica, seconds=st.sampled_from([0, 4, 5, 6]))
    def goes_deaf(self, known: Known, at: int, by: int, seconds: int) -> None:
        """Its line for news breaks: it does not hear what another does (see `all_agree`)."""
        self.authenticate(known, at)
        self.run(self.replicas.listen(at, on=False))
        self.ask(known, by, Refresh(known.subject.newest))
        self.clock.advance(seconds)
        self.authenticate(known, at)

    @rule(at=replica)
    def sweep(self, at: int) -> None:
        self.run(self.replicas.stores[at].sweep())

    def created(self, at: int, *, renewable: bool, expires: bool) -> Known:
        subject = self.run(self.replicas.create(at, renewable=renewable, expires=expires))
        return Known(subject, Life(self.now, subject.family.until, renewable))

    def requests(self, known: Known) -> st.SearchStrategy[Request]:
        newest = known.subject.newest
        return st.one_of(
            st.builds(Redeem, redeem_fault),
            st.builds(Refresh, back.map(lambda back: max(1, newest - back)), refresh_fault),
            st.sampled_from([Refresh(newest), Refresh(max(1, newest - 1))]),
            st.builds(Revoke, st.sampled_from(["client", "client", "none"])),
            st.sampled_from([Authenticate(), Use(), Use()]),
        )

    def ask(self, known: Known, at: int, request: Request) -> None:
        provider = self.provider_for(known, at)
        answer = self.settled(self.replicas.ask(at, known.subject, request))
        allowed = {
            outcome
            for life in known.lives
            for outcome in outcomes(life, request, provider, self.now)
        }
        lives = {life for life, said in allowed if said == answer}
        assert lives, (known.lives, request, provider, answer, allowed)
        known.answered(reporting(lives, known.subject.family), self.now, at)

    def all_agree(self, known: Known) -> bool:
        """Once the news has gone round, every replica tells the truth.

        Of an expiry there is no news: False where a replica may yet remember the dead.
        """
        if any(life.until <= self.now < life.until + CACHED for life in known.lives):
            return False
        self.run(self.until_all_agree(known))
        known.heard = [len(known.past)] * REPLICAS
        return True

    def exact(self, known: Known) -> set[Answer]:
        return {
            answer
            for life in known.lives
            for _, answer in outcomes(life, Authenticate(), self.provider, self.now)
        }

    async def until_all_agree(self, known: Known) -> None:
        async with asyncio.timeout(10):
            for at in range(REPLICAS):
                await self.replicas.listen(at)
                exact = self.exact(known)
                while await self.replicas.ask(at, known.subject, Authenticate()) not in exact:
                    await asyncio.sleep(0.002)

    def provider_for(self, known: Known, at: int) -> Provider:
        """A replica that has just asked in vain does not ask again for three seconds."""
        failed = known.subject.family.failed_at.get(at)
        if failed is not None and self.clock() < failed + 3:
            return "away"
        known.subject.family.provider = self.provider
        return self.provider

    def settled(self, work: Coroutine[Any, Any, T]) -> T:
        """What *work* brings, once everything behind it is done too."""

        async def all_of_it() -> T:
            result = await work
            for vault in self.replicas.vaults:
                await vault.drain()
            return result

        return self.run(all_of_it())


def reporting(lives: set[Life], family: Family) -> set[Life]:
    """Those of *lives* whose end left behind what was reported, and nothing was twice."""
    reported = set(family.reported)
    assert len(reported) == len(family.reported), family.reported
    found = {life for life in lives if life.reports(family.renewals) == reported}
    assert found, (lives, family)
    return found


def explained(
    lives: set[Life], seen: list[tuple[Request, Answer, Provider]], now: int
) -> set[Life]:
    """What the login may be after all that was *seen*, in whatever order; empty if in none."""
    if not seen:
        return lives
    ends: set[Life] = set()
    for place, (request, answer, provider) in enumerate(seen):
        after = {
            life
            for before in lives
            for life, said in outcomes(before, request, provider, now, settled=False)
            if roughly(said) == roughly(answer)
        }
        if after:
            ends |= explained(after, seen[:place] + seen[place + 1 :], now)
    return ends


def roughly(answer: Answer) -> object:
    """Those who wait for one renewal share its answer, so who of them was first is not told."""
    match answer:
        case Open(generation=generation):
            return generation
        case No(reason=Reason.UPSTREAM_REFUSED | Reason.REVOKED):
            return Reason.REVOKED
        case No(reason=reason):
            return reason
        case Away():
            return answer


@pytest.fixture(
    params=[
        "memory",
        "sqlite",
        pytest.param("postgres_url", marks=pytest.mark.xdist_group("postgres")),
        pytest.param("redis_url", marks=pytest.mark.xdist_group("redis")),
        pytest.param("cluster_url", marks=pytest.mark.xdist_group("redis")),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    match request.param:
        case "memory":
            return "memory"
        case "sqlite":
            return str(tmp_path / "store.db")
        case server:
            url: str = request.getfixturevalue(server)
            return url


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """Hypothesis knows no coroutines; the stores live in one loop of this test's own."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def replicas(runner: asyncio.Runner, place: str) -> Iterator[Replicas]:
    replicas = runner.run(Replicas.open(place, REPLICAS))
    yield replicas
    runner.run(replicas.close())


@pytest.mark.timeout(3600 if FULL else 120)
def test_every_store_keeps_the_grant_as_the_model_does(
    request: pytest.FixtureRequest, runner: asyncio.Runner, replicas: Replicas
) -> None:
    class Here(Machine):
        def __init__(self) -> None:
            super().__init__(runner, replicas)

    examples = EXAMPLES[request.node.callspec.params["place"]]
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=examples * 50 if FULL else examples,
            stateful_step_count=60 if FULL else 30,
            phases=[Phase.generate],  # a race does not come twice, so there is nothing to shrink
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
