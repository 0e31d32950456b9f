"""The kustomize base, made from the Helm chart, so that the two say the same.

::

    python -m tools.kustomize [DIRECTORY]

It writes deploy/kustomize/base/, or *DIRECTORY*. A test compares the files with what this makes. It
needs helm: the package helm-binary has it.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
CHART: Final = ROOT / "deploy/helm/mintage"
BASE: Final = ROOT / "deploy/kustomize/base"
_HEAD: Final = "# Made from the Helm chart by `python -m tools.kustomize`.\n"
_OF_HELM: Final = re.compile(
    r"^ *(?:app\.kubernetes\.io/managed-by|helm\.sh/chart|checksum/settings|# A change of).*\n",
    re.MULTILINE,
)
_KUSTOMIZATION: Final = """\
# Copy mintage.toml beside your own kustomization, change it there, and replace the generated one:
#
#   resources: [../base]
#   configMapGenerator:
#     - {{name: mintage, behavior: replace, files: [mintage.toml]}}
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
{resources}
configMapGenerator:
  - name: mintage
    files: [mintage.toml]
"""


def rendered(*options: str, name: str = "mintage") -> str:
    """The chart's manifests with *options* of ``helm template``."""
    done = subprocess.run(  # noqa: S603  (the arguments are this project's)
        [Path(sys.executable).with_name("helm"), "template", name, CHART, *options],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout


def base() -> dict[str, str]:
    """The files of the base, by their names."""
    files = {}
    for part in re.split(r"^---\n", _OF_HELM.sub("", rendered()), flags=re.MULTILINE)[1:]:
        _, _, manifest = part.partition("\n")  # the name of the template
        manifest = re.sub(r"^ +annotations:\n(?! {8})", "", manifest, flags=re.MULTILINE)
        kind = re.search(r"^kind: (\w+)$", manifest, re.MULTILINE)
        if kind is None:
            raise RuntimeError(f"a manifest has no kind: {manifest[:80]!r}")
        if kind[1] == "ConfigMap":
            settings = manifest.partition("mintage.toml: |\n")[2]
            files["mintage.toml"] = (
                re.sub(r"^ {4}", "", settings, flags=re.MULTILINE).strip() + "\n"
            )
        else:
            files[f"{kind[1].lower()}.yaml"] = _HEAD + manifest.strip() + "\n"
    resources = "\n".join(f"  - {name}" for name in sorted(files) if name.endswith(".yaml"))
    files["kustomization.yaml"] = _KUSTOMIZATION.format(resources=resources)
    return files


def main(directory: Path) -> None:
    """Write the files into *directory*."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in base().items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else BASE)
