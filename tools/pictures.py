"""The pictures of docs/pages.md, made small from those that the browsers' tests take.

::

    python -m tools.pictures [DIRECTORY]

`make pictures` runs the tests, which write PNG files to build/pictures. This cuts off the empty
edges of each, writes it as WebP to docs/pictures, and removes pictures that no page shows.
"""

import base64
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright

ROOT: Final = Path(__file__).parents[1]
TAKEN: Final = ROOT / "build/pictures"
KEPT: Final = ROOT / "docs/pictures"
LARGEST: Final = 60 * 1024
_SHOWN: Final = re.compile(r"\(((?:\.\./|docs/)*pictures/([\w-]+)\.webp)\)")
_QUALITIES: Final = (0.9, 0.8, 0.7, 0.6, 0.5)
_SHRUNK: Final = """async ([source, quality, margin]) => {
  const image = new Image();
  image.src = source;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  canvas.height = image.height;
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  const {width, height} = image;
  const pixels = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
  const empty = pixels[0];
  let left = width, right = 0, top = height, bottom = 0;
  pixels.forEach((pixel, at) => {
    if (pixel === empty) return;
    const [x, y] = [at % width, Math.floor(at / width)];
    left = Math.min(left, x); right = Math.max(right, x);
    top = Math.min(top, y); bottom = Math.max(bottom, y);
  });
  left = Math.max(0, left - margin); top = Math.max(0, top - margin);
  const cut = document.createElement("canvas");
  cut.width = Math.min(width, right + margin) - left;
  cut.height = Math.min(height, bottom + margin) - top;
  cut.getContext("2d").drawImage(image, -left, -top);
  return cut.toDataURL("image/webp", quality);
}"""


def shown() -> dict[str, list[Path]]:
    """The pictures that pages show, by name, with the pages."""
    found: dict[str, list[Path]] = {}
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for _, name in _SHOWN.findall(page.read_text(encoding="utf-8")):
            found.setdefault(name, []).append(page)
    return found


def _small(tab: Page, picture: Path) -> bytes:
    """*picture* as WebP of at most `LARGEST` bytes, as good as it may be."""
    source = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    for quality in _QUALITIES:
        made: str = tab.evaluate(_SHRUNK, [source, quality, 24])
        content = base64.b64decode(made.partition(",")[2])
        if len(content) <= LARGEST:
            return content
    raise ValueError(f"{picture.name} does not fit into {LARGEST // 1024} KiB: show less on it")


def _all(tab: Page, taken: Path) -> Iterator[str]:
    """Write each picture that a page shows. Yields the names of those that no test took."""
    for name in shown():
        source = taken / f"{name}.png"
        if source.exists():
            (KEPT / f"{name}.webp").write_bytes(_small(tab, source))
        else:
            yield name


def main(taken: Path = TAKEN) -> int:
    """Write the pictures; the exit code is 1 if one was not taken."""
    KEPT.mkdir(exist_ok=True)
    for old in KEPT.glob("*.webp"):
        if old.stem not in shown():
            old.unlink()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        missing = list(_all(browser.new_page(), taken))
        browser.close()
    for name in missing:
        print(f"no test took {name}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else TAKEN))
