"""The authorization endpoint (OAuth 2.1, RFC 6749 §3.1 and §4.1, RFC 7636), line by line."""

import re
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from mintage.grants.pkce import s256
from mintage.testing.oauth_client import REDIRECT_URI, answer_of, approve
from tests.server.ways_back import told, way_back
from tests.support.world import World

DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]*")  # RFC 6749 §4.1.2.1


async def refusal(world: World, **changes: str | None) -> dict[str, str]:
    """What the client hears of a request with these *changes*."""
    client = await world.client()
    login = client.authorization(**changes)
    answer = await world.http.get(login.url)
    assert answer.status_code == 400, answer.text
    assert "location" not in answer.headers
    heard = told(answer)
    assert (heard["iss"], heard["state"]) == (world.issuer, login.state)
    return heard


async def test_spec061_get_and_post_are_read_alike_and_what_is_unknown_is_left_out(
    world: World,
) -> None:
    client = await world.client()
    url, query = client.authorization(unheard_of="x", claims="{}").url.split("?")
    assert (await world.http.get(f"{url}?{query}")).status_code == 200
    headers = {"content-type": "application/x-www-form-urlencoded"}
    posted = await world.http.post(url, content=query, headers=headers)
    assert posted.status_code == 200


@pytest.mark.parametrize(
    "name", ["response_type", "scope", "code_challenge", "code_challenge_method", "prompt"]
)
async def test_spec061_a_parameter_given_twice_is_an_error(world: World, name: str) -> None:
    client = await world.client()
    answer = await world.http.get(f"{client.authorization().url}&{name}=x&{name}=x")
    assert told(answer)["error"] == "invalid_request"


async def test_spec061_a_state_given_twice_is_an_error_and_comes_back_to_nobody(
    world: World,
) -> None:
    client = await world.client()
    answer = await world.http.get(f"{client.authorization().url}&state=another")
    heard = told(answer)
    assert heard["error"] == "invalid_request"
    assert "state" not in heard


async def test_spec061_an_empty_value_is_as_if_it_were_not_there(world: World) -> None:
    client = await world.client()
    login = client.authorization(scope="", prompt="", max_age="", login_hint="", resource="")
    assert (await world.http.get(login.url)).status_code == 200
    assert (await refusal(world, code_challenge=""))["error"] == "invalid_request"


async def test_spec062_no_endpoint_has_a_fragment(world: World) -> None:
    path = "/.well-known/oauth-authorization-server"
    metadata = (await world.http.get(f"{world.issuer}{path}")).json()
    urls = [value for name, value in metadata.items() if name.endswith(("_endpoint", "_uri"))]
    assert urls
    assert not [url for url in urls if "#" in url]


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": 'a"b\\c'},
        {"scope": "ü\n"},
        {"response_type": 'co"de\r\nx: y'},
        {"prompt": "\x00"},
        {"resource": 'https://elsewhere.example/"\\'},
    ],
)
async def test_spec064_a_description_is_of_the_letters_that_it_may_have(
    world: World, changes: dict[str, str]
) -> None:
    heard = await refusal(world, **changes)
    assert DESCRIPTION.fullmatch(heard["error_description"])
    assert heard["error"].isascii()


async def test_spec064_a_state_comes_back_to_the_letter(world: World) -> None:
    client = await world.client()
    state = "a b+c%20&=#ü\"'<>"
    login = client.authorization(state=state, response_type="token")
    answer = await world.http.get(login.url)
    assert told(answer)["state"] == state


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"scope": "tools é"}, "invalid_scope"),
    ],
)
async def test_spec065_what_is_not_supported_is_said_in_the_rfcs_words(
    world: World, changes: dict[str, str | None], error: str
) -> None:
    assert (await refusal(world, **changes))["error"] == error


@pytest.mark.parametrize("kind", ["none", "client_secret_basic"])
async def test_spec066_there_is_no_login_without_a_challenge(world: World, kind: str) -> None:
    client = await world.client(token_endpoint_auth_method=kind)
    answer = await world.http.get(client.authorization(code_challenge=None).url)
    assert told(answer)["error"] == "invalid_request"


@pytest.mark.parametrize("method", [None, "plain", "s256", "S512", "S256 "])
async def test_spec067_a_method_left_out_means_plain_and_only_s256_is_taken(
    world: World, method: str | None
) -> None:
    heard = await refusal(world, code_challenge_method=method)
    assert heard["error"] == "invalid_request"
    assert "S256" in heard["error_description"]


