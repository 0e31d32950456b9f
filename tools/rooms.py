"""The table and the picture of the packages in docs/architecture.md, made from the code.

::

    python -m tools.rooms

Each layer of the import contract becomes rows of a table: the package, what its docstring says,
and its modules. The picture below shows which package imports which. A test compares them.
"""

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = ROOT / "src/mintage"
PAGE: Final = ROOT / "docs/architecture.md"
_BEGIN: Final = "<!-- rooms: made by `python -m tools.rooms` -->\n"
_END: Final = "<!-- /rooms -->\n"
_NOT_DRAWN: Final = {"errors", "values", "extras", "testing"}  # everybody imports them, or nobody


def drawn(page: str) -> str:
    """*page* with its section on the packages made anew."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    if not after:
        raise ValueError("the page has no place for the packages")
    return f"{before}{_BEGIN}\n{_table()}\n{_picture()}\n{_END}{after}"


def _table() -> str:
    head = ["| package | what it is | modules |", "|---|---|---|"]
    rooms = [name for layer in _layers() for name in layer] + ["testing"]
    rows = [f"| `{name}` | {_says(name)} | {_modules(name)} |" for name in rooms]
    return "\n".join([*head, *rows]) + "\n"


def _layers() -> Iterator[list[str]]:
    """The packages and modules of each layer, from the top, as the import contract has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (
        contract["layers"]
        for contract in contracts["contracts"]
        if contract["name"] == "imports point down"
    )
    seen: set[str] = set()
    for layer in layers:
        floor = [part.strip().split(".")[1] for part in layer.split("|")]
        floor = [name for name in dict.fromkeys(floor) if name not in seen]
        seen.update(floor)
        if floor:
            yield floor


def _path(name: str) -> Path:
    folder = PACKAGE / name
    return folder / "__init__.py" if folder.is_dir() else PACKAGE / f"{name}.py"


def _says(name: str) -> str:
    """The first paragraph of the docstring of *name*, in one line."""
    text = ast.get_docstring(ast.parse(_path(name).read_text())) or ""
    first = " ".join(text.partition("\n\n")[0].split())
    return re.sub(r"`{1,2}([^`]+)`{1,2}", r"`\1`", first)


def _modules(name: str) -> str:
    folder = PACKAGE / name
    found = [
        str(file.relative_to(folder).with_suffix(""))
        for file in sorted(folder.rglob("*.py"))
        if file.name != "__init__.py"
    ]
    packages = sorted({f"{name.partition('/')[0]}/" for name in found if "/" in name})
    flat = [name for name in found if "/" not in name]
    return ", ".join(f"`{name}`" for name in (*flat, *packages))


def _picture() -> str:
    """Which package imports which, less what follows from the others."""
    edges = _imports()
    lines = ["```mermaid", "flowchart TD"]
    lines += [
        f"  {name} --> {below}"
        for name, targets in sorted(edges.items())
        for below in sorted(_direct(targets, edges))
    ]
    return "\n".join([*lines, "```"]) + "\n"


def _imports() -> dict[str, set[str]]:
    edges: dict[str, set[str]] = {}
    for file in PACKAGE.rglob("*.py"):
        here = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mintage."):
                below = (node.module or "").split(".")[1]
                if below != here and not {here, below} & (_NOT_DRAWN | {"__init__", "__main__"}):
                    edges.setdefault(here, set()).add(below)
    return edges


def _direct(targets: set[str], edges: Mapping[str, set[str]]) -> set[str]:
    """The *targets* that no other target leads to."""
    return {
        target
        for target in targets
        if not any(target in _reach(other, edges) for other in targets - {target})
    }


def _reach(name: str, edges: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    ahead = list(edges.get(name, ()))
    while ahead:
        other = ahead.pop()
        if other not in found:
            found.add(other)
            ahead.extend(edges.get(other, ()))
    return found


def main() -> None:
    PAGE.write_text(drawn(PAGE.read_text()))


if __name__ == "__main__":
    main()
