"""Token exchange (RFC 8693): a backend asks another one on behalf of a user."""

from pathlib import Path
from typing import Any

import pytest

from mintage.checks.other_servers import check_exchanging
from tests.support.exchanging import (
    ACCESS_TOKEN,
    GRANT_TYPE,
    JWT,
    SECRETS,
    call,
    exchange,
    exchanged,
    identity_at,
    logged_in,
    payload,
    refusal,
    settings,
)
from tests.support.world import World, every_store


@pytest.fixture
def overrides(tmp_path: Path) -> dict[str, Any]:
    return settings(tmp_path)


class TestANarrowerToken:
    async def test_spec124_rfc8693_2_2_1_the_response_says_what_it_is(self, world: World) -> None:
        _, tokens = await logged_in(world)
        body = await exchanged(world, "notes", tokens["access_token"], "/files")
        assert body["issued_token_type"] == ACCESS_TOKEN
        assert body["token_type"] == "Bearer"
        assert body["scope"] == "files.read mail.send"
        assert body["expires_in"] == 300
        assert "refresh_token" not in body

    async def test_rfc8693_4_1_it_names_the_user_and_who_acts(self, world: World) -> None:
        _, tokens = await logged_in(world)
        body = await exchanged(world, "notes", tokens["access_token"], "/files")
        claims = payload(body["access_token"])
        assert claims["sub"] == "alice"
        assert claims["client_id"] == "notes"
        assert claims["act"] == {"sub": "notes"}
        assert claims["aud"] == f"{world.issuer}/files"

    async def test_it_opens_the_other_resource_and_no_third_one(self, world: World) -> None:
        _, tokens = await logged_in(world)
        token = (await exchanged(world, "notes", tokens["access_token"], "/files"))["access_token"]
        answer = await call(world, "/files", token)
        assert answer.status_code == 200
        assert answer.json()["headers"]["x-forwarded-user"] == "alice"
        assert (await call(world, "/mcp", token)).status_code == 401
        assert (await call(world, "/mail", token)).status_code == 401

    async def test_the_backend_of_the_target_reads_who_acts(self, world: World) -> None:
        _, tokens = await logged_in(world)
        token = (await exchanged(world, "notes", tokens["access_token"], "/files"))["access_token"]
        signed = await identity_at(world, "/files", token)
        assert payload(signed)["act"] == {"sub": "notes"}
        assert payload(signed)["sub"] == "alice"

    async def test_audience_may_name_the_resource_too(self, world: World) -> None:
        _, tokens = await logged_in(world)
        answer = await exchange(
            world, "notes", tokens["access_token"], audience=f"{world.issuer}/files"
        )
        assert payload(answer.json()["access_token"])["aud"] == f"{world.issuer}/files"

    async def test_a_resource_without_scopes_gets_a_token_without_any(self, world: World) -> None:
        _, tokens = await logged_in(world)
        body = await exchanged(world, "notes", tokens["access_token"], "/open")
        assert "scope" not in body
        assert (await call(world, "/open", body["access_token"])).status_code == 200

    async def test_a_scope_that_the_users_token_includes_may_be_passed_on(
        self, world: World
    ) -> None:
        _, tokens = await logged_in(world)
        body = await exchanged(world, "notes", tokens["access_token"], "/files", scope="files.read")
        assert body["scope"] == "files.read"

    async def test_it_ends_with_the_subject_token_at_the_latest(self, world: World) -> None:
        _, tokens = await logged_in(world)
        end = payload(tokens["access_token"])["exp"]
        world.clock.advance(tokens["expires_in"] - 100)
        body = await exchanged(world, "notes", tokens["access_token"], "/files")
        assert payload(body["access_token"])["exp"] == end
        assert body["expires_in"] == 100

    async def test_nothing_is_stored_for_it(self, world: World) -> None:
        _, tokens = await logged_in(world)
        before = world.stored()
        for _ in range(3):
            await exchanged(world, "notes", tokens["access_token"], "/files")
        assert world.stored() == before

    async def test_the_metadata_names_the_grant_type(self, world: World) -> None:
        answer = await world.http.get(f"{world.issuer}/.well-known/oauth-authorization-server")
        assert GRANT_TYPE in answer.json()["grant_types_supported"]


