"""Who acts for a user: chains of actors, what they revoke, and the scopes that they pass on."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mintage.access.scopes import FLAT, Hierarchy
from mintage.grants.delegation import (
    MAX_ACTORS,
    MAX_BYTES,
    Delegation,
    act_claim,
    check_size,
    is_over,
    issue_time,
    narrowed,
)
from mintage.grants.states import Reason
from mintage.grants.transitions import Keep, Refuse, Write, end_exchanges
from mintage.values import ClientId
from tests.support.grant_states import ACTIVE, NOW, PENDING, REVOKED

A, B, C = ClientId("a"), ClientId("b"), ClientId("c")
names = st.lists(st.text(min_size=1, max_size=30).map(ClientId), min_size=1, max_size=MAX_ACTORS)


def claims(**changes: Any) -> dict[str, Any]:
    said = {"client_id": "b", "iat": NOW, "act": {"sub": "b", "act": {"sub": "a"}}} | changes
    return {name: value for name, value in said.items() if value is not None}


def test_rfc8693_4_1_the_newest_actor_is_outside() -> None:
    assert act_claim((B, A)) == {"sub": "b", "act": {"sub": "a"}}
    assert Delegation.of(claims()).actors == (B, A)


@given(names)
def test_a_chain_is_read_as_it_was_written(actors: list[ClientId]) -> None:
    told = Delegation(actors=tuple(actors), issued_at=NOW, may_act=C)
    said = told.claims() | {"client_id": actors[0], "iat": NOW}
    assert Delegation.of(said) == told


@pytest.mark.parametrize(
    "changes",
    [
        {"act": None},
        {"act": "b"},
        {"act": ["b"]},
        {"act": {}},
        {"act": {"sub": 7}},
        {"act": {"sub": ""}},
        {"act": {"sub": "b", "iss": "https://elsewhere.example"}},
        {"act": {"sub": "b", "act": {"act": {"sub": "a"}}}},
        {"act": {"sub": "a"}},  # the token is another client's
        {"may_act": {"sub": 7}},
        {"may_act": "a"},
        {"may_act": {"sub": "a", "iss": "https://elsewhere.example"}},
    ],
)
def test_attack_f61_anything_else_is_no_chain(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"token|passed on"):
        Delegation.of(claims(**changes))


def test_attack_f61_a_chain_is_bounded_in_depth_and_in_size() -> None:
    check_size((A,) * MAX_ACTORS)
    for actors in ((), (A,) * (MAX_ACTORS + 1), (ClientId("é" * (MAX_BYTES // 2 + 1)),)):
        with pytest.raises(ValueError, match=r"passed on|too long"):
            check_size(actors)
    deep: dict[str, Any] = {"sub": "a"}
    for _ in range(5000):
        deep = {"sub": "b", "act": deep}
    # Which of the two bounds is met first, Python's or ours, depends on the version of Python.
    with pytest.raises(ValueError, match=r"does not say|passed on"):
        Delegation.of(claims(act=deep))


def told(*actors: ClientId, at: int = NOW) -> Delegation:
    return Delegation(actors=actors, issued_at=at)


def test_an_actor_ends_what_it_got_and_what_was_made_of_it() -> None:
    ended = replace(ACTIVE, exchanges_ended={A: NOW})
    assert is_over(ended, told(A))
    assert is_over(ended, told(B, A))
    assert not is_over(ended, told(B))
    assert not is_over(ended, told(A, at=NOW + 1))
    assert not is_over(ended, None)
    assert not is_over(ACTIVE, told(A))


def test_what_is_issued_after_a_revocation_in_the_same_second_is_good() -> None:
    ended = replace(ACTIVE, exchanges_ended={A: NOW})
    at = issue_time(ended, (B, A), now=NOW)
    assert not is_over(ended, told(B, A, at=at))
    assert issue_time(ended, (B,), now=NOW) == NOW


def test_ending_exchanges_is_one_write_and_only_on_a_live_grant() -> None:
    once = end_exchanges(ACTIVE, A, at=NOW)
    assert isinstance(once, Write)
    assert once.grant == replace(ACTIVE, exchanges_ended={A: NOW})
    assert end_exchanges(once.grant, A, at=NOW) == Keep(once.grant)
    both = end_exchanges(once.grant, B, at=NOW + 1)
    assert isinstance(both, Write)
    assert both.grant.exchanges_ended == {A: NOW, B: NOW + 1}
    assert end_exchanges(PENDING, A, at=NOW) == Refuse(Reason.NOT_ACTIVE)
    assert end_exchanges(REVOKED, A, at=NOW) == Refuse(Reason.REVOKED)


scopes = st.lists(st.sampled_from("abcdef"), unique=True).map(tuple)


@given(asked=st.none() | scopes, held=scopes, target=scopes, allowed=scopes)
def test_attack_f60_what_is_given_is_in_all_of_them(
    asked: Any, held: Any, target: Any, allowed: Any
) -> None:
    possible = set(held) & set(target) & set(allowed)
    try:
        given = set(narrowed(asked, held=held, target=target, allowed=allowed, hierarchy=FLAT))
    except ValueError:
        assert asked is not None
        assert not set(asked) <= possible
    else:
        assert given == (possible if asked is None else set(asked)) <= possible


def test_a_scope_includes_what_the_settings_say() -> None:
    hierarchy = Hierarchy({"files": ("files.read",)})
    rules: dict[str, Any] = {"target": ("files", "files.read"), "hierarchy": hierarchy}
    assert narrowed(None, held=("files",), allowed=("files.read",), **rules) == ("files.read",)
    with pytest.raises(ValueError, match=r"^files\.read$"):
        narrowed(("files",), held=("files.read",), allowed=("files", "files.read"), **rules)
