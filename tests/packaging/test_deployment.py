"""What is shipped to deploy Mintage: the image's recipe, compose files, the chart and its base."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tools import kustomize

from mintage import __version__
from mintage.cli.main import app
from mintage.settings.load import Config, parse
from tests.packaging.locks import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE = sorted(DEPLOY.glob("compose/*/compose.yaml"))
SECRET = "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM"
STORE = "postgresql://mintage:pw@postgres/mintage"
SQLITE = ("persistence.enabled=true", "replicas=1", "secrets.store=null")
EVERYTHING = (
    "ingress.enabled=true",
    "ingress.tlsSecret=tls",
    "ingress.className=nginx",
    "metrics.serviceMonitor.enabled=true",
    "networkPolicy.ingressFrom[0].namespaceSelector.matchLabels.name=ingress",
    "secrets.upstream=null",
)

pytestmark = pytest.mark.skipif(
    shutil.which("helm", path=Path(sys.executable).parent) is None and not os.environ.get("CI"),
    reason="needs `make setup` with the newest locks",
)


def installed(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A program of this environment."""
    command = [str(Path(sys.executable).with_name(name)), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def settings(text: str, base: Path) -> Config:
    """The settings in *text*, with the secrets that containers mount in *base*."""
    for name, secret in {"root": SECRET, "upstream": "s", "store": STORE}.items():
        (base / name).write_text(secret)
    text = re.sub(r"file:/run/secrets/(?:mintage/)?", "file:", text)
    return parse(tomllib.loads(text), base=base, environ={})


# ── the image ────────────────────────────────────────────────────────────────────────────────────


def test_the_image_is_made_of_files_that_are_there() -> None:
    recipe = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", recipe, re.MULTILINE)
    assert copied
    for name in " ".join(copied).split():
        assert (ROOT / name).exists(), name
        assert name not in ignored


def test_the_image_starts_a_server_that_its_health_check_asks() -> None:
    recipe = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    found = re.search(r"^CMD (\[.+\])$", recipe, re.MULTILINE)
    assert found is not None
    words = json.loads(found[1])
    app.parse_args(words, exit_on_error=False, print_error=False)
    assert f"EXPOSE {words[-1]}" in recipe
    assert f"127.0.0.1:{words[-1]}/healthz" in recipe


def test_nobody_in_the_image_is_root() -> None:
    recipe = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    *_, user = re.findall(r"^USER (\S+)$", recipe, re.MULTILINE)
    assert user == "10001:0"


def test_everything_that_is_shipped_names_this_version() -> None:
    chart = YAML(typ="safe").load((kustomize.CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    for file in COMPOSE:
        named = re.findall(r"image: mintage:(\S+)", file.read_text(encoding="utf-8"))
        assert set(named) == {__version__}, file


# ── compose ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.parent.name)
def test_compose_files_are_what_their_schema_says(file: Path) -> None:
    done = installed("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(file))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.parent.name)
def test_each_mintage_in_them_has_the_secrets_and_files_that_its_settings_name(
    file: Path, tmp_path: Path
) -> None:
    text = (file.parent / "mintage.toml").read_text(encoding="utf-8")
    settings(text, tmp_path)
    services = services_of(file)
    mintages = {name: service for name, service in services.items() if "mintage" in name}
    assert mintages
    for service in mintages.values():
        assert set(re.findall(r"/run/secrets/(\w+)", text)) == set(service["secrets"])
        assert "./mintage.toml:/etc/mintage/mintage.toml:ro" in service["volumes"]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
    for backend in re.findall(r"http://([\w-]+):", text):
        assert backend in services


def test_the_proxy_in_them_forwards_to_each_mintage() -> None:
    services = services_of(DEPLOY / "compose/replicas/compose.yaml")
    proxy = (DEPLOY / "compose/replicas/Caddyfile").read_text(encoding="utf-8")
    upstreams = set(re.findall(r"([\w-]+):8080", proxy))
    assert upstreams == {name for name in services if name.startswith("mintage-")}


def services_of(file: Path) -> dict[str, Any]:
    services: dict[str, Any] = YAML(typ="safe").load(file.read_text(encoding="utf-8"))["services"]
    return services


# ── systemd ──────────────────────────────────────────────────────────────────────────────────────


def systemd_analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False
    )


def test_the_units_are_right(tmp_path: Path) -> None:
    """systemd reads them; the program that they start is not on this machine."""
    for file in (DEPLOY / "systemd").iterdir():
        text = file.read_text(encoding="utf-8")
        (tmp_path / file.name).write_text(text.replace("/opt/mintage/bin/mintage", "/bin/true"))
    units = [str(tmp_path / name) for name in ("mintage.service", "mintage.socket")]
    done = systemd_analyze("verify", "--man=no", *units)
    assert [line for line in done.stderr.splitlines() if "mintage" in line] == []


def test_a_proxy_on_the_same_machine_reaches_a_unix_socket(tmp_path: Path) -> None:
    """As the comment of the socket says: for nobody but the proxy, also while Mintage restarts."""
    text = (DEPLOY / "systemd/mintage.socket").read_text(encoding="utf-8")
    ports = re.findall(r"^ListenStream=.*\d\n", text, re.MULTILINE)
    assert ports
    for line in ports:
        text = text.replace(line, "")
    text = re.sub(r"^# (\w+=)", r"\1", text, flags=re.MULTILINE)
    assert "\nListenStream=/run/mintage/mintage.sock\n" in text
    assert "\nSocketMode=0660\n" in text  # systemd's own is 0666: anybody here could ask
    unit = (DEPLOY / "systemd/mintage.service").read_text(encoding="utf-8")
    (user,) = re.findall(r"^User=(.+)$", unit, re.MULTILINE)
    assert f"\nSocketGroup={user}\n" in text
    # The directory of the socket is not removed with the service, whose socket stays open.
    assert "\nRuntimeDirectory=mintage\nRuntimeDirectoryPreserve=yes\n" in unit
    (tmp_path / "mintage.socket").write_text(text)
    (tmp_path / "mintage.service").write_text(unit.replace("/opt/mintage/bin/mintage", "/bin/true"))
    units = [str(tmp_path / name) for name in ("mintage.service", "mintage.socket")]
    done = systemd_analyze("verify", "--man=no", *units)
    assert [line for line in done.stderr.splitlines() if "mintage" in line] == []


def test_the_service_has_few_rights() -> None:
    """From 0 to 10, less is better: most services of a distribution are above 9."""
    unit = str(DEPLOY / "systemd/mintage.service")
    done = systemd_analyze("security", "--offline=true", "--threshold=15", unit)
    assert done.returncode == 0, done.stdout[-200:]


def test_the_service_starts_a_command_that_is_there() -> None:
    text = (DEPLOY / "systemd/mintage.service").read_text(encoding="utf-8")
    found = re.search(r"^ExecStart=\S+/mintage (.+)$", text, re.MULTILINE)
    assert found is not None
    app.parse_args(found[1].split(), exit_on_error=False, print_error=False)
    assert {"root", "upstream"} == set(re.findall(r"^LoadCredential=(\w+):", text, re.MULTILINE))


# ── Kubernetes ───────────────────────────────────────────────────────────────────────────────────


def test_the_chart_is_one() -> None:
    done = installed("helm", "lint", "--strict", str(kustomize.CHART))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("values", [(), SQLITE, EVERYTHING], ids=["default", "sqlite", "all"])
def test_the_chart_makes_manifests_that_kubernetes_knows_and_settings_that_mintage_knows(
    values: tuple[str, ...], tmp_path: Path
) -> None:
    text = kustomize.rendered(*(f"--set={value}" for value in values))
    parts = [part for part in YAML(typ="safe").load_all(text) if part]
    known = [part for part in parts if "monitoring.coreos.com" not in part["apiVersion"]]
    assert validated("\n---\n".join(map(json.dumps, known)), tmp_path)
    (config,) = [part for part in parts if part["kind"] == "ConfigMap"]
    found = settings(config["data"]["mintage.toml"], tmp_path)
    assert found.metrics is not None
    (deployment,) = [part for part in parts if part["kind"] == "Deployment"]
    assert deployment["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True
    assert {part["kind"] for part in parts} >= {"Service", "NetworkPolicy"}
    assert ("PodDisruptionBudget" in {part["kind"] for part in parts}) == (values != SQLITE)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["secrets.store=null"], "say where grants are kept"),
        (["secrets.store=null", "persistence.enabled=true"], "one replica"),
        (["settings.issuer=http://auth.example.com"], "issuer"),
        (["replica=3"], "replica"),
    ],
)
def test_the_chart_refuses_values_that_can_not_work(values: list[str], said: str) -> None:
    with pytest.raises(RuntimeError, match=said):
        kustomize.rendered(*(f"--set={value}" for value in values))


def test_the_base_says_what_the_chart_says() -> None:
    there = {path.name: path.read_text(encoding="utf-8") for path in kustomize.BASE.iterdir()}
    assert there == kustomize.base(), "run python -m tools.kustomize"


def test_kustomize_builds_the_base(tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed; neither PyPI nor npm has kustomize itself")
    done = subprocess.run(
        ["kubectl", "kustomize", kustomize.BASE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert validated(done.stdout, tmp_path)


def validated(manifests: str, directory: Path) -> bool:
    """Whether Kubernetes' own schemas accept the *manifests*, all of them."""
    file = directory / "manifests.yaml"
    file.write_text(manifests)
    done = installed("kubernetes-validate", "--strict", "--no-warn", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    return (done.stdout + done.stderr).count(" passed for resource ") >= 3
