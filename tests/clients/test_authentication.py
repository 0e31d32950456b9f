"""Client authentication (RFC 6749 §2.3): the registered method, and only that."""

import base64
import logging
from collections.abc import Mapping
from functools import partial
from urllib.parse import quote_plus

import pytest

from mintage.clients.authentication import Authenticator
from mintage.clients.client import AuthMethod, Client
from mintage.clients.directory import Directory
from mintage.clients.fetching import GuardedFetch
from mintage.clients.policy import DocumentPolicy
from mintage.clients.published import Published
from mintage.clients.registration import ClientIds, Registration
from mintage.errors import InvalidClient, InvalidRequest
from mintage.testing.clock import ManualClock
from tests.support.world import World

CLIENT_IDS = ClientIds(b"k" * 32)
CLOCK = ManualClock()


async def never(name: bytes, *, expires_at: int) -> bool:
    raise AssertionError("nothing that has no key may claim anything")


async def nothing(_: Client) -> bool:
    return False


AUTHENTICATE = partial(
    Authenticator(
        directory=Directory(CLIENT_IDS),
        published=Published(GuardedFetch(), policy=DocumentPolicy(enabled=False), clock=CLOCK),
        issuer="https://auth.example.com",
        claim=never,
        clock=CLOCK,
    ),
    concerns=nothing,
)


def registered(method: AuthMethod, salt: bytes = b"saltsalt") -> Client:
    registration = Registration(
        redirect_uris=("https://a.example/cb",),
        client_name="A client",
        token_endpoint_auth_method=method,
        grant_types=("authorization_code",),
    )
    return CLIENT_IDS.issue(registration, now=0, salt=salt).client


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def form(**fields: str) -> Mapping[str, tuple[str, ...]]:
    return {name: (value,) for name, value in fields.items()}


PUBLIC = registered("none")
BASIC = registered("client_secret_basic")
POST = registered("client_secret_post")
OTHER = registered("client_secret_basic", b"salty")
SECRET = BASIC.secret or ""
POSTED = POST.secret or ""


class TestWhoMayPass:
    async def test_a_public_client_by_its_id(self) -> None:
        assert await AUTHENTICATE(form(client_id=PUBLIC.client_id), None) == PUBLIC

    async def test_a_secret_in_the_form(self) -> None:
        sent = form(client_id=POST.client_id, client_secret=POSTED)
        assert await AUTHENTICATE(sent, None) == POST

    async def test_a_secret_in_the_header(self) -> None:
        assert await AUTHENTICATE({}, basic(BASIC.client_id, SECRET)) == BASIC

    async def test_the_same_client_id_in_the_form_too(self) -> None:
        sent = form(client_id=BASIC.client_id)
        assert await AUTHENTICATE(sent, basic(BASIC.client_id, SECRET)) == BASIC

    @pytest.mark.parametrize("scheme", ["basic ", "BASIC ", "Basic  "])
    async def test_the_scheme_in_any_case(self, scheme: str) -> None:
        header = scheme + basic(BASIC.client_id, SECRET).removeprefix("Basic ")
        assert await AUTHENTICATE({}, header) == BASIC

    async def test_spec078_id_and_secret_are_form_encoded_inside(self) -> None:
        def encode_all(text: str) -> str:
            return "".join(f"%{byte:02x}" for byte in text.encode())

        for encode in (quote_plus, encode_all):
            header = basic(encode(BASIC.client_id), encode(SECRET))
            assert await AUTHENTICATE({}, header) == BASIC


