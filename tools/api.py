"""The reference of the Python API, made from the docstrings.

::

    python -m tools.api [PAGE]

It writes docs/python-api.md, or *PAGE*. A test compares the page with what this makes, so it is
also the record of the public names and signatures: a change of either shows in a diff.
"""

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeAlias

import msgspec

PAGE: Final = Path(__file__).parents[1] / "docs/python-api.md"

PUBLIC: Final = (
    "mintage",
    "mintage.jwt_issuer",
    "mintage.jwt_verifier",
    "mintage.errors",
    "mintage.app",
    "mintage.integrations.fastmcp",
    "mintage.integrations.mcp_sdk",
    "mintage.integrations.starlette",
    "mintage.stores.protocol",
    "mintage.testing.browser",
    "mintage.testing.clock",
    "mintage.testing.counting_store",
    "mintage.testing.fake_upstream",
    "mintage.testing.oauth_client",
    "mintage.testing.serving",
    "mintage.testing.store_suite",
)
"""The modules whose names are kept from one minor version to the next."""

_HEAD: Final = """\
# Python API

These modules are public: names and signatures stay, and what is to go is deprecated for one minor
version first. Every other module may change in any release. `python -m tools.api` makes this page
from the docstrings.
"""

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def page() -> str:
    """The whole page, as Markdown."""
    written: dict[int, str] = {}
    return "\n".join([_HEAD, *(line for name in PUBLIC for line in _module(name, written))])


def names(module: ModuleType) -> list[str]:
    """The public names of *module*: its ``__all__``, or what it defines without an underscore."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return sorted(name for name in listed if not name.startswith("__"))
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    )


def _module(name: str, written: dict[int, str]) -> Iterator[str]:
    """*written*: what has an entry already, and in which module; it grows."""
    module = import_module(name)
    yield f"## {name}\n"
    yield _text(module)
    for member in names(module):
        value = getattr(module, member)
        yield f"### {name}.{member}\n"
        if (before := written.setdefault(id(value), name)) != name:
            yield f"The same as `{before}.{member}`.\n"
        else:
            yield from _entry(member, value)


def _entry(name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        yield _line(_class_line(name, value))
        yield _text(value)
        for method in _methods(value):
            yield _line(f"{name}.{_function_line(method)}")
            yield (ast.get_docstring(method) or "") + "\n"
    elif inspect.isfunction(value):
        yield _line(_function_line(_source(value)))
        yield _text(value)


def _line(signature: str) -> str:
    return f"```text\n{signature}\n```\n"


def _class_line(name: str, value: type) -> str:
    if issubclass(value, BaseException):
        bases = ", ".join(base.__name__ for base in value.__bases__)
        return f"class {name}({bases})"
    return f"class {name}{_arguments_of(value)}"


def _arguments_of(value: type) -> str:
    """How *value* is made: the arguments of its ``__init__``, or its fields."""
    for owner in _ours(value):
        body = _source(owner).body
        for member in body:
            if isinstance(member, ast.FunctionDef) and member.name == "__init__":
                return f"({_arguments(member)})"
        fields = [
            member
            for member in body
            if isinstance(member, ast.AnnAssign) and not ast.unparse(member).startswith("_")
        ]
        if fields and _makes_an_init(owner):
            return f"({', '.join(map(ast.unparse, fields))})"
    return ""


def _makes_an_init(owner: type) -> bool:
    return dataclasses.is_dataclass(owner) or issubclass(owner, msgspec.Struct)


def _methods(value: type) -> Iterator[Function]:
    """The public methods that *value* or a class of ours above it defines, in their order."""
    seen: set[str] = set()
    for owner in _ours(value):
        for member in _source(owner).body:
            if isinstance(member, Function) and not (
                member.name.startswith("_") or member.name in seen
            ):
                seen.add(member.name)
                yield member


def _ours(value: type) -> Iterator[type]:
    return (owner for owner in value.__mro__ if owner.__module__.startswith("mintage"))


def _function_line(function: Function) -> str:
    prefix = "async " if isinstance(function, ast.AsyncFunctionDef) else ""
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return f"{prefix}{function.name}({_arguments(function)}){returns}"


def _arguments(function: Function) -> str:
    """The arguments as the source has them, without ``self`` and ``cls``."""
    found = ast.unparse(function.args)
    return re.sub(r"^(?:self|cls)(?:, |$)", "", found)


def _source(value: Any) -> Any:
    """The syntax tree of the class or function *value*."""
    return ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]


def _text(value: Any) -> str:
    return inspect.cleandoc(value.__doc__ or "") + "\n"


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.write_text(page())


if __name__ == "__main__":
    main()
