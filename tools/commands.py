"""The reference of the command line, made from the commands themselves.

::

    python -m tools.commands [PAGE]

It writes docs/commands.md, or *PAGE*. A test compares the page with what this makes.
"""

import re
import sys
from pathlib import Path
from typing import Final

from mintage.cli.main import app

PAGE: Final = Path(__file__).parents[1] / "docs/commands.md"
_HEAD: Final = """\
# Commands

Every command of `mintage`, with its arguments and options, as `--help` says it.
[The reference](reference.md#the-command-line) has an example of each, and what the exit codes
mean. `python -m tools.commands` makes this page.

"""
_CONTENTS: Final = re.compile(
    r"^## Table of Contents\n.*?(?=^\*\*Commands)", re.MULTILINE | re.DOTALL
)


def page() -> str:
    """The page, from the commands as they are now."""
    made: str = app.generate_docs(output_format="markdown")
    _, _, body = made.partition("The token factory for OAuth proxies.\n\n")
    if not body:
        raise RuntimeError("the commands begin with another sentence now")
    body = _CONTENTS.sub("", body).replace("```console\n", "```text\n")
    return _HEAD + re.sub(r"\n{3,}", "\n\n", body).strip() + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.write_text(page(), encoding="utf-8")
