"""Settings in environment variables: ``MINTAGE_UPSTREAM__CLIENT_ID`` is ``upstream.client_id``.

Two underscores lead into a table or a list: ``MINTAGE_RESOURCE__0__PATH``. A variable wins over the
file. A variable without a value counts as not set.
"""

import json
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias, Union, get_args, get_origin

import msgspec

from mintage.errors import ConfigError
from mintage.settings.words import guess

PREFIX: Final = "MINTAGE_"
ROOT_SECRET: Final = "MINTAGE_SECRET"  # noqa: S105
RESERVED: Final = {
    "MINTAGE_CONFIG": "the file with the settings",
    ROOT_SECRET: "the root secret, if the setting `secret` is not set",
    "MINTAGE_SECRET_*": "a secret that a setting names: env:MINTAGE_SECRET_UPSTREAM",
    "MINTAGE_USER": "the user, for a command that Mintage runs",
    "MINTAGE_USER_*": "the user's name and address, for the same",
    "MINTAGE_STRESS": "for Mintage's own tests",
    "MINTAGE_SCREENSHOTS": "for Mintage's own tests",
    "MINTAGE_CLIENTS_INSIDE": "for Mintage's own tests",
}
"""The variables that begin like a setting and are none, and what each is for."""

# Kubernetes and Docker put the addresses of services into each container's environment. A service
# called mintage would otherwise stop every Mintage beside it.
_OF_A_SERVICE: Final = re.compile(
    r"MINTAGE_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)"
)
_PORT_OF_A_SERVICE: Final = re.compile(r"(?:tcp|udp|sctp)://")

Step: TypeAlias = str | int


class Origins(msgspec.Struct, frozen=True):
    """Which variable each setting is from, by the setting's path: ``resource[0].path``."""

    variables: Mapping[str, str]

    def named(self, error: ConfigError) -> ConfigError:
        """*error*, which names the variable too, if the setting is from one."""
        variable = self._of(error.key)
        return (
            error if variable is None else ConfigError(f"{error.key} in {variable}", error.advice)
        )

    def _of(self, key: str) -> str | None:
        exact = [path for path in self.variables if _is_in(key, path)]
        if exact:
            return self.variables[max(exact, key=len)]
        # Some errors leave out the number in a list.
        similar = [path for path in self.variables if _is_in(key, _without_numbers(path))]
        return self.variables[similar[0]] if len(similar) == 1 else None


def has_settings(environ: Mapping[str, str]) -> bool:
    """Whether *environ* holds a setting, or what was meant as one."""
    return any(True for _ in _meant(environ))


def put_in(data: dict[str, Any], environ: Mapping[str, str], file: type[msgspec.Struct]) -> Origins:
    """Put the settings in *environ* into *data*, whose types *file* knows.

    Raises `ConfigError`, whose key is the variable's name, for one that names no setting, or whose
    value has not the setting's type.
    """
    unknown = {}
    found: list[tuple[Sequence[Step], str, Any]] = []
    for name, value in _meant(environ):
        steps = _steps(name)
        kinds = _kinds_at(file, steps)
        if kinds:
            found.append((steps, name, _read(name, value, kinds)))
        else:
            unknown[name] = steps
    for steps, name, value in sorted(found, key=lambda one: _order(one[0])):
        _put(data, steps, value, name)
    variables = {_path(steps): name for steps, name, _ in found}
    if environ.get(ROOT_SECRET) and "secret" not in data:
        data["secret"], variables["secret"] = f"env:{ROOT_SECRET}", ROOT_SECRET
    sources = set(_sources(data))
    for name, steps in unknown.items():
        if name not in sources:
            raise ConfigError(name, _unknown(file, name, steps))
    return Origins(variables)


