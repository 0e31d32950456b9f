"""docs/architecture.md shows the packages of the code, and the import contracts name them all."""

import tomllib
from collections.abc import Iterator

from tools import rooms


def layers() -> Iterator[str]:
    for contract in tomllib.loads((rooms.ROOT / "pyproject.toml").read_text())["tool"][
        "importlinter"
    ]["contracts"]:
        if contract["name"] == "imports point down":
            yield from contract["layers"]


def test_the_page_draws_the_packages_as_they_are() -> None:
    page = rooms.PAGE.read_text()
    assert page == rooms.drawn(page), "a module has come, gone or changed: python -m tools.rooms"


def test_each_package_has_its_layer() -> None:
    named = {part.strip().split(".")[1] for layer in layers() for part in layer.split("|")}
    there = {
        entry.stem
        for entry in rooms.PACKAGE.iterdir()
        if (entry.suffix == ".py" and not entry.stem.startswith("_"))
        or (entry / "__init__.py").is_file()
    }
    assert there - named == {"testing"}, (
        "it is for tests and the demo; a contract of its own says so"
    )
    assert named <= there
