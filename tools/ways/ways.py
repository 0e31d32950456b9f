"""The ways: what each types, page by page, and the login at its end."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.ways.place import Place
from tools.ways.text import ROOT, block, line, row

README: Final = "README.md"
TUTORIAL: Final = "docs/tutorial.md"
DEVELOP: Final = "docs/how-to/develop-with-a-login.md"
FASTMCP: Final = "docs/how-to/fastmcp.md"
EXAMPLES: Final = "examples/README.md"
DEMO_ENDS: Final = "Every step went as it should."
MCP: Final = "http://127.0.0.1:8080/mcp"
PROVIDER: Final = "http://127.0.0.1:9000/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Way:
    """*follow* types the lines, and returns what the login said.

    *needs*: programs that the machine must have. *quick*: whether it takes some seconds where
    nothing is downloaded. *measured*: whether its disk space is what the reader installs.
    """

    name: str
    says: str
    follow: Callable[[Place], str]
    needs: tuple[str, ...] = ()
    quick: bool = False
    measured: bool = True

    def lacks(self) -> list[str]:
        """What this machine does not have of *needs*."""
        path = f"{Path(sys.executable).parent}:/usr/sbin"
        return [
            each
            for each in self.needs
            if shutil.which(each) is None and shutil.which(each, path=path) is None
        ]


def _demo(said: str) -> str:
    """Check what `mintage demo` printed: it ends by itself where no person watches."""
    if DEMO_ENDS not in said:
        raise AssertionError(said[-2000:])
    return "the official client logged in; every step went as it should"


def clone(place: Place) -> str:
    place.type(f"git clone -q {ROOT} mintage\ncd mintage")
    return _demo(place.type("\n".join(row(README, "a clone"))))


def uv(place: Place) -> str:
    for each in ("uv", "uvx"):
        place.have(each)
    return _demo(place.type("\n".join(row(README, "uv"))))


def pipx(place: Place) -> str:
    place.have("pipx")
    return _demo(place.type("\n".join(row(README, "pipx"))))


def pip(place: Place) -> str:
    return _demo(place.type("\n".join(row(README, "pip"))))


def library(place: Place) -> str:
    """It has no login: it ends with a token that is issued and verified."""
    place.type(block("docs/how-to/issue-tokens.md", "pip install mintage"))
    place.write("tokens.py", block(README, "issuer.verify_token"))
    place.type("python tokens.py")
    return "no login: a token was issued and verified"


def _notes(place: Place) -> None:
    """The tutorial's first steps: an environment, and a server to protect."""
    place.type(block(TUTORIAL, "python3 -m venv"))
    place.write("notes.py", block(TUTORIAL, "def whoami"))
    place.start(block(TUTORIAL, "python notes.py"), until="http://127.0.0.1:8000/mcp")


def tutorial(place: Place) -> str:
    _notes(place)
    place.start(block(TUTORIAL, "nanoidp init"), until=PROVIDER)
    place.type(line(TUTORIAL, "mintage init"), inside=True)
    place.type(block(TUTORIAL, "export UPSTREAM_SECRET"))
    place.type(line(TUTORIAL, "mintage check"), inside=True)
    serve = block(TUTORIAL, "mintage serve").splitlines()[-1]
    place.start(serve, until="http://127.0.0.1:8080/healthz")
    place.export(BROWSER=place.browser("tools.ways.login --page"), DISPLAY=":0")
    get, grants = block(TUTORIAL, "mintage token get").splitlines()
    place.type(get, inside=True)
    if "admin" not in (said := place.type(grants, inside=True)):
        raise AssertionError(said)
    return place.log_in(MCP, "--tool", "whoami")


def dev(place: Place) -> str:
    _notes(place)
    place.start(block(DEVELOP, "mintage dev --backend"), until="http://127.0.0.1:8080/healthz")
    return place.log_in(MCP, "--tool", "whoami")


def fastmcp(place: Place) -> str:
    place.type(block(FASTMCP, "python3 -m venv"))
    place.start(block(FASTMCP, "nanoidp init"), until=PROVIDER)
    place.write("server.py", block(FASTMCP, 'mcp.run(transport="http"'))
    place.start(block(FASTMCP, "python server.py"), until="http://127.0.0.1:8080/healthz")
    return place.log_in(MCP, "--tool", "whoami")


