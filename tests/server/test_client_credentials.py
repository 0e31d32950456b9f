"""``grant_type=client_credentials`` (RFC 6749 §4.4, MCP's extension): a client acts for itself."""

import secrets
from typing import Any

import httpx2
import msgspec
import pytest

from mintage.errors import ConfigError, UpstreamMisbehaved
from mintage.grants.states import Identity
from mintage.settings.load import parse
from mintage.upstream.registry import RegisteredUpstream
from tests.support.client_keys import claims_of, form_of, jwks, key, sign
from tests.support.dpop import Prover
from tests.support.world import THE_BACKEND, World, every_store

SECRET = "the secret of a report that runs at night 0123456789"
AGENT, REPORT = "agent", "nightly-report"


@pytest.fixture
def overrides(tmp_path: Any) -> dict[str, Any]:
    (tmp_path / "report").touch(0o600)
    (tmp_path / "report").write_text(SECRET)
    return {
        "grant_types": {"client_credentials": {"lifetime": 600}},
        "resource": [
            {
                "path": "/mcp",
                "backend": THE_BACKEND,
                "scopes": ["tools"],
                "optional_scopes": ["write", "delete"],
                "credential": "identity",
            },
            {"path": "/upstream", "backend": THE_BACKEND, "credential": "upstream"},
            {"path": "/other", "backend": THE_BACKEND, "scopes": ["other"]},
        ],
        "client": [
            {
                "client_id": REPORT,
                "name": "The nightly report",
                "client_secret": "file:report",
                "grant_types": ["client_credentials"],
                "resources": ["/mcp", "/upstream"],
                "scopes": ["tools", "write"],
            },
            {
                "client_id": AGENT,
                "jwks": jwks(key()),
                "grant_types": ["client_credentials"],
                "resources": ["/mcp"],
                "scopes": ["tools"],
            },
            {
                "client_id": "no-scope",
                "client_secret": "file:report",
                "grant_types": ["client_credentials"],
                "resources": ["/mcp"],
                "scopes": [],
            },
            {
                "client_id": "web-app",
                "client_secret": "file:report",
                "redirect_uris": ["https://app.example/cb"],
            },
        ],
    }


async def ask(world: World, /, auth: Any = (REPORT, SECRET), **form: str) -> httpx2.Response:
    return await world.http.post(
        f"{world.issuer}/token",
        data={"grant_type": "client_credentials"} | form,
        auth=httpx2.USE_CLIENT_DEFAULT if auth is None else auth,
    )


async def token_of(world: World, /, **form: str) -> str:
    answer = await ask(world, **{"resource": world.resource} | form)
    token: str = answer.raise_for_status().json()["access_token"]
    return token


async def call(world: World, token: str, path: str = "/mcp") -> httpx2.Response:
    return await world.http.get(world.issuer + path, headers={"authorization": f"Bearer {token}"})


def assertion(world: World, client_id: str = AGENT, **claims: Any) -> dict[str, str]:
    good = claims_of(client_id, now=world.clock(), issuer=world.issuer, jti=secrets.token_hex(8))
    return form_of(sign(good | claims))


@every_store
async def test_spec126_a_client_gets_a_token_for_itself_and_no_refresh_token(world: World) -> None:
    answer = await ask(world, resource=world.resource, scope="tools write")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    token = body.pop("access_token")
    assert body == {"token_type": "Bearer", "expires_in": 600, "scope": "tools write"}
    assert (await call(world, token)).status_code == 200
    seen = world.backend.requests[-1].headers
    assert seen["x-forwarded-user"] == f"client|{REPORT}"
    assert "authorization" not in seen


async def test_a_client_without_a_scope_that_its_resource_needs_gets_no_useless_token(
    world: World,
) -> None:
    for asked in ({}, {"scope": "openid"}):
        answer = await ask(world, ("no-scope", SECRET), resource=world.resource, **asked)
        assert answer.status_code == 400
        assert answer.json()["error"] == "invalid_scope"
        assert "which needs tools" in answer.json()["error_description"]


async def test_spec126_private_key_jwt_is_enough_and_names_the_client(world: World) -> None:
    """RFC 7523 §3: the client_id is in the assertion alone."""
    answer = await ask(world, None, resource=world.resource, **assertion(world))
    assert answer.json()["scope"] == "tools"
    assert (await call(world, answer.json()["access_token"])).status_code == 200


