"""Pushed authorization requests (RFC 9126), against a running server."""

import re
from typing import Any
from urllib.parse import urlencode

import httpx2
import msgspec
import pytest

from mintage.crypto.base64url import decode_text, encode_text
from mintage.grants.pkce import s256
from mintage.server.pushed_requests import PREFIX
from mintage.testing.browser import Browser, Page
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient, answer_of, approve
from tests.support.client_keys import claims_of, form_of, jwks, key, sign
from tests.support.world import World

VERIFIER = "v" * 43
SECRET = "a secret that the operator gave to the client"


@pytest.fixture
def overrides() -> dict[str, Any]:
    confidential = {
        "client_id": "confidential",
        "client_secret": "env:CLIENT_SECRET",
        "redirect_uris": [REDIRECT_URI],
    }
    pushing = {
        "client_id": "pushing",
        "redirect_uris": [REDIRECT_URI],
        "require_pushed_authorization_requests": True,
    }
    return {"client": [confidential, pushing]}


@pytest.fixture(autouse=True)
def _client_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT_SECRET", SECRET)


def parameters(client: OAuthClient, **more: str | None) -> dict[str, str]:
    wanted: dict[str, str | None] = {
        "client_id": client.client_id,
        "response_type": "code",
        "redirect_uri": REDIRECT_URI,
        "state": "st",
        "code_challenge": s256(VERIFIER),
        "code_challenge_method": "S256",
        "resource": client.resource,
        "scope": "tools",
    }
    return {name: value for name, value in (wanted | more).items() if value is not None}


async def push(world: World, client: OAuthClient, **more: str | None) -> httpx2.Response:
    return await world.http.post(f"{world.issuer}/par", data=parameters(client, **more))


def address(world: World, client_id: str, request_uri: str, **more: str) -> str:
    query = {"client_id": client_id, "request_uri": request_uri} | more
    return f"{world.issuer}/authorize?{urlencode(query)}"


async def pushed(world: World, client: OAuthClient, **more: str | None) -> str:
    """The address to open for a request that was pushed."""
    answer = await push(world, client, **more)
    assert answer.status_code == 201, answer.text
    return address(world, client.client_id, answer.json()["request_uri"])


def configured(world: World, client_id: str) -> OAuthClient:
    return OAuthClient(world.issuer, world.http, world.resource, client_id=client_id)


async def redeem(client: OAuthClient, landed: Page) -> httpx2.Response:
    return await client.token(
        grant_type="authorization_code",
        code=answer_of(landed)["code"],
        redirect_uri=REDIRECT_URI,
        code_verifier=VERIFIER,
    )


async def refused(world: World, url: str) -> str:
    """What a page tells the developer about an address at which no login may begin."""
    async with world.browser() as browser:
        page = await browser.open(url)
    assert page.status == 400, page.text
    assert 'name="request"' not in page.text, "no consent page"
    found = re.search(r"<code[^>]*>(.*?)</code>", page.text, re.DOTALL)
    return page.text if found is None else found[1]


async def test_spec125_a_pushed_request_leads_to_tokens(world: World) -> None:
    """RFC 9126 §2.2: 201, request_uri and expires_in, and nothing that a cache may keep."""
    client = await world.client()
    before = world.stored()
    answer = await push(world, client)
    assert answer.status_code == 201
    assert set(answer.json()) == {"request_uri", "expires_in"}
    assert answer.json()["expires_in"] == 90
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["request_uri"].startswith("urn:ietf:params:oauth:request_uri:")
    assert world.stored() == before, "a pushed request is stored nowhere"
    async with world.browser() as browser:
        url = address(world, client.client_id, answer.json()["request_uri"])
        landed = await approve(browser, url)
    assert answer_of(landed)["state"] == "st"
    assert (await redeem(client, landed)).json()["scope"] == "tools"


async def test_spec125_what_is_in_the_address_too_counts_for_nothing(world: World) -> None:
    """RFC 9101 §5, which RFC 9126 §4 refers to: only the pushed parameters are used."""
    client = await world.client()
    url = await pushed(world, client, scope="tools", state="pushed")
    more = {"state": "mine", "scope": "other", "redirect_uri": "https://evil.example/"}
    async with world.browser() as browser:
        landed = await approve(browser, f"{url}&{urlencode(more)}&resource=https://evil.example")
    assert landed.url.startswith(REDIRECT_URI)
    assert answer_of(landed)["state"] == "pushed"


async def test_spec125_the_client_authenticates_as_at_the_token_endpoint(world: World) -> None:
    """RFC 9126 §2: also with HTTP Basic; and a wrong secret is 401 with its challenge."""
    client = configured(world, "confidential")
    url = f"{world.issuer}/par"
    no_proof = await push(world, client)
    assert (no_proof.status_code, no_proof.json()["error"]) == (401, "invalid_client")
    wrong = await world.http.post(url, data=parameters(client), auth=("confidential", "x" * 32))
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert wrong.headers["www-authenticate"].startswith("Basic")
    right = await world.http.post(url, data=parameters(client), auth=("confidential", SECRET))
    assert right.status_code == 201


