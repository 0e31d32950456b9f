"""Each grant type is one file with the same parts, and the metadata names those that are on."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Final

import msgspec
import pytest

from mintage.clients.client import Client
from mintage.errors import InvalidRequest
from mintage.server import grant_types
from mintage.server.capabilities import CORE_GRANT_TYPES
from mintage.server.grant_type import GrantType, Parameters
from mintage.server.openapi import describe
from mintage.settings.grant_types import TABLES
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.trust.id_jag import PROFILE
from mintage.trust.issuer import Purpose
from mintage.values import ClientId
from mintage.web.forms import Form
from tests.support import exchanging
from tests.support.client_keys import jwks, key
from tests.support.world import World

MODULES: Final = [
    import_module(f"{grant_types.__name__}.{found.name}")
    for found in iter_modules(grant_types.__path__)
]
ID_JAGS: Final[tuple[Purpose, ...]] = ("id_jag",)
ALL: Final = (*CORE_GRANT_TYPES, *TABLES.values())


def defined_in(module: ModuleType) -> Iterator[type[Any]]:
    for _, each in inspect.getmembers(module, inspect.isclass):
        if each.__module__ == module.__name__:
            yield each


def of(module: ModuleType) -> Any:
    """The one grant type of *module*."""
    (grant_type,) = (each for each in defined_in(module) if hasattr(each, "issue"))
    return grant_type


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
class TestParts:
    def test_its_file_has_the_name_of_its_grant_type(self, module: ModuleType) -> None:
        grant_type = of(module)
        last = grant_type.name.rpartition(":")[2]
        assert module.__name__.rpartition(".")[2] == last.replace("-", "_")

    def test_it_has_all_that_is_asked_of_a_grant_type(self, module: ModuleType) -> None:
        grant_type = of(module)
        assert inspect.iscoroutinefunction(grant_type.issue)
        assert inspect.iscoroutinefunction(grant_type.concerns)
        assert isinstance(inspect.getattr_static(grant_type, "metadata"), staticmethod)
        assert isinstance(grant_type.metadata("https://auth.example", ()), dict)
        assert isinstance(grant_type.parameters, Parameters)

    def test_its_request_is_a_frozen_value_with_a_parse_of_its_arguments(
        self, module: ModuleType
    ) -> None:
        (request,) = (each for each in defined_in(module) if hasattr(each, "parse"))
        assert is_frozen(request)
        parse = inspect.getattr_static(request, "parse")
        assert isinstance(parse, classmethod)
        assert not inspect.iscoroutinefunction(parse.__func__)
        _, first, *others = inspect.signature(parse.__func__).parameters
        assert first == "form"
        assert set(others) <= {"client", "site"}, "frozen values: no clock, no random bytes"

    def test_the_settings_have_it(self, module: ModuleType) -> None:
        grant_type = of(module)
        table = module.__name__.rpartition(".")[2]
        assert grant_type in CORE_GRANT_TYPES or TABLES[table] is grant_type


def is_frozen(kind: type) -> bool:
    """Whether instances of a dataclass or struct can't be changed."""
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_config__.frozen
    return is_dataclass(kind) and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