class TestTheSignedIdentityOfTheGateway:
    async def test_is_a_subject_token(self, world: World) -> None:
        _, tokens = await logged_in(world)
        signed = await identity_at(world, "/mcp", tokens["access_token"])
        body = await exchanged(world, "notes", signed, "/files", subject_token_type=JWT)
        assert payload(body["access_token"])["act"] == {"sub": "notes"}
        assert (await call(world, "/files", body["access_token"])).status_code == 200

    async def test_passes_on_no_more_than_the_token_of_the_request_had(self, world: World) -> None:
        client, tokens = await logged_in(world)
        wide = await identity_at(world, "/mcp", tokens["access_token"])
        narrow = (await client.refresh(tokens["refresh_token"], scope="tools")).json()
        signed = await identity_at(world, "/mcp", narrow["access_token"])
        answer = await exchange(world, "notes", signed, "/files", subject_token_type=JWT)
        assert refusal(answer) == (400, "invalid_scope")
        assert (await exchange(world, "notes", wide, "/files", subject_token_type=JWT)).is_success

    async def test_gives_a_token_that_ends_with_the_users_token(self, world: World) -> None:
        _, tokens = await logged_in(world)
        end = payload(tokens["access_token"])["exp"]
        world.clock.advance(tokens["expires_in"] - 100)
        signed = await identity_at(world, "/mcp", tokens["access_token"])
        body = await exchanged(world, "notes", signed, "/files", subject_token_type=JWT)
        assert payload(body["access_token"])["exp"] == end

    async def test_can_be_exchanged_for_a_minute(self, world: World) -> None:
        _, tokens = await logged_in(world)
        signed = await identity_at(world, "/mcp", tokens["access_token"])
        world.clock.advance(66)
        answer = await exchange(world, "notes", signed, "/files", subject_token_type=JWT)
        assert refusal(answer) == (400, "invalid_request")

    async def test_of_a_backend_that_exchanges_nothing_is_none(self, world: World) -> None:
        _, tokens = await logged_in(world)
        body = await exchanged(world, "notes", tokens["access_token"], "/open")
        signed = await identity_at(world, "/open", body["access_token"])
        assert "subject_of" not in payload(signed)


class TestAChain:
    async def test_rfc8693_4_1_names_all_who_act_the_newest_first(self, world: World) -> None:
        _, tokens = await logged_in(world)
        first = await exchanged(world, "notes", tokens["access_token"], "/files")
        second = await exchanged(world, "files", first["access_token"], "/mail")
        claims = payload(second["access_token"])
        assert claims["act"] == {"sub": "files", "act": {"sub": "notes"}}
        assert claims["scope"] == "mail.send"
        assert (await call(world, "/mail", second["access_token"])).status_code == 200

    async def test_goes_on_through_the_gateway(self, world: World) -> None:
        _, tokens = await logged_in(world)
        first = await exchanged(world, "notes", tokens["access_token"], "/files")
        signed = await identity_at(world, "/files", first["access_token"])
        second = await exchanged(world, "files", signed, "/mail", subject_token_type=JWT)
        assert payload(second["access_token"])["act"] == {"sub": "files", "act": {"sub": "notes"}}
        end = payload(second["access_token"])["exp"]
        assert end <= payload(first["access_token"])["exp"]


