"""Each page as Markdown beside the HTML, and llms.txt, a list of all pages with what they are."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def write_for_agents(docs: Path, site: Path, contents: Mapping[str, Any]) -> None:
    """Write llms.txt (llmstxt.org) and the pages of *docs* in the order of *contents*."""
    head = (docs / "index.md").read_text(encoding="utf-8")
    lines = [f"# {_title(head)}", "", f"> {_first_sentence(head)}", ""]
    for page in docs.rglob("*.md"):
        target = site / page.relative_to(docs)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page, target)
    for section in contents["section"]:
        lines += [f"## {section['title']}", ""]
        for name in section["pages"]:
            text = (docs / f"{name}.md").read_text(encoding="utf-8")
            lines.append(f"- [{_title(text)}]({name}.md): {_first_sentence(text)}")
        lines.append("")
    (site / "llms.txt").write_text("\n".join(lines), encoding="utf-8")


def _title(text: str) -> str:
    found = _TITLE.search(text)
    if found is None:
        raise ValueError(f"a page has no title: {text[:80]!r}")
    return found[1].strip()


def _first_sentence(text: str) -> str:
    """The first sentence of the page that is prose, without its links."""
    for paragraph in _CODE.sub("", text).split("\n\n"):
        prose = _LINK.sub(r"\1", paragraph.strip()).replace("\n", " ")
        if prose and (prose[0].isalpha() or prose[0] in "`*"):
            sentence = re.match(r".+?[.:](?=\s|$)", prose)
            return (sentence[0] if sentence else prose).rstrip(":")
    return ""