async def test_spec122_a_client_that_acts_for_itself_binds_its_token(world: World) -> None:
    """RFC 9449 §5: all grant types."""
    prover, uri = Prover.fresh(), f"{world.issuer}/token"
    answer = await world.http.post(
        uri,
        data={"grant_type": "client_credentials", "resource": world.resource},
        auth=(REPORT, SECRET),
        headers={"dpop": prover.proof("POST", uri, now=world.clock())},
    )
    assert answer.json()["token_type"] == "DPoP"
    token = answer.json()["access_token"]
    assert (await call(world, token)).status_code == 401
    sent = prover.headers("GET", world.resource, token, now=world.clock())
    assert (await world.http.get(world.resource, headers=sent)).status_code == 200


async def test_spec126_the_secret_in_the_form_only_if_the_client_is_set_so(world: World) -> None:
    answer = await ask(world, None, resource=world.resource, client_id=REPORT, client_secret=SECRET)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_spec126_the_metadata_names_grant_type_and_methods(world: World) -> None:
    url = f"{world.issuer}/.well-known/oauth-authorization-server"
    said = (await world.http.get(url)).json()
    assert "client_credentials" in said["grant_types_supported"]
    assert {"private_key_jwt", "client_secret_basic"} <= set(
        said["token_endpoint_auth_methods_supported"]
    )
    assert "ES256" in said["token_endpoint_auth_signing_alg_values_supported"]


class TestWhatItMayAskFor:
    async def test_without_a_scope_it_gets_what_the_resource_requires(self, world: World) -> None:
        assert (await ask(world, resource=world.resource)).json()["scope"] == "tools"

    async def test_attack_f01_a_scope_beyond_its_own_is_refused(self, world: World) -> None:
        answer = await ask(world, resource=world.resource, scope="tools delete")
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")

    async def test_attack_f01_a_resource_beyond_its_own_is_refused(self, world: World) -> None:
        """RFC 8707 §2: what others may use with a login is no resource of this client."""
        for resource in (f"{world.issuer}/other", "https://elsewhere.example/mcp"):
            answer = await ask(world, resource=resource)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")

    async def test_one_resource_may_be_left_out_and_one_of_several_may_not(
        self, world: World
    ) -> None:
        assert (await ask(world)).json()["error"] == "invalid_target"
        assert (await ask(world, None, **assertion(world))).status_code == 200

    async def test_spec098_two_resources_are_refused(self, world: World) -> None:
        body = (
            f"grant_type=client_credentials&resource={world.resource}"
            f"&resource={world.issuer}/upstream"
        )
        answer = await world.http.post(
            f"{world.issuer}/token",
            content=body,
            headers={"content-type": "application/x-www-form-urlencoded"},
            auth=(REPORT, SECRET),
        )
        assert answer.json()["error"] == "invalid_target"

    async def test_its_token_is_for_its_resource_alone(self, world: World) -> None:
        token = await token_of(world)
        assert (await call(world, token, "/other")).status_code == 401

    async def test_it_has_no_upstream_token_and_the_backend_gets_no_empty_one(
        self, world: World
    ) -> None:
        token = await token_of(world, resource=f"{world.issuer}/upstream")
        refused = await call(world, token, "/upstream")
        assert (refused.status_code, refused.json()["error"]) == (403, "access_denied")
        assert "this resource is for users, not for machines" in refused.json()["error_description"]
        assert world.backend.requests == []


class TestAdvice:
    """A machine can neither log in nor register: no refusal tells it to."""

    @pytest.fixture
    def overrides(self, overrides: dict[str, Any]) -> dict[str, Any]:
        first, *others = overrides["resource"]
        rule = {"path": "/write", "scopes": ["write"]}
        return overrides | {"resource": [first | {"rule": [rule]}, *others]}

    async def test_of_each_refusal(self, world: World) -> None:
        token = await token_of(world, scope="tools")
        told = [
            await call(world, token, "/mcp/write"),
            await call(world, "wrong"),
            await world.http.get(world.resource),
            await ask(world, (REPORT, "another secret 0123456789")),
            await ask(world, grant_type="refresh_token"),
            await ask(world, ("web-app", SECRET), resource=world.resource),
        ]
        await world.http.post(
            f"{world.issuer}/revoke", data={"token": token}, auth=(REPORT, SECRET)
        )
        told.append(await call(world, token))
        operator = "ask the operator of this server"
        may_not = "this client may not use the grant type"
        entry = f"{operator} to add it to the client's entry"
        assert [answer.json()["error_description"] for answer in told] == [
            "get a token with the scopes: tools write",
            "the access token is not valid here: get a new one",
            "an access token is needed: get one, and send it in Authorization",
            f"client authentication failed: check the client_secret, or {operator} for it",
            f"{may_not} refresh_token: {entry}",
            f"{may_not} client_credentials: {entry}",
            "the access token was revoked: get a new one",
        ]


