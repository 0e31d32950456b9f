"""Which scopes a call takes, and whether those that were granted are enough."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.access.scopes import Call, Hierarchy, Rule, needed

NAMES = st.sampled_from(string.ascii_lowercase[:6])
HIERARCHIES = st.dictionaries(NAMES, st.lists(NAMES, max_size=3).map(tuple), max_size=6)


class TestHierarchy:
    LADDER = Hierarchy({"admin": ("write",), "write": ("read",)})

    def test_a_scope_holds_what_it_implies_however_far_down(self) -> None:
        assert self.LADDER.covers(["admin"], ["read", "write"])
        assert not self.LADDER.covers(["write"], ["admin"])

    def test_a_circle_ends(self) -> None:
        assert Hierarchy({"a": ("b",), "b": ("a",)}).reach(["a"]) == {"a", "b"}

    @given(implies=HIERARCHIES, granted=st.sets(NAMES))
    def test_reach_is_the_smallest_closed_set(
        self, implies: dict[str, tuple[str, ...]], granted: set[str]
    ) -> None:
        reached = Hierarchy(implies).reach(granted)
        closed = set(granted)
        for _ in range(6):
            closed |= {below for scope in closed for below in implies.get(scope, ())}
        assert reached == closed


class TestRules:
    ADMIN = Rule(path="/admin", scopes=("admin",))
    WRITE = Rule(methods=frozenset({"POST", "DELETE"}), scopes=("write",))

    @pytest.mark.parametrize(
        ("method", "path", "wanted"),
        [
            ("GET", "", ("read",)),
            ("GET", "/things", ("read",)),
            ("POST", "/things", ("read", "write")),
            ("GET", "/admin", ("read", "admin")),
            ("GET", "/admin/", ("read", "admin")),
            ("GET", "/admin/users", ("read", "admin")),
            ("DELETE", "/admin/users", ("read", "admin", "write")),
            ("GET", "/administrators", ("read",)),
        ],
    )
    def test_what_matches_adds_up(self, method: str, path: str, wanted: tuple[str, ...]) -> None:
        call = Call(method=method, path=path)
        assert needed(("read",), (self.ADMIN, self.WRITE), (call,)) == wanted

    @pytest.mark.parametrize(
        "path", ["/%61dmin", "/adm%69n/x", "/admin;x=1", "/admin;v=1/users", "/%61dmin;a/b"]
    )
    def test_attack_d09_a_path_spelled_otherwise_is_the_same_path(self, path: str) -> None:
        assert self.ADMIN.matches(Call(method="GET", path=path))

    @pytest.mark.parametrize(
        "path",
        ["/ADMIN", "/admin%3Fx", "/admin%23", "/admin%2Fx", "//admin", "/%20admin.", "/a%2f/admin",
         "/%EF%BD%81dmin/x"],
    )  # fmt: skip
    def test_attack_e02_a_path_that_a_lenient_server_takes_there_is_that_path(
        self, path: str
    ) -> None:
        assert self.ADMIN.matches(Call(method="GET", path=path))

    @pytest.mark.parametrize("path", ["/users/a%2Fb/keys", "/users//keys", "/users/a/%2F/b/keys/1"])
    def test_attack_e02_a_star_is_as_many_segments_as_the_backend_makes_of_one(
        self, path: str
    ) -> None:
        rule = Rule(path="/users/*/keys", scopes=("keys",))
        assert rule.matches(Call(method="GET", path=path))

    def test_a_star_stands_for_one_segment(self) -> None:
        rule = Rule(path="/users/*/keys", scopes=("keys",))
        assert rule.matches(Call(method="GET", path="/users/7/keys/1"))
        assert not rule.matches(Call(method="GET", path="/users/keys"))

    def test_head_is_held_to_what_get_is(self) -> None:
        rule = Rule(methods=frozenset({"GET"}), scopes=("x",))
        assert rule.matches(Call(method="HEAD", path="/"))

    def test_tools_are_named_with_stars(self) -> None:
        rule = Rule(operations=("tools/call",), tools=("delete_*",), scopes=("admin",))
        call = Call(method="POST", path="")
        assert rule.matches(call.naming("tools/call", ("delete_user",)))
        assert not rule.matches(call.naming("tools/call", ("list_users",)))
        assert not rule.matches(Call(method="POST", path=""))

    @pytest.mark.parametrize(
        ("secret", "written"),
        [
            ("tpl://a/secret", "tpl://a/secret?x=1"),
            ("tpl://a/secret", "tpl://a/secret#x"),
            ("tpl://a/secret", "tpl://a/secret?"),
            ("file:///etc/secret", "file:/etc/secret"),
            ("file:///etc/secret", "file:///etc\\secret"),
            ("file:///etc/secret", "file://localhost/etc/secret"),
            ("https://host/secret", "https:/host/secret"),
            ("https://host/secret", "https://host:443/secret"),
            ("https://host/secret", "https://user@host/secret"),
            ("res://a/secret", "res://a:/secret"),
            ("res://a/secret", "res://a/x/../%73ecret"),
        ],
    )
    def test_attack_e01_a_resource_is_the_same_however_its_uri_is_written(
        self, secret: str, written: str
    ) -> None:
        rule = Rule(operations=("resources/read",), tools=(secret,), scopes=("admin",))
        call = Call(method="POST", path="")
        assert rule.matches(call.naming("resources/read", (written,)))
        assert not rule.matches(call.naming("resources/read", (f"{secret}s",)))

    @pytest.mark.parametrize(
        ("claims", "accepted"),
        [
            ({"groups": ["staff", "ops"]}, True),
            ({"groups": "ops"}, True),
            ({"groups": ["staff"]}, False),
            ({"groups": None}, False),
            ({"groups": [7, {"a": "ops"}]}, False),
            ({}, False),
        ],
    )
    def test_claims_let_in_who_has_one_of_the_values(
        self, claims: dict[str, object], *, accepted: bool
    ) -> None:
        assert Rule(claims={"groups": ("ops", "sre-*")}).accepts(claims) is accepted