class Recorded(dict[str, tuple[str, ...]]):
    """A form that keeps which parameters were looked at."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__({name: (value,) for name, value in fields.items()})
        self.read = set[str]()

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)


def example(schema: Mapping[str, Any]) -> str:
    return str(next(iter(schema.get("enum", ["x" * 43]))))


def parsed(module: ModuleType, form: Form) -> object:
    """The request of the grant type in *module* that *form* is."""
    (request,) = (each for each in defined_in(module) if hasattr(each, "parse"))
    resource = Resource(path="/mcp", identifier="https://auth.example/mcp", scopes=())
    given = {
        "client": Client(
            client_id=ClientId("x"),
            name="x",
            redirect_uris=(),
            auth_method="client_secret_basic",
            grant_types=(),
            resources=("/mcp",),
        ),
        "site": Site(issuer="https://auth.example", resources=(resource,)),
    }
    _, *others = inspect.signature(request.parse).parameters
    return request.parse(form, **{name: given[name] for name in others})


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
class TestParameters:
    """The OpenAPI document has the parameters that the grant type reads."""

    @pytest.fixture
    def fields(self, module: ModuleType) -> dict[str, str]:
        parameters: Parameters = of(module).parameters
        found = {name: example(schema) for name, schema in parameters.needed.items()}
        return found | {"resource": "https://auth.example/mcp"}

    def test_they_are_those_that_it_reads(self, module: ModuleType, fields: dict[str, str]) -> None:
        parameters: Parameters = of(module).parameters
        form = Recorded(fields)
        parsed(module, form)
        refused = {"actor_token", "actor_token_type"}
        assert form.read - refused == {*parameters.needed, *parameters.others}

    def test_without_a_needed_one_it_is_refused(
        self, module: ModuleType, fields: dict[str, str]
    ) -> None:
        for name in of(module).parameters.needed:
            rest = {other: value for other, value in fields.items() if other != name}
            with pytest.raises(InvalidRequest, match=f"^{name} is missing"):
                parsed(module, Recorded(rest))


def only_workloads() -> dict[str, Any]:
    platform = {
        "name": "ci",
        "issuer": "https://ci.example",
        "purpose": "workload",
        "jwks": jwks(key()),
        "rule": [{"name": "deploy", "claims": {"sub": "main"}, "resources": ["/mcp"]}],
    }
    return {"grant_types": {"jwt_bearer": {}}, "trusted_issuer": [platform]}


def only_an_enterprise() -> dict[str, Any]:
    enterprise = {
        "name": "acme",
        "issuer": "https://acme.example",
        "purpose": "id_jag",
        "jwks": jwks(key()),
    }
    return {"grant_types": {"jwt_bearer": {}}, "trusted_issuer": [enterprise]}


@pytest.mark.parametrize(
    "on", ["none", "token_exchange", "client_credentials", "device_code", "jwt_bearer", "workloads"]
)
class TestEachAlone:
    """With one table, or none, the metadata says what the server does, and no more."""

    @pytest.fixture
    def overrides(self, on: str, tmp_path: Path) -> dict[str, Any]:
        match on:
            case "none":
                return {}
            case "token_exchange":
                return exchanging.settings(tmp_path)
            case "jwt_bearer":
                return only_an_enterprise()
            case "workloads":
                return only_workloads()
            case _:
                return {"grant_types": {on: {}}}

    @pytest.fixture
    async def metadata(self, world: World) -> dict[str, Any]:
        url = f"{world.issuer}/.well-known/oauth-authorization-server"
        found: dict[str, Any] = (await world.http.get(url)).json()
        return found

    async def test_it_names_what_the_token_endpoint_accepts(
        self, world: World, metadata: dict[str, Any], on: str
    ) -> None:
        accepted = set[type[GrantType]]()
        for grant_type in ALL:
            form = {"grant_type": grant_type.name}
            answer = await world.http.post(metadata["token_endpoint"], data=form)
            if answer.json()["error"] != "unsupported_grant_type":
                accepted.add(grant_type)
        assert set(metadata["grant_types_supported"]) == {each.name for each in accepted}
        table = "jwt_bearer" if on == "workloads" else on
        assert accepted == {*CORE_GRANT_TYPES, *(TABLES[n] for n in TABLES if n == table)}

    async def test_it_has_the_members_of_those_grant_types_and_of_no_others(
        self, metadata: dict[str, Any], on: str
    ) -> None:
        for grant_type in ALL:
            told = grant_type.metadata(metadata["issuer"], ID_JAGS)
            is_on = grant_type.name in metadata["grant_types_supported"] and on != "workloads"
            for member, value in told.items():
                expected = value if is_on or grant_type in CORE_GRANT_TYPES else None
                assert metadata.get(member) == expected, member

    def test_the_openapi_document_has_their_requests(
        self, world: World, metadata: dict[str, Any]
    ) -> None:
        paths = describe(world.running.site, world.config.capabilities)["paths"]
        (content,) = paths["/token"]["post"]["requestBody"]["content"].values()
        requests = [each["properties"] for each in content["schema"]["anyOf"]]
        assert [each["grant_type"]["const"] for each in requests] == (
            metadata["grant_types_supported"]
        )

    async def test_a_device_can_ask_if_the_metadata_has_where(
        self, world: World, metadata: dict[str, Any]
    ) -> None:
        answer = await world.http.post(f"{world.issuer}/device_authorization", data={})
        assert (answer.status_code != 404) == ("device_authorization_endpoint" in metadata)
        page = await world.http.get(f"{world.issuer}/device")
        assert (page.status_code == 200) == ("device_authorization_endpoint" in metadata)

    async def test_the_profile_of_id_jags_is_there_if_an_enterprise_is_trusted(
        self, metadata: dict[str, Any], on: str
    ) -> None:
        profiles = metadata.get("authorization_grant_profiles_supported")
        assert profiles == ([PROFILE] if on == "jwt_bearer" else None)
