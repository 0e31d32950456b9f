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
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from mintage import errors

PAGE: Final = Path(__file__).parents[1] / "docs/python-api.md"

PUBLIC: Final = (
    "mintage",
    "mintage.jwt_issuer",
    "mintage.jwt_verifier",
    "mintage.errors",
    "mintage.app",
    "mintage.logs",
    "mintage.integrations.fastapi",
    "mintage.integrations.fastmcp",
    "mintage.integrations.mcp_sdk",
    "mintage.integrations.starlette",
    "mintage.stores.protocol",
    "mintage.testing.browser",
    "mintage.testing.clock",
    "mintage.testing.counting_store",
    "mintage.testing.assertion_issuer",
    "mintage.testing.fake_upstream",
    "mintage.testing.oauth_client",
    "mintage.testing.serving",
    "mintage.testing.store_suite",
)
"""The modules whose names are kept from one minor version to the next."""

_HEAD: Final = """\
# Python API

These modules are public. Every other module may change in any release, and so may a method or an
argument that its entry calls private. `python -m tools.api` makes this page from the docstrings.

**What stays.** A public name, its arguments and their meaning stay the same within a minor version
(0.1.x), and a newer minor version keeps them unless they were deprecated before. An argument may
be added if it has a default. Each entry says since which version it is there.

**How something goes.** A release deprecates it: its use warns with a `DeprecationWarning` that
names the replacement, its entry here says so, and `CHANGELOG.md` lists it under Deprecated. It
works for the rest of that minor version and for the whole next one. The release after that may
remove it, and lists it under Removed. Only a security fix may be faster; the release then says so.
"""

ADDED: Final = tomllib.loads((Path(__file__).parent / "public_names.toml").read_text())
"""The public names by the version that they came with."""

_BLOCK: Final = re.compile(r"^(Args|Returns|Raises):$")
_ITEM: Final = re.compile(r"^    (\w[\w, ]*): (.*)$")

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def page() -> str:
    """The whole page, as Markdown."""
    written: dict[int, str] = {}
    return "\n".join([_HEAD, *(line for name in PUBLIC for line in _module(name, written))])


def names(module: ModuleType) -> list[str]:
    """The public names of *module*: its ``__all__``, or what it defines without an underscore."""
    listed = getattr(module, "__all__", None) or _defined(module)
    return sorted(name for name in listed if not name.startswith("_"))


def _defined(module: ModuleType) -> Iterator[str]:
    for node in ast.parse(inspect.getsource(module)).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name
            case ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if not isinstance(getattr(module, name), TypeVar):
                    yield name
            case _:
                pass


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
            yield from _entry(member, value, module)
        yield f"Added in {added_in(f'{name}.{member}')}.\n"


def added_in(name: str) -> str:
    """The version that brought the public *name*. Raises ``LookupError`` if none is noted."""
    found = [version for version, names in ADDED.items() if name in names]
    if len(found) != 1:
        raise LookupError(f"{name}: write it under its version in tools/public_names.toml")
    return found[0]


def _entry(name: str, value: Any, module: ModuleType) -> Iterator[str]:
    if inspect.isclass(value):
        yield _line(_class_line(name, value))
        yield _text(value)
        for member in methods(value):
            yield _line(f"{name}.{_member_line(member)}")
            yield _marked(docstring(value, member.name)) + "\n"
        if tests := [test for test in dir(value) if test.startswith("test_")]:
            yield "Its tests:\n"
            yield "\n".join(f"- `{test}`" for test in tests) + "\n"
    elif inspect.isfunction(value):
        yield _line(_function_line(source(value), name))
        yield _text(value)
    else:
        yield from _constant(name, module)


def _constant(name: str, module: ModuleType) -> Iterator[str]:
    """The assignment of *name* in *module*, and the string beneath it."""
    body = ast.parse(inspect.getsource(module)).body
    for node, below in pairwise([*body, ast.Pass()]):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=found)]) | ast.AnnAssign(target=ast.Name(id=found))
            ) if found == name:
                yield _line(ast.unparse(node))
                if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                    yield inspect.cleandoc(str(below.value.value)) + "\n"
            case ast.ImportFrom(module=str(origin)) if name in {each.name for each in node.names}:
                yield from _constant(name, import_module(origin))
            case _:
                pass


def _line(signature: str) -> str:
    return f"```text\n{signature}\n```\n"


