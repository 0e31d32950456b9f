"""The cookies of a login, and cookies that look like them to a lenient reader."""

import pytest

from mintage.testing.oauth_client import REDIRECT_URI
from tests.server.test_attacks_on_the_login import callback_url
from tests.support.world import World


@pytest.mark.parametrize("blank", [b"\xa0", b"\x85"])
async def test_attack_e12_a_cookie_behind_a_blank_does_not_stand_in_for_ours(
    world: World, blank: bytes
) -> None:
    """A subdomain can set it in a victim's browser, and so could log the victim in as itself."""
    client = await world.client()
    async with world.browser() as browser:
        callback = await callback_url(world, browser, client.authorization().url)
        cookies = world.cookies_of(browser)["cookie"]
    spelled = b"; ".join(blank + pair.encode() for pair in cookies.split("; "))
    stolen = await world.http.get(callback, headers=[(b"cookie", spelled)])
    assert stolen.status_code == 403
    own = await world.http.get(callback, headers={"cookie": cookies})
    assert f"url={REDIRECT_URI}?" in own.text
