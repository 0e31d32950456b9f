"""Whatever a provider says of its users, what is kept of it has the types that rules rely on."""

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintage.errors import UpstreamError, UpstreamMisbehaved
from mintage.grants.states import Identity
from mintage.upstream.answers import believed, to_a_token_request
from mintage.upstream.identity import from_answers, from_claims
from mintage.upstream.json_paths import Each, Pick
from mintage.upstream.oauth2 import Asking, read_tokens
from mintage.upstream.preset import IdentityMap, Preset
from mintage.upstream.presets import PRESETS
from mintage.upstream.protocol import HttpResponse

NAMES = (
    "user", "emails", "teams", "orgs", "guilds", "sites", "answer", "profile", "organization",
    "id", "sub", "iss", "login", "slug", "email", "verified", "primary", "email_verified",
    "groups", "organizations", "name", "url", "org_id", "account_id", "user_id", "nickname",
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)
    ),
    max_leaves=20,
)
OBJECTS = st.dictionaries(st.sampled_from(NAMES), JSON)

Build = Callable[[], Identity]


def check(identity: Identity) -> None:
    claims = identity.claims
    assert isinstance(identity.subject, str)
    assert 0 < len(identity.subject) <= 255
    for name in ("groups", "organizations"):
        assert all(isinstance(member, str) for member in claims.get(name, []))
    assert claims.get("email_verified") in (None, True, False)
    assert "email_verified" not in claims or "email" in claims
    words = claims.keys() - {"groups", "organizations", "email_verified"}
    assert all(isinstance(claims[name], str) for name in words)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(claims)) == claims


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_any_answer_is_an_identity_or_refused(preset: Preset) -> None:
    @settings(max_examples=40)
    @given(answers=OBJECTS, userinfo=OBJECTS)
    def holds(answers: dict[str, Any], userinfo: dict[str, Any]) -> None:
        signed = answers | {"iss": "https://idp.example", "sub": "alice"}
        told = userinfo and userinfo | {"sub": "alice"}
        builds: list[Build] = [
            lambda: from_answers(answers, preset.identity, issuer="https://idp.example"),
            lambda: from_claims(signed, told, preset.identity),
        ]
        for build in builds:
            try:
                check(build())
            except UpstreamMisbehaved:
                continue

    holds()


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_any_token_answer_is_read_or_refused(preset: Preset) -> None:
    names = ("access_token", "refresh_token", "expires_in", "token_type", "scope", "ok", "error",
             "authed_user")  # fmt: skip
    bodies = st.dictionaries(st.sampled_from(names), JSON).map(msgspec.json.encode) | st.binary()
    kinds = st.sampled_from(["application/json", "application/x-www-form-urlencoded", "", ";"])

    @settings(max_examples=40)
    @given(body=bodies, kind=kinds, status=st.sampled_from([200, 201, 400, 401, 403, 404]))
    def holds(body: bytes, kind: str, status: int) -> None:
        response = HttpResponse(status=status, headers={"content-type": kind}, body=body)
        try:
            answer = believed(to_a_token_request(response, preset.quirks))
            tokens, _ = read_tokens(
                answer, now=1000, quirks=preset.quirks, asking=Asking(60, ending=True)
            )
        except UpstreamError:
            return
        assert status == 200
        assert tokens.access_token.isascii()
        assert tokens.access_token.isprintable()

    holds()


class TestPicking:
    DOCUMENT: ClassVar[Any] = {
        "a/b": {"~": 1},
        "mails": [{"at": "x", "main": False}, {"at": "y", "main": True}, {"at": "z", "main": 1}],
        "teams": [{"org": {"name": "o"}, "slug": "s"}, {"slug": "t"}, 5, {"org": 1, "slug": "u"}],
    }

    @pytest.mark.parametrize(
        ("pick", "value"),
        [
            (Pick.pointer("/a~1b/~0"), 1),
            (Pick.pointer("/missing/x"), None),
            (Pick(("mails", "at"), where=("main",)), "y"),
            (Pick(("mails", "at"), where=("main", "missing")), None),
            (Pick(("mails", "at")), None),
            (Each(("teams",), (("org", "name"), ("slug",))), ["o/s"]),
            (Each(("teams",), (("slug",),)), ["s", "t", "u"]),
            (Each(("mails", "at"), (("slug",),)), None),
        ],
    )
    def test_finds_what_is_there(self, pick: Pick | Each, value: Any) -> None:
        assert pick.read(self.DOCUMENT) == value

    @pytest.mark.parametrize("text", ["", "a", "a/b"])
    def test_a_pointer_begins_with_a_slash(self, text: str) -> None:
        with pytest.raises(ValueError, match="JSON pointer"):
            Pick.pointer(text)


def test_a_subject_is_never_a_truth_value() -> None:
    values: list[Any] = [True, False, 0, -5, 2**60, 1.0, [], {}, ""]
    for value in values:
        with pytest.raises(UpstreamMisbehaved):
            from_answers({"id": value}, IdentityMap(subject=Pick(("id",))), issuer="i")