def _class_line(name: str, value: type) -> str:
    if issubclass(value, BaseException):
        bases = ", ".join(base.__name__ for base in value.__bases__)
        own = [made for owner, made, _ in [constructor(value)] if owner is value]
        return f"class {name}({bases})" + "".join(f"\n{name}({made})" for made in own)
    made = constructor(value)[1]
    return f"class {name}({made})" if made else f"class {name}"


def constructor(value: type) -> tuple[type | None, str, list[str]]:
    """How *value* is made: the class that says so, the arguments as text, and their names."""
    for owner in _ours(value):
        body = source(owner).body
        for member in body:
            if isinstance(member, ast.FunctionDef) and member.name == "__init__":
                return owner, _arguments(member), parameters(member)
        fields = [
            member
            for member in body
            if isinstance(member, ast.AnnAssign)
            and not ast.unparse(member).startswith("_")
            and "ClassVar" not in ast.unparse(member)
        ]
        if fields and _makes_an_init(owner):
            written = ", ".join(map(ast.unparse, fields))
            return owner, written, [ast.unparse(member.target) for member in fields]
    return None, "", []


def parameters(function: Function) -> list[str]:
    """The names of the arguments of *function*, without ``self`` and ``cls``."""
    found = function.args
    named = [*found.posonlyargs, *found.args, found.vararg, *found.kwonlyargs, found.kwarg]
    return [arg.arg for arg in named if arg is not None and arg.arg not in ("self", "cls")]


def _makes_an_init(owner: type) -> bool:
    return dataclasses.is_dataclass(owner) or issubclass(owner, msgspec.Struct)


def methods(value: type) -> Iterator[Function]:
    """The public methods that *value* or a class of ours above it defines, in their order.

    Without the tests of a suite and their fixtures; of an error only its own.
    """
    seen: set[str] = set()
    owners = [value] if issubclass(value, errors.OAuthError) else _ours(value)
    for owner in owners:
        for member in source(owner).body:
            if isinstance(member, Function) and not (
                member.name.startswith(("_", "test_")) or member.name in seen | _fixtures(member)
            ):
                seen.add(member.name)
                yield member


def _fixtures(member: Function) -> set[str]:
    marks = map(ast.unparse, member.decorator_list)
    return {member.name} if any(mark.startswith("pytest.fixture") for mark in marks) else set()


def docstring(value: type, name: str) -> str:
    """The docstring of the method *name*: its own, or that of the class that promised it."""
    for owner in _ours(value):
        for member in source(owner).body:
            if isinstance(member, Function) and member.name == name:
                if found := ast.get_docstring(member):
                    return found
                break
    return ""


def _marked(text: str) -> str:
    """*text* with its blocks of arguments, results and errors as lists of Markdown."""
    lines: list[str] = []
    block = ""
    for line in text.splitlines():
        if begins := _BLOCK.match(line):
            block = begins[1]
            lines += [f"**{block}**", ""]
        elif not line.startswith("    "):
            block = "" if line else block
            lines.append(line)
        elif block in ("Args", "Raises"):
            item = _ITEM.match(line)
            lines.append(f"- `{item[1]}`: {item[2]}" if item else f"  {line.strip()}")
        else:
            lines.append(line.strip() if block else line)
    return "\n".join(lines)


def _ours(value: type) -> Iterator[type]:
    return (owner for owner in value.__mro__ if owner.__module__.startswith("mintage"))


def _member_line(member: Function) -> str:
    if any(ast.unparse(found).endswith("property") for found in member.decorator_list):
        return f"{member.name}: {ast.unparse(member.returns)}" if member.returns else member.name
    return _function_line(member, member.name)


def _function_line(function: Function, name: str) -> str:
    prefix = "async " if isinstance(function, ast.AsyncFunctionDef) else ""
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return f"{prefix}{name}({_arguments(function)}){returns}"


def _arguments(function: Function) -> str:
    """The arguments as the source has them, without ``self`` and ``cls``."""
    found = ast.unparse(function.args)
    return re.sub(r"^(?:self|cls)(?:, |$)", "", found)


@cache
def source(value: Any) -> Any:
    """The syntax tree of the class or function *value*."""
    return ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]


def _text(value: Any) -> str:
    return _marked(inspect.cleandoc(value.__doc__ or "")) + "\n"


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.write_text(page())


if __name__ == "__main__":
    main()
