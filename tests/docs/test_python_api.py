"""The public line: which names are public, what they look like, and that pages use no others."""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest
from tools import api

from mintage import errors

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
UNITS = {
    **dict.fromkeys(
        ("leeway", "ahead", "expires_in", "issued_at", "expires_at", "retry_after", "lifetime",
         "refetch_after", "stale_for", "clock", "steady", "now", "seconds", "delay", "exp", "iat",
         "nbf", "time"),
        "seconds",
    ),
    **dict.fromkeys(("signing_key", "active", "former_keys", "random_bytes"), "bytes"),
}  # fmt: skip
SPECIFIED = ("mintage.jwt.", "mintage.crypto.", "mintage.testing.oauth_client")
NAMED = re.compile(r"RFC \d{4}|OpenID Connect Core §")
TREE = inspect.getdoc(errors) or ""
IMPORTED = re.compile(r"^ *(?:from (mintage[\w.]*) import|import (mintage[\w.]*))", re.MULTILINE)


def test_the_page_shows_each_public_name_as_it_is() -> None:
    assert api.PAGE.read_text() == api.page(), "a public name has changed: python -m tools.api"


@pytest.mark.parametrize("module", api.PUBLIC)
def test_every_public_name_is_explained(module: str) -> None:
    found = import_module(module)
    silent = [
        name
        for name in api.names(found)
        if (inspect.isclass(value := getattr(found, name)) or inspect.isfunction(value))
        and not value.__doc__
    ]
    assert silent == []


class Explained(NamedTuple):
    """A public callable, and the docstrings that a reader of its entry sees."""

    name: str
    arguments: list[str]
    returns: bool
    raises: set[str]
    text: str

    def block(self, title: str) -> str:
        """What stands under *title*: ``Args``, ``Returns`` or ``Raises``."""
        found = re.search(rf"^{title}:\n((?:    .*\n|\n(?=    ))*)", f"{self.text}\n", re.MULTILINE)
        return found[1] if found else ""

    def entries(self, title: str) -> set[str]:
        listed = re.findall(r"^    (\w[\w, ]*): \S", self.block(title), re.MULTILINE)
        return {name for entry in listed for name in entry.split(", ")}


def explained() -> Iterator[Explained]:
    for module in map(import_module, api.PUBLIC):
        for name in api.names(module):
            value = getattr(module, name)
            if inspect.isclass(value):
                yield from of_class(value)
            elif inspect.isfunction(value):
                function = api.source(value)
                assert isinstance(function, api.Function)
                yield of_function(f"{value.__module__}.{name}", function, value.__doc__ or "")


def of_class(value: type) -> Iterator[Explained]:
    owner, _, arguments = api.constructor(value)
    name = f"{value.__module__}.{value.__qualname__}"
    if owner is not None:
        text = inspect.cleandoc(owner.__doc__ or "")
        raised = raised_by(owner, "__init__") | raised_by(owner, "__post_init__")
        yield Explained(name, arguments, returns=False, raises=raised, text=text)
    for method in api.methods(value):
        yield of_function(f"{name}.{method.name}", method, api.docstring(value, method.name))


def of_function(name: str, function: api.Function, text: str) -> Explained:
    marks = {ast.unparse(mark) for mark in function.decorator_list}
    is_property = any(mark.endswith("property") for mark in marks)
    returns = function.returns is not None and ast.unparse(function.returns) != "None"
    return Explained(
        name,
        api.parameters(function),
        returns=returns and not is_property,
        raises=set() if is_property else raised_in(function),
        text=inspect.cleandoc(text),
    )


def raised_in(function: ast.AST) -> set[str]:
    """The exceptions that the body of *function* raises by name."""
    raised = [node.exc for node in ast.walk(function) if isinstance(node, ast.Raise)]
    found = {ast.unparse(exc.func if isinstance(exc, ast.Call) else exc) for exc in raised if exc}
    return {name for name in found if name[0].isupper()}


def raised_by(owner: type, method: str) -> set[str]:
    """What the *method* of *owner* raises, where the source of the class has one."""
    written = api.source(owner)
    assert isinstance(written, ast.ClassDef)
    found = [each for each in written.body if isinstance(each, api.Function)]
    return {name for each in found if each.name == method for name in raised_in(each)}


PUBLIC_CALLABLES = sorted({each.name: each for each in explained()}.values())
each_callable = pytest.mark.parametrize("entry", PUBLIC_CALLABLES, ids=lambda entry: entry.name)


@each_callable
def test_each_argument_result_and_error_is_documented(entry: Explained) -> None:
    assert entry.text, "it has no docstring"
    assert entry.entries("Args") == set(entry.arguments)
    assert bool(entry.block("Returns")) == entry.returns
    assert entry.raises <= entry.entries("Raises")


@each_callable
def test_an_argument_of_time_or_size_has_its_unit(entry: Explained) -> None:
    for name, unit in UNITS.items():
        if name in entry.arguments:
            said = re.search(
                rf"^    {name}: (.*(?:\n        .*)*)", entry.block("Args"), re.MULTILINE
            )
            assert said, name
            assert re.search(rf"(?i)\b{unit}\b|^As in", said[1]), f"{name} needs its unit"


def test_what_a_specification_rules_names_the_section() -> None:
    """What reads or makes tokens, keys and OAuth's errors, so that a reader can look it up."""
    names = {
        f"{value.__module__}.{value.__name__}": inspect.getdoc(value) or ""
        for module in map(import_module, api.PUBLIC)
        for value in (getattr(module, name) for name in api.names(module))
        if inspect.isfunction(value) or inspect.isclass(value)
        if value.__module__.startswith(SPECIFIED)
        or (inspect.isclass(value) and issubclass(value, errors.OAuthError))
    }
    assert [name for name, text in names.items() if not NAMED.search(text)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_import_public_modules_only(page: Path) -> None:
    used = {found[1] or found[2] for found in IMPORTED.finditer(page.read_text())}
    assert used <= set(api.PUBLIC)


def test_the_tree_of_errors_names_each_under_its_parent() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    for branch in re.finditer(r"^    ((?:[│ ]   )*)(?:[├└]── )?([\w.]+)", TREE, re.MULTILINE):
        depth, name = (len(branch[1]) + 4 * ("── " in branch[0])) // 4, branch[2].rpartition(".")[2]
        above[depth:] = [name]
        if depth:
            drawn[name] = above[depth - 1]
    assert drawn == {
        name: getattr(errors, name).__base__.__name__
        for name in api.names(errors)
        if name != "MintageError" and inspect.isclass(getattr(errors, name))
    }
