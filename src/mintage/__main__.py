"""The ``mintage`` command, and ``python -m mintage``."""

import gc
import sys

from mintage.extras import MissingExtra, needs


def main() -> None:
    """Run the command in ``sys.argv``. Without its packages that is one line, exit code 2."""
    of_demo, asks_for_help = sys.argv[1:2] in (["demo"], ["dev"]), sys.argv[2:3] == ["--help"]
    try:
        needs("demo" if of_demo and not asks_for_help else "server")
    except MissingExtra as error:
        whole = MissingExtra("demo", error.name) if of_demo else error  # help alone is of no use
        print(f"mintage: {whole}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    gc.disable()  # there is no garbage to find while modules are imported
    from mintage.cli import main as run

    run()


if __name__ == "__main__":
    main()