async def test_attack_e15_an_assertion_with_a_pushed_request_costs_no_write(world: World) -> None:
    """A client that registered itself: its assertion counts once here, and is not stored."""
    client = await world.client(token_endpoint_auth_method="private_key_jwt", jwks=jwks(key()))
    before = world.stored()
    claims = claims_of(client.client_id, now=world.clock(), issuer=world.issuer)
    proof = form_of(sign(claims))
    first = await push(world, client, **proof)
    assert first.status_code == 201
    again = await push(world, client, **proof)
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")
    assert world.stored() == before


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"request_uri": f"{PREFIX}abc"}, "invalid_request"),
        ({"request": "eyJ.eyJ.x"}, "request_not_supported"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"redirect_uri": "https://evil.example/"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"resource": "https://other.example/"}, "invalid_target"),
        ({"scope": "\x07"}, "invalid_scope"),
        ({"prompt": "none"}, "login_required"),
        ({"state": "s" * 1025}, "invalid_request"),
    ],
)
async def test_spec125_a_request_is_checked_when_it_is_pushed(
    world: World, more: dict[str, str | None], error: str
) -> None:
    """RFC 9126 §2.1: as at the authorization endpoint, with its error codes (§2.3)."""
    answer = await push(world, await world.client(), **more)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert answer.headers["cache-control"] == "no-store"


async def test_spec125_other_methods_and_sizes(world: World) -> None:
    """RFC 9126 §2.3: 405 and 413."""
    url, client = f"{world.issuer}/par", await world.client()
    got = await world.http.get(url)
    assert (got.status_code, got.headers["allow"]) == (405, "POST")
    assert (await push(world, client, padding="x" * 70_000)).status_code == 413
    random = "".join(s256(str(n)) for n in range(110))
    assert (await push(world, client, padding=random)).status_code == 413, "not in an address"
    zeros = await push(world, client, padding="0" * 60_000)
    assert zeros.status_code == 201, "what compresses well fits"
    assert len(zeros.json()["request_uri"]) < 4096


class TestLimit:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"limits": {"pushed_requests_per_address": 2}}

    async def test_spec125_too_many_from_one_address(self, world: World) -> None:
        """RFC 9126 §2.3: 429."""
        client = await world.client()
        statuses = [(await push(world, client)).status_code for _ in range(3)]
        assert statuses == [201, 201, 429]


async def test_spec125_the_metadata_tells_of_it(world: World) -> None:
    """RFC 9126 §5. A request_uri of its own needs no request_uri_parameter_supported."""
    url = f"{world.issuer}/.well-known/oauth-authorization-server"
    metadata = (await world.http.get(url)).json()
    assert metadata["pushed_authorization_request_endpoint"] == f"{world.issuer}/par"
    assert metadata["require_pushed_authorization_requests"] is False
    assert metadata["request_parameter_supported"] is False
    assert metadata["request_uri_parameter_supported"] is False


class TestRequired:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"par": {"required": True, "lifetime": 30}}

    async def test_spec125_all_clients_must_push(self, world: World) -> None:
        url = f"{world.issuer}/.well-known/oauth-authorization-server"
        assert (await world.http.get(url)).json()["require_pushed_authorization_requests"] is True
        client = await world.client()
        assert "must be pushed" in (await refused(world, client.authorization().url))
        answer = await push(world, client)
        assert answer.json()["expires_in"] == 30
        async with world.browser() as browser:
            url = address(world, client.client_id, answer.json()["request_uri"])
            landed = await approve(browser, url)
        assert "code" in answer_of(landed)


class TestAnotherAccount:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"par": {"required": True}, "allow": [{"email_domains": ["example.com"]}]}

    async def test_another_account_needs_no_new_push(self, world: World) -> None:
        """No code came of the first one, so the link on the page pushes it once more."""
        client = await world.client()
        world.upstream.claims["email"] = "bob@elsewhere.example"
        async with world.browser() as browser:
            page = await approve(browser, await pushed(world, client))
            assert page.status == 403
            (link,) = re.findall(r'href="(/authorize[^"]+)"', page.text)
            assert "redirect_uri" not in link
            world.upstream.claims["email"] = "bob@example.com"
            landed = await approve(browser, world.issuer + link.replace("&amp;", "&"))
        assert world.upstream.queries[-1]["prompt"] == "select_account"
        assert answer_of(landed)["state"] == "st"
        assert (await redeem(client, landed)).status_code == 200