class TestAttacks:
    async def test_attack_f01_who_registered_gets_no_token_without_a_user(
        self, world: World
    ) -> None:
        """Neither by naming the grant type at registration, nor with a secret or a key."""
        for method, more in (
            ("client_secret_basic", {}),
            ("private_key_jwt", {"jwks": jwks(key())}),
        ):
            client = await world.client(
                grant_types=["authorization_code", "client_credentials"],
                token_endpoint_auth_method=method,
                **more,
            )
            if client.client_secret is None:
                answer = await ask(
                    world, None, resource=world.resource, **assertion(world, client.client_id)
                )
            else:
                auth = (client.client_id, client.client_secret)
                answer = await ask(world, auth, resource=world.resource)
            assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")
        assert world.stored() == 0, "and it costs no write"

    async def test_attack_f01_a_configured_client_needs_the_grant_type_in_its_entry(
        self, world: World
    ) -> None:
        answer = await ask(world, ("web-app", SECRET), resource=world.resource)
        assert answer.json()["error"] == "unauthorized_client"

    async def test_attack_f01_a_public_client_is_refused(self, world: World) -> None:
        client = await world.client()
        answer = await ask(world, None, client_id=client.client_id, resource=world.resource)
        assert answer.json()["error"] == "unauthorized_client"

    async def test_attack_c06_client_credentials_authenticate_as_every_grant_does(
        self, world: World
    ) -> None:
        """A wrong secret, two ways at once, another audience, and an assertion used again."""
        used = assertion(world)
        assert (await ask(world, None, resource=world.resource, **used)).status_code == 200
        for auth, form in (
            ((REPORT, SECRET + "x"), {}),
            (None, {"client_id": REPORT}),
            (None, used),
            (None, assertion(world, aud="https://other.example")),
            (None, assertion(world, iss=REPORT)),
            (None, assertion(world, REPORT)),
        ):
            answer = await ask(world, auth, resource=world.resource, **form)
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        both = await ask(world, resource=world.resource, client_secret=SECRET)
        assert both.json()["error"] == "invalid_request"

    def test_attack_f02_no_user_has_the_subject_of_a_client(self, world: World) -> None:
        """CHECKLIST 104: a provider that says so itself is refused."""
        tokens, who = object(), Identity(issuer="https://idp.example", subject=f"client|{REPORT}")

        class Provider:
            async def redeem(self, *_: object, **__: object) -> Any:
                return tokens, who

        registered = next(iter(world.running.upstreams))
        only: Any = RegisteredUpstream(registered.upstream, Provider())  # type: ignore[arg-type]
        with pytest.raises(UpstreamMisbehaved, match="another provider"):
            only.redeem("code", None, now=0).send(None)


