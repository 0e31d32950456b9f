"""ATTACKS D02 and D03: a client_id that is a URL, and what strangers make of it."""

import asyncio
import base64
import html
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from mintage.clients.fetch_cache import FAILURE_SECONDS
from mintage.clients.fetching import SECONDS
from mintage.testing.oauth_client import OAuthClient
from tests.support.client_hosts import (
    INSIDE,
    NAME,
    OUTSIDE,
    REDIRECT_URI,
    ClientHost,
    Names,
    fetch_from_tests,
    two_hosts,
)
from tests.support.world import World


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def parts(names: Names) -> dict[str, Any]:
    return {"fetch": fetch_from_tests(names)}


@pytest.fixture
async def hosts(tmp_path: Path) -> AsyncIterator[tuple[ClientHost, ClientHost]]:
    async with two_hosts(tmp_path) as both:
        yield both


@pytest.fixture
def host(hosts: tuple[ClientHost, ClientHost]) -> ClientHost:
    """The one on the "internet"."""
    return hosts[0]


def client_at(world: World, url: str) -> OAuthClient:
    return OAuthClient(
        world.issuer, world.http, world.resource, client_id=url, redirect_uri=REDIRECT_URI
    )


async def at_authorize(world: World, client_id: str) -> httpx2.Response:
    return await world.http.get(client_at(world, client_id).authorization().url)


async def at_token(world: World, client_id: str) -> httpx2.Response:
    return await client_at(world, client_id).refresh("x")


async def at_revoke(world: World, client_id: str) -> httpx2.Response:
    return await client_at(world, client_id).revoke("x")


Ask = Callable[[World, str], Awaitable[httpx2.Response]]
EVERYWHERE: tuple[Ask, ...] = (at_authorize, at_token, at_revoke)


async def assert_refused(world: World, client_id: str, says: str = "") -> None:
    """*client_id* is refused at every endpoint, for good, and each time it is looked at anew."""
    for ask in EVERYWHERE:
        world.clock.advance(FAILURE_SECONDS)
        answer = await ask(world, client_id)
        assert answer.status_code == 401, (client_id, answer.text)
        assert says in html.unescape(answer.text), (client_id, answer.text)
        assert "location" not in answer.headers
        if ask is not at_authorize:
            assert answer.json()["error"] == "invalid_client"
    assert world.stored() == 0


async def assert_unavailable(world: World, client_id: str) -> str:
    """An outage of somebody else's: the client may try again, and keeps what it has."""
    said = ""
    for ask in EVERYWHERE:
        answer = await ask(world, client_id)
        assert answer.status_code == 503, answer.text
        assert answer.headers["retry-after"] == "10"
        if ask is not at_authorize:
            assert answer.json()["error"] == "temporarily_unavailable"
        said += answer.text
    return said


class TestAGoodDocument:
    async def test_spec041_lets_a_client_log_in_that_never_registered(
        self, world: World, host: ClientHost
    ) -> None:
        client = client_at(world, host.publish())
        async with world.browser() as browser:
            tokens = await client.tokens(browser)
        refreshed = await client.refresh(tokens["refresh_token"])
        assert refreshed.status_code == 200
        assert (await client.call(refreshed.json()["access_token"])).status_code == 200
        assert host.seen == [(f"{NAME}:{host.port}", "/client.json")]  # once for all of it

    async def test_spec052_is_named_with_its_host_on_the_consent_page(
        self, world: World, host: ClientHost
    ) -> None:
        page = await at_authorize(world, host.publish(client_name="<b>Claude"))
        assert page.status_code == 200
        assert f"published at <strong><bdi>{NAME}:{host.port}</bdi></strong>" in page.text
        assert "&lt;b&gt;Claude" in page.text

    async def test_spec041_is_said_to_be_supported(self, world: World) -> None:
        metadata = await world.http.get(f"{world.issuer}/.well-known/oauth-authorization-server")
        assert metadata.json()["client_id_metadata_document_supported"] is True

    async def test_spec042_may_have_a_query_and_upper_case_in_its_path(
        self, world: World, host: ClientHost
    ) -> None:
        host.publish("/A/b", client_id=host.url("/A/b?v=1"))
        answers = [await ask(world, host.url("/A/b?v=1")) for ask in EVERYWHERE]
        assert [answer.status_code for answer in answers] == [200, 400, 200]


