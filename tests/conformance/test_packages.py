"""What is installed from npm: exactly what was locked, from wherever packages come here."""

import json

from tests.support.node import HERE

LOCKED = json.loads((HERE / "package-lock.json").read_text())["packages"]


def test_every_package_is_locked_by_its_hash_and_by_no_address() -> None:
    for name, package in LOCKED.items():
        assert "resolved" not in package, name
        assert name == "" or package["integrity"].startswith("sha512-"), name


def test_what_is_asked_for_has_one_version() -> None:
    asked = json.loads((HERE / "package.json").read_text())["dependencies"]
    assert asked == {name: LOCKED[f"node_modules/{name}"]["version"] for name in asked}