class TestItIsAGrant:
    async def test_its_clients_list_shows_it_and_an_operator_ends_it(self, world: World) -> None:
        token = await token_of(world)
        vault = world.running.vault
        (found,) = [one async for one in vault.listing.find(client=REPORT)]  # type: ignore[arg-type]
        assert found.summary is not None
        assert (found.summary.machine, found.summary.name) == (True, "The nightly report")
        await vault.revocation.end(found)
        assert (await call(world, token)).status_code == 401

    async def test_it_revokes_its_token_and_introspects_it(self, world: World) -> None:
        token = await token_of(world)
        auth = (REPORT, SECRET)
        told = await world.http.post(f"{world.issuer}/introspect", data={"token": token}, auth=auth)
        said = told.json()
        assert said["active"]
        assert (said["sub"], said["client_id"]) == (f"client|{REPORT}", REPORT)
        assert said["exp"] == int(world.clock()) + 600
        gone = await world.http.post(f"{world.issuer}/revoke", data={"token": token}, auth=auth)
        assert gone.status_code == 200
        assert (await call(world, token)).status_code == 401

    async def test_it_ends_when_its_entry_is_removed(self, world: World) -> None:
        token = await token_of(world)
        assert (await call(world, token)).status_code == 200
        others = tuple(one for one in world.config.clients if one.client_id != REPORT)
        await world.app.reload(msgspec.structs.replace(world.config, clients=others))
        assert (await call(world, token)).status_code == 401

    async def test_twenty_five_pods_keep_their_tokens(self, world: World) -> None:
        tokens = [await token_of(world) for _ in range(25)]
        for token in tokens:
            assert (await call(world, token)).status_code == 200

    async def test_it_ends_with_its_token(self, world: World) -> None:
        token = await token_of(world)
        world.clock.advance(604)
        assert (await call(world, token)).status_code == 200, "within the leeway of the clocks"
        world.clock.advance(1)
        assert (await call(world, token)).status_code == 401

    async def test_the_event_names_client_grant_type_and_scopes(self, world: World) -> None:
        events: list[Any] = []
        world.running.events.attach(events.append)
        await token_of(world)
        (issued,) = [event for event in events if event.action == "token_issued"]
        assert (issued.grant_type, issued.scopes) == ("client_credentials", ("tools",))
        assert issued.party.client_id == REPORT
        assert issued.party.subject.subject == f"client|{REPORT}"


class TestRules:
    @pytest.mark.parametrize(
        ("entry", "says"),
        [
            ({"resources": ["/mcp"]}, r"client\[0\].scopes: is missing"),
            ({"scopes": ["tools"]}, r"client\[0\].resources: is missing"),
            ({"resources": ["/none"], "scopes": []}, "/none"),
            (
                {"resources": ["/mcp"], "scopes": [], "token_endpoint_auth_method": "none",
                 "client_secret": None},
                "authenticates",
            ),
            ({"grant_types": ["client_credential"]}, "client_credentials"),
        ],
    )  # fmt: skip
    def test_an_entry_that_can_not_work_is_refused(
        self, entry: dict[str, Any], says: str, tmp_path: Any
    ) -> None:
        with pytest.raises(ConfigError, match=says):
            configured(tmp_path, entry)

    def test_the_grant_type_must_be_on(self, tmp_path: Any) -> None:
        with pytest.raises(ConfigError, match=r"add \[grant_types.client_credentials\]"):
            configured(tmp_path, {"resources": ["/mcp"], "scopes": []}, grant_types={})


def configured(directory: Any, entry: dict[str, Any], **more: Any) -> None:
    client = {
        "client_id": "c",
        "client_secret": "env:SECRET",
        "grant_types": ["client_credentials"],
    } | entry
    data: dict[str, Any] = {
        "issuer": "https://auth.example",
        "store": "memory://",
        "secret": "env:SECRET",
        "upstream": {
            "issuer": "https://idp.example",
            "client_id": "m",
            "client_secret": "env:SECRET",
        },
        "resource": [{"path": "/mcp", "scopes": ["tools"]}],
        "grant_types": {"client_credentials": {}},
        "client": [{name: value for name, value in client.items() if value is not None}],
    }
    parse(data | more, base=directory, environ={"SECRET": "s" * 40})


class TestLimits:
    @pytest.fixture
    def overrides(self, overrides: dict[str, Any]) -> dict[str, Any]:
        return overrides | {"limits": {"tokens_per_machine": 3}}

    async def test_a_client_that_asks_again_and_again_is_slowed_down(self, world: World) -> None:
        for _ in range(3):
            assert (await ask(world, resource=world.resource)).status_code == 200
        refused = await ask(world, resource=world.resource)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        other = await ask(world, None, resource=world.resource, **assertion(world))
        assert other.status_code == 200, "each client has its own"


class TestOff:
    @pytest.fixture
    def overrides(self) -> dict[str, Any]:
        return {}

    async def test_it_is_off_unless_the_settings_turn_it_on(self, world: World) -> None:
        answer = await ask(world, None, client_id="x")
        assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")
        url = f"{world.issuer}/.well-known/oauth-authorization-server"
        said = (await world.http.get(url)).json()
        assert said["grant_types_supported"] == ["authorization_code", "refresh_token"]
