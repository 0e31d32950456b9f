"""The command of ``mintage serve -- COMMAND``: it serves the resource without a backend."""

from collections.abc import Sequence
from typing import Any

from mintage.errors import ConfigError


def put_behind(data: dict[str, Any], command: Sequence[str]) -> None:
    """Make *command* serve the one resource without a backend. Raises `ConfigError`."""
    resources = data.setdefault("resource", [{"path": "/mcp"}])
    bare = [r for r in resources if isinstance(r, dict) and not {"backend", "command"} & r.keys()]
    if not bare:
        raise ConfigError("--", f"the command has no place: {_occupied(resources)}")
    if len(bare) != 1:
        raise ConfigError(
            "--", f"the command is for the resource without a backend; there are {len(bare)}"
        )
    bare[0]["command"] = {"run": list(command)}


def _occupied(resources: Sequence[Any]) -> str:
    """What to remove to make room for a command."""
    taken = [
        f"{name} from [[resource]] {one.get('path', '')}".rstrip()
        for one in resources
        if isinstance(one, dict)
        for name in ("backend", "command")
        if name in one
    ]
    return f"remove {', or '.join(taken)}" if taken else "there is no [[resource]]"
