"""What each setting is for: said once, and read by editors and by the reference."""

import inspect
import re
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta
from tools import settings

from mintage.settings import descriptions
from mintage.settings.descriptions import Description, plain, schema
from mintage.settings.file import File
from mintage.settings.reloading import AT_A_RESTART, AT_ONCE


class Inner(msgspec.Struct, frozen=True):
    """``[[outer.inner]]``: several of them.

    More on the page: [here](there.md).
    """

    often: Annotated[int, Meta(ge=1, le=9)] = 3
    """How often [it](there.md) happens.

    Default: as the weather is.
    """


class Outer(msgspec.Struct, frozen=True):
    """``[outer]``: one."""

    needed: str
    """What is
    needed."""
    bare: bool = False
    inner: tuple[Inner, ...] = ()


def test_the_string_below_a_field_is_its_description() -> None:
    assert descriptions.descriptions(Outer) == {"needed": Description("What is needed.")}
    assert descriptions.descriptions(Inner) == {
        "often": Description("How often [it](there.md) happens.", "as the weather is")
    }


def test_a_schema_carries_the_descriptions_without_the_targets_of_links() -> None:
    found = schema(Outer, title="outer.toml")
    assert found["title"] == "outer.toml"
    assert found["properties"]["needed"]["description"] == "What is needed."
    assert "description" not in found["properties"]["bare"]
    inner = found["$defs"]["Inner"]
    assert inner["description"] == "`[[outer.inner]]`: several of them."
    often = inner["properties"]["often"]
    assert often["description"] == "How often it happens. Default: as the weather is."
    assert (often["minimum"], often["maximum"], often["default"]) == (1, 9, 3)


def test_without_its_source_the_schema_still_has_types(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_source(_: object) -> str:
        raise OSError("could not get source code")

    monkeypatch.setattr(inspect, "getsource", no_source)
    found = schema(Outer, title="outer.toml")
    assert found["properties"]["needed"] == {"type": "string"}


def test_each_setting_says_what_it_does() -> None:
    found = schema(File, title="mintage.toml")
    silent = [name for name, each in _settings(found) if not each.get("description")]
    assert silent == []
    assert [name for name, each in _settings(found) if "](" in each["description"]] == []


def _settings(found: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Each setting of a schema that is no table itself."""
    tables = {"": found, **found["$defs"]}
    return [
        (f"{table}.{name}", each)
        for table, content in tables.items()
        for name, each in content["properties"].items()
        if name == "allow" or "$ref" not in str(each)
    ]


def test_each_section_of_the_page_says_when_a_change_applies() -> None:
    page = settings.PAGE.read_text(encoding="utf-8")
    for name in (*AT_A_RESTART, *AT_ONCE):
        table = re.search(rf"^### `\[\[?{name}\]\]?`\n\n(.+)\n", page, re.MULTILINE)
        if table is not None:
            waits = name in AT_A_RESTART
            assert ("needs a restart" in table[1], "reload applies" in table[1]) == (
                waits,
                not waits,
            ), name
    row = next(line for line in page.splitlines() if line.startswith("| `gateway.trusted_proxies`"))
    assert row.endswith("A change needs a restart. |")


def test_a_new_setting_is_of_this_version_and_a_released_one_stays() -> None:
    every = settings.setting_names()
    assert len(every) > 150
    old = {"0.1": every[:-1]}
    found = settings.versions(old, now="0.2.0")
    assert found == {"0.1": every[:-1], "0.2": [every[-1]]}
    row = next(
        line
        for line in settings.written(settings.PAGE.read_text(), found).splitlines()
        if line.startswith(f"| `{every[-1]}`")
    )
    assert row.endswith("Since 0.2. |")
    with pytest.raises(ValueError, match=r"deprecate before you remove: gone\.one"):
        settings.versions({"0.1": [*every, "gone.one"]}, now="0.2.0")
    assert settings.versions({"0.1": [*every, "gone.one"]}, now="0.1.0") == {"0.1": sorted(every)}


def test_links_of_a_description_lose_their_targets_only() -> None:
    assert plain("as [the page](a.md#b) says: `x[0]` (y)") == "as the page says: `x[0]` (y)"