INTERNAL = [
    "127.0.0.1", "127.8.8.8", "0.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255",
    "192.168.1.1", "169.254.169.254", "169.254.1.1", "100.64.0.1", "100.100.100.200", "192.0.0.192",
    "168.63.129.16", "198.18.0.1", "224.0.0.251", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::a00:1",
    "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2a00::5efe:a00:1",
    "2a00::200:5efe:a00:1", "2001:db8::1",
]  # fmt: skip


async def test_attack_d02_a_name_that_leads_inside_is_not_connected_to(
    world: World, names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    """Our log says where it leads; the client does not hear it."""
    for address in INTERNAL:
        names.answers[NAME] = [[address]]
        await assert_refused(world, f"https://{NAME}/client.json", "has no public address")
        assert str(ip_address(address)) in caplog.text


async def test_attack_d02_one_inner_address_among_good_ones_spoils_them(
    world: World, names: Names, hosts: tuple[ClientHost, ClientHost]
) -> None:
    outside, inside = hosts
    names.answers[NAME] = [[OUTSIDE, INSIDE]]
    await assert_refused(world, outside.publish())
    assert outside.seen == inside.seen == []


async def test_attack_d02_a_name_that_changes_its_mind_is_connected_where_it_was_checked(
    world: World, names: Names, hosts: tuple[ClientHost, ClientHost]
) -> None:
    """DNS rebinding: public when it is checked, ours when it is connected to."""
    outside, inside = hosts
    names.answers[NAME] = [[OUTSIDE], [INSIDE]]
    inside.publish()
    page = await at_authorize(world, outside.publish())
    assert page.status_code == 200
    assert names.asked == [NAME]
    assert (len(outside.seen), inside.seen) == (1, [])


async def test_attack_d02_a_document_that_moves_inside_is_not_followed(
    world: World, names: Names, clock: Any, hosts: tuple[ClientHost, ClientHost]
) -> None:
    """Nor does what is kept of it live on."""
    outside, inside = hosts
    names.answers[NAME] = [[OUTSIDE], [INSIDE]]
    inside.publish()
    url = outside.publish(headers={"cache-control": "max-age=60"})
    assert (await at_authorize(world, url)).status_code == 200
    clock.advance(60)
    await assert_refused(world, url)
    assert inside.seen == []


ODD_URLS = [
    "https://127.0.0.1/client.json", "https://[::1]/client.json", "https://8.8.8.8/client.json",
    "https://2130706433/client.json", "https://0x7f000001/client.json",
    "https://0177.0.0.1/client.json", "https://127.1/client.json",
    "https://[::ffff:127.0.0.1]/client.json", "https://[2606:4700::1111]/client.json",
    "https://client.example:99999/client.json", "https://client.example:0/client.json",
    "https://client.example:/client.json", "https://client.example:-1/client.json",
    "https://client.example:abc/client.json", "https://client.example:４４３/client.json",
    "https://user@client.example/client.json", "https://user:pass@client.example/client.json",
    "https://good.example@client.example/client.json", "https://client.example/client.json#a",
    "https://client.example/client.json#", "https://client.example", "https://",
    "https:///client.json", "https://client.example?x=/client.json", "https://[/client.json",
    "https://client.example/a/../client.json", "https://client.example/./client.json",
    "https://client.example/%2e%2e/client.json", "https://client.example\\@good.example/c",
    "https://client.example/a b", "https://client.example/\x00", "https://client.example/%zz",
    "https://CLIENT.example/client.json", "https://client.example./client.json",
    "https://clıent.example/client.json", "https://client..example/client.json",
    "https://client.example/" + "a" * 600,
    "HTTPS://client.example/client.json", "http://client.example/client.json",
    "file:///etc/passwd", "ftp://client.example/client.json", "gopher://client.example/_x",
    "javascript:alert(1)", "//client.example/client.json", "https:client.example/client.json",
]  # fmt: skip


async def test_attack_d02_an_odd_url_is_refused_and_nobody_is_asked(
    world: World, names: Names
) -> None:
    for url in ODD_URLS:
        await assert_refused(world, url)
    assert names.asked == []


async def test_attack_d02_a_redirect_is_not_followed(
    world: World, hosts: tuple[ClientHost, ClientHost]
) -> None:
    outside, inside = hosts
    outside.publish("/other.json", client_id=outside.url("/client.json"))
    for status in (301, 302, 303, 307, 308):
        for target in ("/other.json", f"https://{INSIDE}:{outside.port}/"):
            outside.pages["/client.json"] = RedirectResponse(target, status)
            await assert_refused(world, outside.url(), f"answered {status}")
    assert {path for _, path in outside.seen} == {"/client.json"}
    assert inside.seen == []


async def test_attack_d02_a_huge_body_is_given_up(world: World, host: ClientHost) -> None:
    sent = 0

    async def endless(_: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 4096
                yield b" " * 4096
                await asyncio.sleep(0)

        return StreamingResponse(body(), media_type="application/json")

    host.pages["/client.json"] = endless
    await assert_refused(world, host.url(), "larger than 16384 bytes")
    assert sent < 32 * 1024 * 1024  # what fits into the sockets, and no more


class TestAHostThatIsSlow:
    @pytest.fixture
    def parts(self, names: Names) -> dict[str, Any]:
        """As long as in production: TLS alone may take a second where other tests run."""
        return {"fetch": fetch_from_tests(names, seconds=SECONDS)}

    async def test_attack_d02_a_slow_body_is_given_up(self, world: World, host: ClientHost) -> None:
        async def trickle(_: Request) -> Response:
            async def body() -> AsyncIterator[bytes]:
                while True:
                    yield b" "
                    await asyncio.sleep(0.05)

            return StreamingResponse(body(), media_type="application/json")

        host.pages["/client.json"] = trickle
        assert "no answer in time" in await assert_unavailable(world, host.url())
        assert len(host.seen) == 1  # the failure is remembered for the others


async def test_attack_d02_a_body_that_says_it_is_huge_is_not_read(
    world: World, host: ClientHost
) -> None:
    host.publish(padding="x" * 20_000)
    await assert_refused(world, host.url(), "larger than")


async def test_attack_d02_a_compressed_body_is_not_inflated(world: World, host: ClientHost) -> None:
    host.publish(headers={"content-encoding": "gzip"})
    await assert_refused(world, host.url(), "compressed")


async def test_attack_d02_what_is_not_served_as_json_is_not_read(
    world: World, host: ClientHost
) -> None:
    for kind in ("text/html", "text/plain", "", "application/jsonp"):
        url = host.publish(headers={"content-type": kind})
        await assert_refused(world, url, "not served as application/json")


async def test_attack_d02_a_host_without_the_certificate_of_its_name_is_not_believed(
    world: World, names: Names, host: ClientHost
) -> None:
    url = host.url(host="stranger.example")
    host.publish(client_id=url)
    names.answers["stranger.example"] = [[OUTSIDE]]
    await assert_unavailable(world, url)
    assert host.seen == []


async def test_attack_d02_each_name_shows_its_own_certificate(
    world: World, names: Names, host: ClientHost
) -> None:
    """Two names at one address share no connection: the second is checked like the first."""
    assert (await at_authorize(world, host.publish())).status_code == 200
    url = host.url("/other.json", host="stranger.example")
    host.publish("/other.json", client_id=url)
    await assert_unavailable(world, url)
    assert len(host.seen) == 1


async def test_attack_d02_only_a_200_counts(world: World, host: ClientHost) -> None:
    document = json.dumps({"client_id": host.url()}).encode()
    for status in (201, 203, 204, 206, 400, 401, 403, 404, 410):
        body = b"" if status == 204 else document
        host.pages["/client.json"] = Response(body, status, media_type="application/json")
        await assert_refused(world, host.url(), f"answered {status}")


async def test_attack_d02_a_jwks_uri_is_guarded_like_the_document(
    world: World, names: Names, hosts: tuple[ClientHost, ClientHost]
) -> None:
    outside, inside = hosts
    names.answers["keys.client.example"] = [[INSIDE]]
    url = outside.publish(
        token_endpoint_auth_method="private_key_jwt",
        jwks_uri=outside.url("/keys.json", host="keys.client.example"),
    )
    answer = await client_at(world, "").token(
        grant_type="refresh_token",
        client_id=url,
        client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        client_assertion=f"e30.{_claims(sub=url)}.c2ln",
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert "no public address" in answer.json()["error_description"]
    assert inside.seen == []


def _claims(**claims: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()


OTHER_NAMES = [
    "https://client.example:{port}/client.json/",
    "https://client.example:{port}/Client.json",
    "https://CLIENT.example:{port}/client.json",
    "HTTPS://client.example:{port}/client.json",
    "https://client.example/client.json",
    "https://client.example:443/client.json",
    "https://client.example:{port}/client.json?",
    "https://client.example:{port}/client.json#",
    "https://client.example:{port}//client.json",
    "https://client.example:{port}/./client.json",
    "https://client.example:{port}/client%2Ejson",
    "https://www.client.example:{port}/client.json",
    "http://client.example:{port}/client.json",
    " https://client.example:{port}/client.json",
    "https://client.example:{port}/client.json\u0000",
]


async def test_attack_d03_a_document_is_only_its_own_urls(world: World, host: ClientHost) -> None:
    for claimed in OTHER_NAMES:
        url = host.publish(client_id=claimed.replace("{port}", str(host.port)))
        await assert_refused(world, url, "client_id is not the URL")
    for wrong in (None, "", 7, [host.url()], {"client_id": host.url()}):
        await assert_refused(world, host.publish(client_id=wrong), "client_id")


async def test_attack_d03_another_spelling_of_a_url_is_another_client(
    world: World, host: ClientHost
) -> None:
    """A lax web server serves the same document for all of these."""
    url = host.publish()
    page = host.pages["/client.json"]
    host.pages |= {"/client.json/": page, "/Client.json": page}
    assert (await at_authorize(world, url)).status_code == 200
    for path in ("/client.json/", "/Client.json", "/client.json?x=1", "/client.json?"):
        await assert_refused(world, host.url(path), "not the URL")


async def test_attack_d03_a_code_of_one_spelling_is_not_anothers(
    world: World, host: ClientHost
) -> None:
    """Not even if both documents are good, and the redirect URI is the same."""
    client = client_at(world, host.publish())
    other = client_at(world, host.publish("/client.json/"))
    async with world.browser() as browser:
        login, code = await client.log_in(browser)
    answer = await other.redeem(login, code)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert (await client.redeem(login, code)).status_code == 200


async def test_spec051_the_redirect_uri_must_stand_in_the_document(
    world: World, host: ClientHost
) -> None:
    client = client_at(world, host.publish())
    for uri in (f"{REDIRECT_URI}/", "https://evil.example/callback", "http://127.0.0.1/callback"):
        answer = await world.http.get(client.authorization(redirect_uri=uri).url)
        assert answer.status_code == 400
        assert "location" not in answer.headers


async def test_spec051_a_client_host_that_is_away_is_an_outage_and_no_refusal(
    world: World, host: ClientHost
) -> None:
    """A client throws its tokens away on invalid_client; so that is not said."""
    for status in (429, 500, 503):
        host.pages["/client.json"] = Response(status_code=status)
        await assert_unavailable(world, host.url())
        world.clock.advance(FAILURE_SECONDS)


async def test_query_parameters_reach_the_client_host_as_they_are(
    world: World, host: ClientHost
) -> None:
    queries: list[str] = []
    url = host.url("/c?" + urlencode({"a": "1 2"}))
    host.publish("/c", client_id=url)
    page = host.pages["/c"]

    async def record(request: Request) -> Response:
        queries.append(request.url.query)
        assert isinstance(page, Response)
        return page

    host.pages["/c"] = record
    assert (await at_authorize(world, url)).status_code == 200
    assert queries == ["a=1+2"]