async def test_spec125_a_client_may_require_it_of_itself(world: World) -> None:
    """RFC 9126 §6: by its registration, or in the settings."""
    url = f"{world.issuer}/register"
    body = {
        "redirect_uris": [REDIRECT_URI],
        "token_endpoint_auth_method": "none",
        "require_pushed_authorization_requests": True,
    }
    registered = (await world.http.post(url, json=body)).json()
    assert registered["require_pushed_authorization_requests"] is True
    for client_id in (registered["client_id"], "pushing"):
        client = configured(world, client_id)
        async with Browser(stop_at=(REDIRECT_URI,)) as browser:
            page = await browser.open(client.authorization().url)
            assert 'name="request"' not in page.text
            landed = await approve(browser, await pushed(world, client))
            assert "code" in answer_of(landed)


async def test_a_page_may_be_loaded_again_and_a_denial_uses_nothing_up(world: World) -> None:
    client = await world.client()
    url = await pushed(world, client)
    before = world.stored()
    async with world.browser() as browser:
        await browser.open(url)
        page = await browser.open(url)
        denied = await browser.submit(page, {"decision": "deny"})
        assert answer_of(denied)["error"] == "access_denied"
        assert world.stored() == before
        landed = await approve(browser, url)
    assert "code" in answer_of(landed)


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"request": "eyJ.eyJ.x"}, "request_not_supported"),
        ({"request_uri": "https://client.example/request.jwt"}, "request_uri_not_supported"),
    ],
)
async def test_request_objects_are_refused_by_their_own_errors(
    world: World, more: dict[str, str], error: str
) -> None:
    """RFC 9101 §7; a client that the operator configured gets it at its address."""
    client = configured(world, "confidential")
    async with Browser(stop_at=(REDIRECT_URI,)) as browser:
        landed = await browser.open(client.authorization(**more).url)
    assert answer_of(landed)["error"] == error


async def test_a_request_uri_with_a_request_object_is_refused(world: World) -> None:
    """RFC 9101 §5: one of the two."""
    client = await world.client()
    assert "without request" in await refused(world, await pushed(world, client) + "&request=x")


async def test_attack_f30_a_request_uri_is_used_again(world: World) -> None:
    client = await world.client()
    url = await pushed(world, client)
    async with world.browser() as first, world.browser() as second:
        waiting = await second.open(url)
        landed = await approve(first, url)
        assert "code" in answer_of(landed)
        assert "was used before" in await refused(world, url)
        late = await second.submit(waiting, {"decision": "approve"})
    assert late.status == 400
    assert "finished already" in late.text
    world.clock.advance(89)
    assert "was used before" in await refused(world, url)


async def test_attack_f30_used_again_after_it_has_expired_while_its_pages_are_open(
    world: World,
) -> None:
    """The claim lasts for as long as any login with it may: two pages of ten minutes."""
    client = await world.client()
    url = await pushed(world, client)
    async with world.browser() as first, world.browser() as second:
        world.clock.advance(89)
        waiting = await second.open(url)
        await approve(first, url)
        world.clock.advance(599)
        late = await second.submit(waiting, {"decision": "approve"})
    assert "finished already" in late.text


async def test_attack_f31_another_client_uses_a_request_uri(world: World) -> None:
    owner, thief = await world.client(), await world.client()
    request_uri = (await push(world, owner)).json()["request_uri"]
    said = await refused(world, address(world, thief.client_id, request_uri))
    assert "gave to this client" in said


async def test_attack_f32_a_request_uri_that_has_expired(world: World) -> None:
    client = await world.client()
    url = await pushed(world, client)
    world.clock.advance(90)
    assert "has expired" in await refused(world, url)


async def test_attack_f33_a_request_uri_that_was_changed_or_made_elsewhere(world: World) -> None:
    """Each byte of it is authenticated, and it is for one issuer."""
    client = await world.client()
    request_uri = (await push(world, client)).json()["request_uri"]
    raw = decode_text(request_uri.removeprefix(PREFIX))
    for place in range(0, len(raw), 7):
        changed = bytearray(raw)
        changed[place] ^= 1
        url = address(world, client.client_id, PREFIX + encode_text(bytes(changed)))
        assert "gave to this client" in await refused(world, url)
    for odd in (PREFIX, PREFIX + "x", PREFIX + "A" * 5000, request_uri + "A", request_uri + "="):
        assert "gave to this client" in await refused(world, address(world, client.client_id, odd))


async def test_attack_f33_another_issuer_with_the_same_secret(world: World) -> None:
    from mintage.app.pushed_requests import pushed_seal

    client = await world.client()
    ours = pushed_seal(world.config, lambda size: b"r" * size)
    other = msgspec.structs.replace(ours, issuer="https://other.example")
    form = {name: (value,) for name, value in parameters(client).items()}
    until = int(world.clock()) + 60
    for seal, good in ((ours, True), (other, False)):
        uri = seal.seal(form, client_id=client.client_id, expires_at=until)
        async with world.browser() as browser:
            page = await browser.open(address(world, client.client_id, uri))
        assert ('name="request"' in page.text) == good
