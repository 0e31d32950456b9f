"""Logging out at a real provider, node-oidc-provider, over two processes on one store."""

from pathlib import Path

import pytest

from tests.support.logout_pair import logout_pair

pytestmark = [pytest.mark.usefixtures("node_modules"), pytest.mark.timeout(180)]

SOON = 5.0  # seconds; stress/logout.py measures it


@pytest.mark.parametrize("session_required", [True, False])
async def test_a_logout_at_the_provider_is_noticed_by_both_processes(
    tmp_path: Path,
    session_required: bool,  # noqa: FBT001
) -> None:
    async with (
        logout_pair(tmp_path, session_required=session_required) as pair,
        pair.browser() as alices,
        pair.browser() as bobs,
    ):
        client, another = await pair.client(), await pair.client()
        alice = [await pair.provider.log_in(alices, each, "alice") for each in (client, another)]
        bob = await pair.provider.log_in(bobs, client, "bob")
        for tokens in (*alice, bob):
            assert [await pair.is_accepted(each, tokens) for each in pair.addresses] == [True] * 2
        await pair.provider.log_out(alices)
        for tokens in alice:
            assert max(await pair.refusals(tokens, within=SOON)) < SOON
            refused = await client.refresh(tokens["refresh_token"])
            assert refused.status_code in (400, 401)
        assert [await pair.is_accepted(each, bob) for each in pair.addresses] == [True] * 2
        assert "ended 2" in pair.log.read_text()


async def test_another_session_of_the_user_goes_on(tmp_path: Path) -> None:
    async with (
        logout_pair(tmp_path) as pair,
        pair.browser() as desk,
        pair.browser() as phone,
    ):
        client = await pair.client()
        first = await pair.provider.log_in(desk, client, "alice")
        second = await pair.provider.log_in(phone, client, "alice")
        await pair.provider.log_out(desk)
        await pair.refusals(first, within=SOON)
        assert [await pair.is_accepted(each, second) for each in pair.addresses] == [True] * 2


async def test_signing_out_at_the_account_page_logs_out_at_the_provider_and_everywhere(
    tmp_path: Path,
) -> None:
    async with logout_pair(tmp_path) as pair, pair.browser() as browser:
        client = await pair.client()
        tokens = await pair.provider.log_in(browser, client, "alice")
        page = await browser.open(f"{pair.issuer}/account")
        page = await browser.submit(page, {"upstream": "oidc"})
        while not page.url.startswith(f"{pair.issuer}/account"):
            page = await browser.submit(page, pair.provider.filled(page, "alice"))
        asked = await browser.submit(page, {"action": "sign_out_at_provider"})
        assert asked.url.startswith(f"{pair.provider.issuer}/session/end?client_id=mintage")
        back = await pair.provider.confirm(browser, asked)
        assert back.url.startswith(f"{pair.issuer}/account")
        assert max(await pair.refusals(tokens, within=SOON)) < SOON