@pytest.mark.parametrize(
    ("fields", "authorization"),
    [
        pytest.param({"client_id": BASIC.client_id}, None, id="no secret"),
        pytest.param({"client_id": POST.client_id}, None, id="no posted secret"),
        pytest.param(
            {"client_id": BASIC.client_id, "client_secret": SECRET}, None, id="form, not header"
        ),
        pytest.param({}, basic(POST.client_id, POSTED), id="header, not form"),
        pytest.param({}, basic(PUBLIC.client_id, ""), id="a public client with Basic"),
        pytest.param(
            {"client_id": PUBLIC.client_id, "client_secret": "x"}, None, id="public with a secret"
        ),
        pytest.param({"client_id": POST.client_id, "client_secret": "x"}, None, id="wrong"),
        pytest.param(
            {"client_id": POST.client_id, "client_secret": POSTED[:-1]}, None, id="shortened"
        ),
        pytest.param(
            {"client_id": POST.client_id, "client_secret": POSTED + "\0"}, None, id="longer"
        ),
        pytest.param({"client_id": POST.client_id, "client_secret": "ü\ud800"}, None, id="no text"),
        pytest.param({}, basic(BASIC.client_id, SECRET.swapcase()), id="another case"),
        pytest.param({}, basic(BASIC.client_id, ""), id="empty"),
        pytest.param({}, basic(BASIC.client_id, OTHER.secret or ""), id="another client's"),
        pytest.param(
            {"client_id": OTHER.client_id}, basic(BASIC.client_id, SECRET), id="two client ids"
        ),
        pytest.param({"client_id": "mc1.unknown"}, None, id="unknown"),
        pytest.param({}, basic("mc1.unknown", "x"), id="unknown in the header"),
        pytest.param({}, basic("", ""), id="nothing in the header"),
        pytest.param({}, "Bearer " + SECRET, id="another scheme"),
        pytest.param({}, "Basic", id="no credentials"),
        pytest.param({}, "Basic ", id="empty credentials"),
        pytest.param({}, "Basic !!!", id="not base64"),
        pytest.param({}, "Basic ü", id="not ASCII"),
        pytest.param({}, "Basic YQ", id="not padded"),
        pytest.param({}, "Basic YQ==", id="no colon"),
        pytest.param({}, "Basic /zr/", id="not UTF-8"),
        pytest.param({}, basic("%ff", "%ff"), id="not UTF-8 inside"),
        pytest.param({}, "", id="an empty header"),
    ],
)
async def test_attack_c06_is_refused_and_tells_no_secret(
    fields: dict[str, str], authorization: str | None
) -> None:
    with pytest.raises(InvalidClient) as caught:
        await AUTHENTICATE(form(**fields), authorization)
    assert caught.value.challenge is (authorization is not None)
    said = caught.value.description + caught.value.reason
    assert SECRET not in said
    assert POSTED not in said
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("client", [BASIC, POST])
async def test_attack_c06_two_methods_at_once_are_refused(client: Client) -> None:
    secret = client.secret or ""
    sent = form(client_id=client.client_id, client_secret=secret)
    with pytest.raises(InvalidRequest, match="not two"):
        await AUTHENTICATE(sent, basic(client.client_id, secret))


@pytest.mark.parametrize("name", ["client_id", "client_secret"])
async def test_attack_c06_a_parameter_given_twice_is_refused(name: str) -> None:
    good = form(client_id=POST.client_id, client_secret=POSTED)
    with pytest.raises(InvalidRequest, match=f"{name} must be given once"):
        await AUTHENTICATE({**good, name: good[name] * 2}, None)


async def test_attack_c06_no_client_id_at_all_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="client_id is missing"):
        await AUTHENTICATE({}, None)


@pytest.mark.parametrize("path", ["/token", "/revoke"])
@pytest.mark.parametrize("way", ["header", "form"])
async def test_attack_c06_over_http_the_answer_and_the_log_hold_no_secret(
    world: World, caplog: pytest.LogCaptureFixture, path: str, way: str
) -> None:
    caplog.set_level(logging.DEBUG)
    method = "client_secret_basic" if way == "header" else "client_secret_post"
    client = await world.client(token_endpoint_auth_method=method)
    wrong = "Wr0ng-" + (client.client_secret or "")
    header = {"authorization": basic(client.client_id, wrong)} if way == "header" else {}
    secret = {} if header else {"client_id": client.client_id, "client_secret": wrong}
    answer = await world.http.post(
        world.issuer + path,
        data={"grant_type": "authorization_code", "code": "x", "token": "x", **secret},
        headers=header,
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers.get("www-authenticate", "").startswith("Basic") is (way == "header")
    for shown in (answer.text, str(answer.headers), caplog.text):
        assert (client.client_secret or "") not in shown
        assert wrong not in shown