class TestTheEnd:
    async def test_of_the_login_is_the_end_of_the_exchanged_token_everywhere(
        self, world: World
    ) -> None:
        client, tokens = await logged_in(world)
        body = await exchanged(world, "notes", tokens["access_token"], "/files")
        asked = {"token": body["access_token"]}
        auth = ("notes", SECRETS["notes"])
        told = await world.http.post(f"{world.issuer}/introspect", data=asked, auth=auth)
        assert told.json()["active"]
        assert told.json()["act"] == {"sub": "notes"}
        await client.revoke(tokens["refresh_token"])
        assert (await call(world, "/files", body["access_token"])).status_code == 401
        told = await world.http.post(f"{world.issuer}/introspect", data=asked, auth=auth)
        assert told.json() == {"active": False}
        again = await exchange(world, "files", body["access_token"], "/mail")
        assert refusal(again) == (400, "invalid_request")

    @every_store
    async def test_of_the_backends_tokens_is_not_the_end_of_the_login(self, world: World) -> None:
        """RFC 7009: what the backend has revoked is invalid, and so is what was made of it."""
        client, tokens = await logged_in(world)
        first = await exchanged(world, "notes", tokens["access_token"], "/files")
        second = await exchanged(world, "files", first["access_token"], "/mail")
        answer = await world.http.post(
            f"{world.issuer}/revoke",
            data={"token": first["access_token"]},
            auth=("notes", SECRETS["notes"]),
        )
        assert answer.status_code == 200
        assert (await call(world, "/files", first["access_token"])).status_code == 401
        assert (await call(world, "/mail", second["access_token"])).status_code == 401
        again = await exchange(world, "files", first["access_token"], "/mail")
        assert refusal(again) == (400, "invalid_request")
        assert (await client.call(tokens["access_token"])).status_code == 200
        assert (await client.refresh(tokens["refresh_token"])).status_code == 200
        new = await exchanged(world, "notes", tokens["access_token"], "/files")
        assert (await call(world, "/files", new["access_token"])).status_code == 200

    async def test_another_backend_revokes_nothing(self, world: World) -> None:
        _, tokens = await logged_in(world)
        first = await exchanged(world, "notes", tokens["access_token"], "/files")
        answer = await world.http.post(
            f"{world.issuer}/revoke",
            data={"token": first["access_token"]},
            auth=("files", SECRETS["files"]),
        )
        assert answer.status_code == 200
        assert (await call(world, "/files", first["access_token"])).status_code == 200

    async def test_the_users_client_ends_it_with_the_login(self, world: World) -> None:
        client, tokens = await logged_in(world)
        first = await exchanged(world, "notes", tokens["access_token"], "/files")
        assert (await client.revoke(tokens["access_token"])).status_code == 200
        assert (await call(world, "/files", first["access_token"])).status_code == 401


class TestTheUsersTokenAtTheProvider:
    async def test_is_for_a_backend_that_is_configured_for_it(self, world: World) -> None:
        _, tokens = await logged_in(world)
        answer = await exchange(
            world, "reader", tokens["access_token"], audience="identity-provider"
        )
        body = answer.json()
        assert answer.status_code == 200
        assert world.upstream.is_live(body["access_token"])
        assert (body["issued_token_type"], body["token_type"]) == (ACCESS_TOKEN, "Bearer")
        assert body["expires_in"] == 3600
        assert "refresh_token" not in body

    async def test_is_renewed_when_it_is_about_to_end(self, world: World) -> None:
        _, tokens = await logged_in(world)
        world.clock.advance(3550)
        answer = await exchange(
            world, "reader", tokens["access_token"], audience="identity-provider"
        )
        assert answer.json()["expires_in"] == 3600
        assert world.upstream.is_live(answer.json()["access_token"])

    async def test_an_outage_of_the_provider_is_503_and_ends_nothing(self, world: World) -> None:
        world.upstream.lifetime = 1000
        _, tokens = await logged_in(world)
        world.clock.advance(1001)
        world.upstream.faults["token"] = "503"
        answer = await exchange(
            world, "reader", tokens["access_token"], audience="identity-provider"
        )
        assert refusal(answer) == (503, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        world.upstream.faults.clear()
        world.clock.advance(5)
        answer = await exchange(
            world, "reader", tokens["access_token"], audience="identity-provider"
        )
        assert answer.status_code == 200

    async def test_a_login_that_the_provider_has_ended_is_no_subject(self, world: World) -> None:
        world.upstream.lifetime = 1000
        _, tokens = await logged_in(world)
        world.clock.advance(1001)
        world.upstream.end_all()
        answer = await exchange(
            world, "reader", tokens["access_token"], audience="identity-provider"
        )
        assert refusal(answer) == (400, "invalid_request")

    async def test_has_the_scopes_that_it_has(self, world: World) -> None:
        _, tokens = await logged_in(world)
        answer = await exchange(
            world, "reader", tokens["access_token"], audience="identity-provider", scope="email"
        )
        assert refusal(answer) == (400, "invalid_scope")


async def test_mintage_check_says_who_may_exchange_and_warns_of_the_providers_tokens(
    world: World,
) -> None:
    found = [one async for one in check_exchanging(world.config)]
    assert [one.level for one in found] == ["ok", "ok", "ok", "warning"]
    assert "notes acts for users of /mcp at /files, /open" in found[0].found
    assert found[3].found.startswith("reader gets the users' own access tokens")


class TestForNobody:
    """The grant type is on, and no client has rules for it: a warning, as for other types."""

    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {"grant_types": {"token_exchange": {}}}

    async def test_mintage_check_warns(self, world: World) -> None:
        (found,) = [one async for one in check_exchanging(world.config)]
        assert (found.level, found.about) == ("warning", "grant_types.token_exchange")
        assert found.found == "it is on, and no client may use it"
