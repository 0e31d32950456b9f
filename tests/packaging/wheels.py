"""Wheels made by hand, and a folder of them for pip to look into."""

import base64
import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path


def wheel(folder: Path, name: str, version: str, requires: Sequence[str] = ()) -> str:
    """A wheel in *folder* whose module says its version; the SHA-256 of the file."""
    info = f"{name}-{version}.dist-info"
    metadata = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        "Provides-Extra: more",
        *(f"Requires-Dist: {line}" for line in requires),
    ]
    files = {
        f"{name}.py": f'version = "{version}"\n',
        f"{info}/METADATA": "\n".join(metadata) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    file = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", _record(files, info))
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _record(files: dict[str, str], info: str) -> str:
    lines = [f"{path},sha256={_digest(text)},{len(text.encode())}" for path, text in files.items()]
    return "\n".join([*lines, f"{info}/RECORD,,"]) + "\n"


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
