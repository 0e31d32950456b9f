"""Which names cover which clients."""

import pytest

from mintage.clients.client import Client
from mintage.clients.denied import ClientIsDenied, DeniedClients, place_name
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
    "name",
    ["", "a b", "ü.example", "x" * 1201, ".", "..", "*", "*.", "*.*", "*.*.example", "*.1.2.3.4",
     "*.0.0.1", "*.[2001:db8::1]", "app.*", "app..example", "app.example/x", "app.example..",
     "app.example:0", "app.example:99999", "app.example:x", "https:", "http:", "http://app.example",
     "https://", "https://app.example", "https://*/c.json", "https://app.example./c.json", ":",
     "my app:", "mc2.abc", "mc1.abc"],
)  # fmt: skip
def test_a_name_that_covers_no_client_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"name a client_id|copy all of it"):
        place_name(name)


@pytest.mark.parametrize(
    "name", ["localhost", "127.0.0.1:80", "[::1]", "::1", "LOCALHOST.", "*.localhost"]
)
def test_a_name_that_covers_the_applications_of_everybody_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="deny a client_id"):
        place_name(name)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("ide", "ide"),
        ("app2.example.", "app2.example"),
        ("APP.Example.", "app.example"),
        ("*.Example", "*.example"),
        ("*.server1", "*.server1"),
        ("app.example:8443", "app.example:8443"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]:8443", "[2001:db8::1]:8443"),
        ("Cursor:", "cursor:"),
        ("com.example.app:", "com.example.app:"),
        ("https://a.example/C.json", "https://a.example/C.json"),
    ],
)
def test_a_name_is_denied_as_it_is_compared(name: str, canonical: str) -> None:
    assert place_name(name) == canonical


def test_an_ipv6_address_covers_all_its_ports() -> None:
    one = client("mc2.abc", "https://[2001:db8::1]:8443/cb")
    assert denied("[2001:db8::1]").name_of(one) == "[2001:db8::1]"
    assert denied("[2001:db8::1]:8443").name_of(one) == "[2001:db8::1]:8443"