def github(place: Place) -> str:
    """The tutorial's last step, with something like GitHub Enterprise on this machine."""
    place.needs_its_own_network()
    _notes(place)
    program = f"cd {ROOT} && exec {sys.executable} -m tools.ways.fake_github {place.directory}"
    place.start(f"({program})", until="http://127.0.0.1:9001/ready")
    place.export(
        MINTAGE_UPSTREAM__DOMAIN="127.0.0.1",
        MINTAGE_UPSTREAM__API="127.0.0.1/api/v3",
        SSL_CERT_FILE=f"{place.directory}/ca.pem",
    )
    place.type(line(TUTORIAL, "mintage init --config github.toml"), inside=True)
    with (place.directory / "github.toml").open("a", encoding="utf-8") as file:
        file.write(block(TUTORIAL, '[[resource]]\npath       = "/files"'))
    place.start(block(TUTORIAL, "python -m http.server"), until="http://127.0.0.1:8001/")
    place.start(
        block(TUTORIAL, "mintage serve --config github.toml"), until="http://127.0.0.1:8080/healthz"
    )
    place.export(BROWSER=place.browser("tools.ways.login --page"), DISPLAY=":0")
    said = place.type(block(TUTORIAL, "TOKEN=$("), inside=True)
    assert 'MCPServer("notes")' in said, said
    return place.log_in(MCP, "--tool", "whoami")


def examples(place: Place) -> str:
    """Each example by its command, in this clone's environment."""
    del place
    names = [path.parent.name for path in sorted((ROOT / "examples").glob("*/example.toml"))]
    for name in names:
        line_of_it = f"`.venv/bin/python -m examples {name}`"
        if line_of_it not in (ROOT / EXAMPLES).read_text(encoding="utf-8"):
            raise AssertionError(line_of_it)
    return _tested("tests/end_to_end/test_examples.py")


def compose(place: Place) -> str:
    del place
    return _tested("tests/end_to_end/test_compose_topology.py") + "; not run: docker compose"


def manifests(place: Place) -> str:
    del place
    return _tested("tests/packaging/test_deployment.py", "-k", "chart or kustom") + (
        "; not run: helm install, kubectl apply (no cluster)"
    )


def systemd(place: Place) -> str:
    """As far as it goes without being the first process."""
    for each in ("mintage.service", "mintage.socket"):
        text = (ROOT / "deploy/systemd" / each).read_text(encoding="utf-8")
        place.write(each, text.replace("/opt/mintage/bin/mintage", sys.executable))
    place.type("systemd-analyze verify --man=no ./mintage.service ./mintage.socket")
    said = place.type("systemd-analyze security --offline=true ./mintage.service")
    rated = re.search(r"exposure level for \S+: ([\d.]+)", said)
    assert rated is not None, said
    return f"verified, rated {rated[1]} of 10; not run: systemctl start (systemd is not running)"


def image(place: Place) -> str:
    said = place.type(f"cd {ROOT}\n{line_in('docs/how-to/run-in-containers.md')}")
    return said.strip().splitlines()[-1]


def line_in(page: str) -> str:
    """The command that builds the image without a registry."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if "`deploy/build-image --debian`" not in text:
        raise AssertionError(page)
    return "deploy/build-image --debian"


def _tested(*arguments: str) -> str:
    """Run tests that follow a way. Returns pytest's last line."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stdout[-3000:])
    return done.stdout.strip().splitlines()[-1]


WAYS: Final[Sequence[Way]] = (
    Way("clone", "README: a clone, `make demo`", clone, needs=("git", "make")),
    Way("uv", "README: uvx", uv, needs=("uv", "uvx")),
    Way("pipx", "README: pipx run", pipx, needs=("pipx",)),
    Way("pip", "README: pip in an environment of its own", pip),
    Way("library", "README and its page: the library alone", library, quick=True),
    Way("tutorial", "the tutorial, with the provider on this machine", tutorial,
        needs=("curl",), quick=True),
    Way("dev", "`mintage dev` in front of the tutorial's server", dev, needs=("curl",),
        quick=True),
    Way("fastmcp", "the FastMCP page, with the provider on this machine", fastmcp,
        needs=("curl",), quick=True),
    Way("github", "the tutorial's second server, with a stand-in for GitHub", github,
        needs=("curl", "openssl"), quick=True),
    Way("image", "the image, with buildah", image, needs=("buildah", "debootstrap"),
        measured=False),
    Way("compose", "the compose files' topology, without containers", compose, needs=("caddy",),
        measured=False),
    Way("examples", "the four examples", examples, needs=("nginx",), measured=False),
    Way("systemd", "the unit and its socket", systemd, needs=("systemd-analyze",), quick=True,
        measured=False),
    Way("manifests", "Helm and kustomize, rendered and validated", manifests, needs=("helm",),
        measured=False),
)  # fmt: skip
