"""What the theme leaves out for people who use a keyboard or a screen reader (WCAG 2.2 AA)."""

from pathlib import Path
from typing import Final

_REPLACED: Final = {
    'class="caption" role="heading"': 'class="caption" role="heading" aria-level="2"',
    # What can be scrolled must be reachable by keyboard (axe: scrollable-region-focusable).
    '<div class="table-wrapper': '<div tabindex="0" role="group" class="table-wrapper',
    '<div class="highlight"><pre>': '<div class="highlight"><pre tabindex="0">',
}


def mend(pages: Path) -> None:
    """Mend all HTML files below *pages*. A theme that has changed is not mended in silence."""
    found = dict.fromkeys(_REPLACED, 0)
    for page in pages.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for old, new in _REPLACED.items():
            found[old] += text.count(old)
            text = text.replace(old, new)
        page.write_text(text, encoding="utf-8")
    if missing := [old for old, count in found.items() if not count]:
        raise SystemExit(f"the theme writes its pages in another way now: no {missing}")
