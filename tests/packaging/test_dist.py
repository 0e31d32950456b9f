"""What a release consists of, and that it runs where there is no clone."""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from email.message import Message
from email.parser import Parser
from importlib.metadata import version
from pathlib import Path

import pytest
from tools.metadata_hook import shown, urls

import mintage
from tests.packaging.locks import ROOT, lock
from tests.packaging.test_set_up import downloads

pytestmark = pytest.mark.xdist_group("dist")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    build(directory)
    return directory


def build(directory: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "tools.dist", directory], cwd=ROOT, check=True, capture_output=True
    )


def wheel_of(directory: Path) -> Path:
    (file,) = directory.glob("*.whl")
    return file


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_the_version_is_said_in_one_place(dist: Path) -> None:
    assert wheel_of(dist).name == f"mintage-{mintage.__version__}-py3-none-any.whl"
    said = [
        path
        for path in (ROOT / "pyproject.toml", *(ROOT / "src").rglob("*.py"))
        if f'"{mintage.__version__}"' in path.read_text()
    ]
    assert said == [ROOT / "src/mintage/__init__.py"]


def test_the_wheel_holds_the_package_and_nothing_else(dist: Path) -> None:
    with zipfile.ZipFile(wheel_of(dist)) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"mintage"}
    held = {name for name in names if name.startswith("mintage/")}
    source = ROOT / "src"
    wanted = {
        str(path.relative_to(source))
        for path in (source / "mintage").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == wanted
    assert "mintage/py.typed" in held


def test_the_sdist_gives_the_same_wheel(dist: Path, tmp_path: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "again"],
        cwd=source, check=True, capture_output=True,
    )  # fmt: skip
    assert wheel_of(tmp_path / "again").read_bytes() == wheel_of(dist).read_bytes()


