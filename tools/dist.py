"""``python -m tools.dist [DIRECTORY]``: all that a release consists of.

Wheel and sdist; ``sbom.cdx.json``, the components that an installation with every extra consists
of (CycloneDX 1.6); and ``LICENSES.txt``, the licences of all of them. Versions are those of the
locks. The same commit gives the same bytes.
"""

import json
import os
import subprocess
import sys
import uuid
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
EXTRAS = ("commands", "demo", "fastmcp", "mcp", "postgres", "redis", "server", "verifier")


def main() -> int:
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "dist").absolute()
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(  # noqa: S603 - a fixed command
        [sys.executable, "-m", "hatchling", "build", "-d", str(directory)], cwd=ROOT, check=True
    )
    everything = required(f"mintage[{','.join(EXTRAS)}]")
    base = set(required("mintage"))
    (directory / "sbom.cdx.json").write_text(
        json.dumps(bill_of_materials(everything, base), indent=1, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )
    (directory / "LICENSES.txt").write_text(licences(everything), encoding="utf-8")
    for file in sorted(directory.iterdir()):
        print(f"{file.stat().st_size:>10}  {file.name}")
    return 0


def required(root: str) -> dict[str, list[str]]:
    """Each distribution that *root* requires, itself too → what it requires in turn."""
    found: dict[str, set[str]] = {}
    waiting, seen = [Requirement(root)], set()
    while waiting:
        one = waiting.pop()
        if str(one) in seen:
            continue
        seen.add(str(one))
        needs = _needs(one)
        name = canonicalize_name(one.name)
        found.setdefault(name, set()).update(canonicalize_name(each.name) for each in needs)
        waiting += needs
    return {name: sorted(needs - {name}) for name, needs in sorted(found.items())}


def _needs(one: Requirement) -> list[Requirement]:
    """What *one*, with its extras, requires on this machine."""
    environments = [{"extra": extra} for extra in (*one.extras, "")]
    wanted = map(Requirement, distribution(one.name).requires or ())
    return [
        each
        for each in wanted
        if each.marker is None or any(each.marker.evaluate(e) for e in environments)
    ]


def bill_of_materials(everything: dict[str, list[str]], base: set[str]) -> dict[str, Any]:
    """CycloneDX: what the base install does not need is optional."""
    components = [_component(name, required=name in base) for name in everything]
    parts = {component["name"]: component for component in components}
    main = parts.pop("mintage") | {"type": "application"}
    del main["scope"]
    bill: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": main},
        "components": list(parts.values()),
        "dependencies": [
            {"ref": _purl(name), "dependsOn": [_purl(need) for need in needs]}
            for name, needs in everything.items()
        ],
    }
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        bill["metadata"]["timestamp"] = _time(int(epoch))
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bill, sort_keys=True))
    return bill | {"serialNumber": f"urn:uuid:{number}"}


def _component(name: str, *, required: bool) -> dict[str, Any]:
    installed = distribution(name)
    return {
        "type": "library",
        "bom-ref": _purl(name),
        "name": name,
        "version": installed.version,
        "scope": "required" if required else "optional",
        "purl": _purl(name),
        "licenses": [_licence(installed)],
    }


def _purl(name: str) -> str:
    return f"pkg:pypi/{name}@{distribution(name).version}"


def _licence(installed: Distribution) -> dict[str, Any]:
    """An SPDX expression where the package gives one, else the name that it gives."""
    if expression := _field(installed, "License-Expression"):
        return {"expression": expression}
    return {"license": {"name": licence_name(installed)}}


def licence_name(installed: Distribution) -> str:
    """What a package calls its licence: in one of three places, by its age."""
    if expression := _field(installed, "License-Expression"):
        return expression
    prefix = "License :: OSI Approved :: "
    classified = [
        line.removeprefix(prefix)
        for line in installed.metadata.get_all("Classifier") or ()
        if line.startswith(prefix)
    ]
    written = _field(installed, "License").strip().splitlines()
    return ", ".join(classified) or (written[0] if written else "not stated")


def _field(installed: Distribution, name: str) -> str:
    return next(iter(installed.metadata.get_all(name) or ()), "")


def _time(epoch: int) -> str:
    import datetime as dt

    return dt.datetime.fromtimestamp(epoch, dt.UTC).isoformat().replace("+00:00", "Z")


def licences(everything: dict[str, list[str]]) -> str:
    """A table of all, and then the texts that the packages bring."""
    installed = [distribution(name) for name in everything]
    table = [f"{each.name} {each.version}: {licence_name(each)}" for each in installed]
    texts = [text for each in installed for text in _texts(each)]
    return "\n".join([*table, "", *texts])


def _texts(installed: Distribution) -> list[str]:
    names = ("license", "licence", "copying", "notice", "authors")
    rule = "=" * 78
    return [
        f"{rule}\n{installed.name} {installed.version}: {file.name}\n{rule}\n"
        + Path(str(file.locate())).read_text(encoding="utf-8", errors="replace")
        for file in installed.files or ()
        if file.name.lower().startswith(names) and ".dist-info" in str(file)
    ]


if __name__ == "__main__":
    sys.exit(main())
