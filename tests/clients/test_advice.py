"""The error for a grant type that a client may not use says what its developer can do."""

import pytest
from msgspec.structs import replace

from mintage.clients.advice import check_grant_type
from mintage.clients.client import CLIENT_CREDENTIALS, DEVICE_CODE, JWT_BEARER, Client
from mintage.errors import UnauthorizedClient
from mintage.values import ClientId

REGISTERED = Client(
    client_id=ClientId("x"),
    name="x",
    redirect_uris=(),
    auth_method="client_secret_basic",
    grant_types=("authorization_code",),
)
PUBLISHED = replace(REGISTERED, host="app.example")
CONFIGURED = replace(REGISTERED, vouched=True)


@pytest.mark.parametrize("client", [REGISTERED, PUBLISHED, CONFIGURED])
def test_what_it_registered_it_may_use(client: Client) -> None:
    check_grant_type(client, "authorization_code")


@pytest.mark.parametrize(
    ("client", "name", "advice"),
    [
        (CONFIGURED, CLIENT_CREDENTIALS, "ask the operator of this server to add it to the client"),
        (CONFIGURED, DEVICE_CODE, "ask the operator of this server to add it to the client"),
        (REGISTERED, DEVICE_CODE, "register again with it"),
        (REGISTERED, CLIENT_CREDENTIALS, "is for clients in the settings of this server"),
        (REGISTERED, JWT_BEARER, "is for clients in the settings of this server"),
        (PUBLISHED, DEVICE_CODE, "the metadata document of this client does not have"),
        (PUBLISHED, JWT_BEARER, "the metadata document of this client does not have"),
        (PUBLISHED, CLIENT_CREDENTIALS, "is for clients in the settings of this server"),
    ],
)
def test_what_it_did_not_register_is_refused_with_its_way_out(
    client: Client, name: str, advice: str
) -> None:
    with pytest.raises(UnauthorizedClient, match=advice):
        check_grant_type(client, name)