@pytest.mark.parametrize(
    "challenge", ["abc", "x" * 42, "x" * 44, "x" * 128, "x" * 42 + "=", "x" * 42 + "~", "ü" * 43]
)
async def test_spec068_a_challenge_is_the_base64url_of_a_hash(world: World, challenge: str) -> None:
    assert (await refusal(world, code_challenge=challenge))["error"] == "invalid_request"


async def test_spec069_spec079_a_code_says_nothing_cannot_be_guessed_and_does_not_last(
    world: World,
) -> None:
    client = await world.client()
    async with world.browser() as browser:
        login, code = await client.log_in(browser)
        _, another = await client.log_in(browser)
        assert len(code) >= 22  # 128 bits of base64url
        common = sum(a == b for a, b in zip(code, another, strict=True))
        assert common < len(code) / 2
        assert s256(login.verifier) not in code
        world.clock.advance(600)
        late = await client.redeem(login, code)
    assert (late.status_code, late.json()["error"]) == (400, "invalid_grant")


async def test_spec070_a_redirect_never_carries_a_form_along(world: World) -> None:
    """303: the browser goes on with a GET, whatever it came with (RFC 9700 §4.12)."""
    seen = []
    client = await world.client(redirect_uris=["https://app.example/cb"])
    client.redirect_uri = "https://app.example/cb"
    async with world.browser() as browser:
        browser._on_response = lambda answer: seen.append(answer.status_code)
        await client.log_in(browser)
    moved = {status for status in seen if 300 <= status < 400}
    assert moved == {302, 303}, "the fake provider's own is 302"
    assert seen[-1] == 303


async def test_spec071_a_redirect_uris_own_query_stays_in_front(world: World) -> None:
    uri = f"{REDIRECT_URI}?tenant=7&x=%20"
    client = await world.client(redirect_uris=[uri])
    client.redirect_uri = uri
    async with world.browser() as browser:
        landed = await approve(browser, client.authorization().url)
    assert landed.url.startswith(f"{uri}&")
    assert parse_qs(urlsplit(landed.url).query)["tenant"] == ["7"]
    assert answer_of(landed)["code"]


@pytest.mark.parametrize("resource", ["/mcp", "mcp", "not a url", "FRAGMENT", "https://x.example"])
async def test_spec097_a_resource_that_is_none_of_ours_is_invalid_target_everywhere(
    world: World, resource: str
) -> None:
    named = f"{world.resource}#part" if resource == "FRAGMENT" else resource
    assert (await refusal(world, resource=named))["error"] == "invalid_target"
    client = await world.client()
    async with world.browser() as browser:
        login, code = await client.log_in(browser)
    answer = await client.redeem(login, code, resource=named)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")
    tokens = (await client.redeem(login, code)).json()
    answer = await client.refresh(tokens["refresh_token"], resource=named)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")


async def test_spec100_iss_is_there_once(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        landed = await approve(browser, client.authorization().url)
    refused = await world.http.get(client.authorization(prompt="none").url)
    for url in (landed.url, way_back(refused)):
        assert parse_qs(urlsplit(url).query)["iss"] == [world.issuer]


async def test_spec118_no_page_tells_others_where_it_was_or_loads_from_them(world: World) -> None:
    client = await world.client()
    login = client.authorization()
    pages = [
        await world.http.get(login.url),
        await world.http.get(f"{world.issuer}/authorize?{urlencode({'client_id': 'x'})}"),
        await world.http.get(f"{world.issuer}/callback?state=x&code=x"),
    ]
    async with world.browser() as browser:
        browser._on_response = pages.append
        await approve(browser, login.url)
    own = [page for page in pages if str(page.url).startswith(world.issuer)]
    assert len(own) >= 5
    for page in own:
        assert page.headers["referrer-policy"] == "no-referrer", page.url
        assert not re.search(r"srcset=|url\((?!#)", page.text), page.url
        loaded = re.findall(r'src="([^"]*)|<link[^>]*href="([^"]*)', page.text)
        assert {"".join(one) for one in loaded} == {"/branding/icon.svg"}, page.url


async def test_spec119_our_own_leg_has_state_nonce_and_s256_each_time_anew(world: World) -> None:
    client = await world.client()
    async with world.browser() as browser:
        await client.log_in(browser)
        await client.log_in(browser)
    one, other = (q for q in world.upstream.queries if "code_challenge" in q)
    assert one["code_challenge_method"] == other["code_challenge_method"] == "S256"
    for name in ("state", "nonce", "code_challenge"):
        assert one[name] != other[name]
        assert len(one[name]) >= 43