def _meant(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The variables in *environ* that are settings, by their names."""
    for name, value in environ.items():
        if name.startswith(PREFIX) and value and not _is_reserved(name, value):
            yield name, value


def _is_reserved(name: str, value: str) -> bool:
    if "__" in name:
        return False
    if _OF_A_SERVICE.fullmatch(name) or (
        name.endswith("_PORT") and _PORT_OF_A_SERVICE.match(value)
    ):
        return True
    families = tuple(one.rstrip("*") for one in RESERVED if one.endswith("*"))
    return name in RESERVED or name.startswith(families)


def _steps(name: str) -> Sequence[Step]:
    words = name.removeprefix(PREFIX).split("__")
    # Only capitals name a setting: two variables must not name the same one.
    return [int(word) if word.isdecimal() else _lower(word) for word in words]


def _lower(word: str) -> str:
    return word.lower() if word.isupper() else f"?{word}"


def _kinds_at(file: type[msgspec.Struct], steps: Sequence[Step]) -> list[Any]:
    """The types that the setting at *steps* may have; none: there is no such setting."""
    kinds: list[Any] = [file]
    for step in steps:
        kinds = [kind for one in kinds for kind in _inside(one, step)]
    return kinds


def _inside(kind: Any, step: Step) -> Iterator[Any]:
    if isinstance(step, int):
        if get_origin(kind) is tuple:
            yield from _alternatives(get_args(kind)[0])
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            if field.encode_name == step:
                yield from _alternatives(field.type)


def _alternatives(kind: Any) -> Iterator[Any]:
    """The types that *kind* consists of, if it is a union."""
    if get_origin(kind) is Annotated:
        yield from _alternatives(get_args(kind)[0])
    elif get_origin(kind) in (Union, types.UnionType):
        for one in get_args(kind):
            yield from _alternatives(one)
    else:
        yield kind


def _read(name: str, value: str, kinds: Sequence[Any]) -> Any:
    """The *value* of the variable *name* as one of *kinds*: text as it is, all else in JSON."""
    text = any(kind is str or get_origin(kind) is Literal for kind in kinds)
    several = any(get_origin(kind) is tuple for kind in kinds)
    if text and not (several and value.lstrip().startswith("[")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ConfigError(name, _how_to_write(kinds)) from None


def _how_to_write(kinds: Sequence[Any]) -> str:
    if any(get_origin(kind) is tuple for kind in kinds):
        return 'is a list: write it in JSON, like ["a", "b"]'
    if bool in kinds:
        return "is true or false"
    if int in kinds or float in kinds:
        return "is a number"
    return 'is a table: write it in JSON, like {"name": "value"}, or name one setting of it'


def _put(data: dict[str, Any], steps: Sequence[Step], value: Any, name: str) -> None:
    place: Any = data
    for number, step in enumerate(steps):
        _check_place(place, step, name)
        if number == len(steps) - 1:
            fresh = value
        else:
            fresh = [] if isinstance(steps[number + 1], int) else {}
        if isinstance(step, int):
            if step == len(place):
                place.append(fresh)
            elif number == len(steps) - 1:
                place[step] = fresh
        elif number == len(steps) - 1 or step not in place:
            place[step] = fresh
        place = place[step]


def _check_place(place: Any, step: Step, name: str) -> None:
    """Raise `ConfigError` unless *step* leads somewhere in *place*."""
    if isinstance(step, int) and not isinstance(place, list):
        raise ConfigError(name, "has a number, and the file has no list there: leave it out")
    if isinstance(step, str) and isinstance(place, list):
        raise ConfigError(name, f"names no number, and the file has a list there: {PREFIX}…__0__…")
    if isinstance(step, str) and not isinstance(place, dict):
        raise ConfigError(name, "leads into a table, and the file has none there")
    if isinstance(step, int) and step > len(place):
        raise ConfigError(name, f"leaves out a number: the next one in this list is {len(place)}")


def _order(steps: Sequence[Step]) -> list[tuple[int, str]]:
    """Whole tables before what is in them, and lists in the order of their numbers."""
    return [(step, "") if isinstance(step, int) else (-1, step) for step in steps]


def _path(steps: Sequence[Step]) -> str:
    """As errors spell it: ``resource[0].path``."""
    found = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return found.removeprefix(".")


def _is_in(key: str, path: str) -> bool:
    return key == path or key.startswith((f"{path}.", f"{path}["))


def _without_numbers(path: str) -> str:
    return re.sub(r"\[\d+\]", "", path)


def _sources(value: Any) -> Iterator[str]:
    """The variables that the settings in *value* name as the sources of secrets."""
    if isinstance(value, str):
        if value.startswith("env:"):
            yield value.removeprefix("env:")
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _sources(one)
    elif isinstance(value, list):
        for one in value:
            yield from _sources(one)


def _longer(name: str) -> Iterator[str]:
    """*name* with two underscores in place of one, or with a number in a list."""
    for found in re.finditer("(?<!_)_(?!_)|__", name[len(PREFIX) :]):
        at = len(PREFIX) + found.start()
        yield f"{name[:at]}{'_' if found[0] == '_' else '__0'}{name[at:]}"


def _unknown(file: type[msgspec.Struct], name: str, steps: Sequence[Step]) -> str:
    """Why the variable *name* is no setting, and which one may be meant."""
    for longer in _longer(name):
        if _kinds_at(file, _steps(longer)):
            return f"is no setting; did you mean {longer}?"
    known = next(n for n in range(len(steps), -1, -1) if n == 0 or _kinds_at(file, steps[:n]))
    above, step = steps[:known], steps[known]
    names = [
        field.encode_name
        for kind in (_kinds_at(file, above))
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
        for field in msgspec.structs.fields(kind)
    ]
    if not names:
        return f"{_path(above)} has no settings of its own below it: write the whole of it in JSON"
    return (
        f"there is no setting {_path((*above, step))}{guess(str(step), names)} (Each variable that "
        f"begins with {PREFIX} is a setting. Let the name of a secret begin with {ROOT_SECRET}_.)"
    )
