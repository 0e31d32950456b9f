"""The README and the links as the package shows them, wherever it is shown.

In the repository the README links to files beside it. Where a package is shown those files are
not. With ``repository`` in ``pyproject.toml`` the links lead there; without it they become the
path of the file in the source archive.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<path>(?![a-z]+:|#)[^)]+)\)")

_READING = "## Everything else\n"
_WHERE = "The files named here and above are in the source archive (sdist)."


def shown(readme: str, repository: str) -> str:
    """*readme* with no relative link left in it."""

    def replaced(link: re.Match[str]) -> str:
        picture, text, path = link["picture"], link["text"], link["path"]
        if repository:
            return f"{picture}[{text}]({repository}/{'raw' if picture else 'blob'}/main/{path})"
        file = path.partition("#")[0]
        return f"{text} (`{file}`)"

    said = readme if repository else readme.replace(_READING, f"{_READING}\n{_WHERE}\n", 1)
    return _LINK.sub(replaced, said)


def urls(repository: str) -> dict[str, str]:
    """What ``project.urls`` says."""
    if not repository:
        return {}
    files = f"{repository}/blob/main"
    return {
        "Source": repository,
        "Issues": f"{repository}/issues",
        "Documentation": f"{files}/docs/tutorial.md",
        "Changelog": f"{files}/CHANGELOG.md",
        "Security": f"{files}/SECURITY.md",
    }


class ProjectMetadata(MetadataHookInterface):
    """Hatchling calls it for each build."""

    def update(self, metadata: dict[str, Any]) -> None:
        repository = str(self.config.get("repository", "")).rstrip("/")
        readme = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": shown(readme, repository),
        }
        metadata["urls"] = urls(repository)
