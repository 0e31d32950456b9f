"""Which names cover which clients."""

import pytest

from mintage.clients.client import Client
from mintage.clients.denied import ClientIsDenied, DeniedClients, check_name
from mintage.clients.redirects import RedirectUri
from mintage.errors import InvalidRedirectUri
from mintage.values import ClientId


def client(client_id: str = "mc2.abc", *uris: str) -> Client:
    return Client(
        client_id=ClientId(client_id),
        name="an app",
        redirect_uris=tuple(map(RedirectUri, uris or ("https://app.evil.example/cb",))),
        auth_method="none",
        grant_types=("authorization_code",),
    )


def denied(*names: str, known: Client | None = None) -> DeniedClients:
    found = DeniedClients(lambda client_id: known if known and client_id != "other" else None)
    found.update(names)
    return found


@pytest.mark.parametrize(
    "name",
    ["mc2.abc", "app.evil.example", "APP.evil.example", "*.evil.example", "*.example"],
)
def test_a_client_is_denied_by_its_id_or_where_it_leads(name: str) -> None:
    with pytest.raises(ClientIsDenied):
        denied(name).check(client())
    with pytest.raises(InvalidRedirectUri):
        denied(name).check_registration(client())


@pytest.mark.parametrize(
    "name",
    ["mc2.ABC", "evil.example", "vil.example", "*.app.evil.example", "app.evil.example.com", "app"],
)
def test_another_name_does_not_cover_it(name: str) -> None:
    denied(name).check(client())


def test_one_of_several_redirect_uris_is_enough() -> None:
    two = client("mc2.abc", "https://good.example/cb", "https://bad.example/cb")
    assert denied("bad.example").name_of(two) == "bad.example"


def test_a_host_covers_all_its_ports_and_a_port_only_itself() -> None:
    one = client("mc2.abc", "https://app.example:8443/cb")
    assert denied("app.example").name_of(one) == "app.example"
    assert denied("app.example:8443").name_of(one) == "app.example:8443"
    assert denied("app.example:443").name_of(one) is None


def test_an_app_is_denied_by_its_scheme() -> None:
    app = client("mc2.abc", "cursor://anysphere.cursor-retrieval/callback")
    assert denied("cursor:").name_of(app) == "cursor:"
    assert denied("cursor").name_of(app) is None


def test_a_document_is_denied_by_its_url_or_its_host() -> None:
    url = "https://cdn.example/client.json"
    document = client(url, "https://good.example/cb")
    for name in (url, "cdn.example", "*.example", "good.example"):
        assert denied(name).name_of(document) is not None, name
    assert denied("https://cdn.example/other.json").name_of(document) is None


def test_a_grant_of_a_document_is_covered_by_the_host_of_its_client_id() -> None:
    """Without a request for the document its redirect URIs are not known."""
    assert denied("cdn.example").covers(ClientId("https://cdn.example/client.json"))
    assert not denied("good.example").covers(ClientId("https://cdn.example/client.json"))


def test_what_is_remembered_of_a_client_goes_with_the_next_change() -> None:
    found = denied("app.evil.example", known=client())
    assert found.covers(ClientId("mc2.abc"))
    found.update(["another.example"])
    assert not found.covers(ClientId("mc2.abc"))
    found.update([])
    assert not found.covers(ClientId("mc2.abc"))


@pytest.mark.parametrize(
    "name", ["", "a b", "ü.example", "x" * 1201, "localhost", "127.0.0.1:80", "[::1]", "::1"]
)
def test_names_that_cover_nothing_or_everybody_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"name a client_id|deny a client_id"):
        check_name(name)


@pytest.mark.parametrize("name", ["ide", "*.example", "cursor:", "https://a.example/c.json"])
def test_names_of_clients_and_hosts_are_taken(name: str) -> None:
    check_name(name)
