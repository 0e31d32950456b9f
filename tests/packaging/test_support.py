"""Where the tests' helpers are: no test package imports another one."""

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]


def imported(file: Path) -> set[str]:
    """The packages of ``tests`` that *file* imports from, ``support`` left out."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.ImportFrom(module=str(module)):
                names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
            case ast.Import():
                names = [alias.name for alias in node.names]
            case _:
                continue
        for name in names:
            place, _, rest = name.partition(".")
            if place == "tests" and rest:
                found.add(rest.partition(".")[0])
    return found - {"support"}


def test_no_test_package_imports_another_one() -> None:
    packages = [path.parent for path in TESTS.glob("*/__init__.py")]
    assert TESTS / "support" in packages
    wrong = {
        str(file.relative_to(TESTS)): others
        for package in packages
        for file in package.rglob("*.py")
        if "node_modules" not in file.parts
        if (others := imported(file) - {package.name})
    }
    assert wrong == {}