def test_nothing_of_this_machine_is_in_the_sdist(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = opened.getnames()
    assert not [name for name in names if re.search(r"venv|node_modules|__pycache__|\.db$", name)]
    assert any(name.endswith("/docs/tutorial.md") for name in names)


def test_the_readme_has_no_link_that_leads_nowhere_when_shown(dist: Path) -> None:
    text = metadata_of(wheel_of(dist)).get_payload()
    assert isinstance(text, str)
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert not [link for link in links if not re.match(r"https?://|#", link)]
    assert text.startswith("# Mintage")


def test_with_a_repository_the_links_lead_there() -> None:
    readme = (ROOT / "README.md").read_text()
    text = shown(readme + "\n![The demo](docs/demo.png)", "https://code.example/mintage")
    assert "[The tutorial](https://code.example/mintage/blob/main/docs/tutorial.md)" in text
    assert "![The demo](https://code.example/mintage/raw/main/docs/demo.png)" in text
    assert not re.search(r"\]\((?!https?://|#)", text)


def test_without_a_repository_it_is_said_where_the_files_are() -> None:
    text = shown((ROOT / "README.md").read_text(), "")
    assert "The tutorial (`docs/tutorial.md`)" in text
    assert "The files named here and above are in the source archive (sdist).\n" in text
    named = re.findall(r"\(`((?:docs/)?[^`]*\.md[^`]*)`\)", text)
    assert len(named) > 15
    assert [file for file in named if not (ROOT / file).is_file()] == []


def test_the_links_of_the_project_are_files_that_exist() -> None:
    repository = "https://code.example/mintage"
    files = [
        url.removeprefix(f"{repository}/blob/main/")
        for url in urls(repository).values()
        if "/blob/" in url
    ]
    assert len(files) == 3
    assert all((ROOT / file).is_file() for file in files)
    assert urls("") == {}


def test_the_bill_of_materials_is_whole(dist: Path) -> None:
    """Every component has its locked version and a licence, and every reference leads to one."""
    bill = json.loads((dist / "sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    components = {each["bom-ref"]: each for each in bill["components"]}
    locked = {line.name: line.version for line in lock("dev") if line.applies}
    for each in components.values():
        assert locked[each["name"]] == each["version"]
        assert each["licenses"] != [{"license": {"name": "not stated"}}], each["name"]
    main = bill["metadata"]["component"]["bom-ref"]
    references = {ref for each in bill["dependencies"] for ref in (each["ref"], *each["dependsOn"])}
    assert references == {*components, main}
    needed = {each["name"] for each in components.values() if each["scope"] == "required"}
    assert needed == {"cffi", "cryptography", "joserfc", "msgspec", "pycparser"}


def test_the_licences_of_all_components_are_there(dist: Path) -> None:
    text = (dist / "LICENSES.txt").read_text()
    bill = json.loads((dist / "sbom.cdx.json").read_text())
    for each in bill["components"]:
        named = re.escape(each["name"]).replace(r"\-", "[-_.]")
        assert re.search(f"(?im)^{named} {re.escape(each['version'])}: ", text), each["name"]


def test_the_same_commit_gives_the_same_files(dist: Path, tmp_path: Path) -> None:
    build(tmp_path)
    for file in dist.iterdir():
        assert file.read_bytes() == (tmp_path / file.name).read_bytes(), file.name


RUNS = {
    "uvx": (
        sys.executable, "-m", "uv", "tool", "run", "-q", "--python", sys.executable,
        "--constraints", "requirements/demo.txt", "--from", "{wheel}", "mintage", "demo", "--once",
    ),
    "pipx": (
        sys.executable, "-m", "pipx", "run", "--python", sys.executable, "--spec", "{wheel}",
        "mintage", "demo", "--once",
    ),
}  # fmt: skip


@downloads
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", RUNS)
def test_the_demo_runs_without_a_clone(name: str, dist: Path, tmp_path: Path) -> None:
    """`uvx --from 'mintage[demo]' mintage demo` and pipx's form, with the wheel just built."""
    command = [part.format(wheel=f"{wheel_of(dist)}[demo]") for part in RUNS[name]]
    done = run(command, environment_of(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rotated" in done.stdout


def environment_of(directory: Path) -> dict[str, str]:
    """An empty home, in which the locked versions are the only ones: no test is about today's."""
    constraints = directory / "constraints.txt"
    constraints.write_text(
        "".join(f"{line.name}=={line.version}\n" for line in lock("demo") if line.applies)
    )
    return {
        **os.environ,  # how to reach an index, and whom to trust there
        "HOME": str(directory),
        "PIPX_HOME": str(directory / "pipx"),
        "UV_CACHE_DIR": str(directory / "uv"),
        "UV_CONSTRAINT": str(constraints),
        "PIP_CONSTRAINT": str(constraints),
    }


def run(command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500, check=False
    )


@downloads
@pytest.mark.timeout(600)
def test_the_library_alone_installs_into_an_empty_environment(dist: Path, tmp_path: Path) -> None:
    """`pip install mintage` brings five packages; and the command says what it lacks."""
    there = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", there], check=True)
    python = str(there / "bin" / "python")
    installed = run(
        [python, "-m", "pip", "install", "-q", str(wheel_of(dist))], environment_of(tmp_path)
    )
    assert installed.returncode == 0, installed.stderr
    listed = run([python, "-m", "pip", "list", "--format=json"], environment_of(tmp_path))
    names = {each["name"].lower() for each in json.loads(listed.stdout)} - {"pip", "setuptools"}
    assert names == {"cffi", "cryptography", "joserfc", "mintage", "msgspec", "pycparser"}
    asked = run([str(there / "bin" / "mintage"), "demo"], environment_of(tmp_path))
    assert asked.returncode == 2
    assert asked.stderr.startswith("mintage: this needs the package cyclopts: pip install ")


def test_the_installed_version_is_that_of_the_source() -> None:
    assert version("mintage") == mintage.__version__
