"""The ``mintage`` command, and ``python -m mintage``."""

import gc
import sys

from mintage.extras import MissingExtra, needs


def main() -> None:
    """Run the command in ``sys.argv``. Without its packages that is one line, exit code 2."""
    try:
        needs("demo" if sys.argv[1:2] in (["demo"], ["dev"]) else "server")
    except MissingExtra as error:
        print(f"mintage: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    gc.disable()  # there is no garbage to find while modules are imported
    from mintage.cli import main as run

    run()


if __name__ == "__main__":
    main()
