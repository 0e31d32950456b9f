"""The ``mintage`` command, and ``python -m mintage``."""

import sys

from mintage.extras import MissingExtra, needs


def main() -> None:
    """Run the command in ``sys.argv``. Without its packages that is one line, exit code 2."""
    try:
        needs("demo" if sys.argv[1:2] in (["demo"], ["dev"]) else "server")
    except MissingExtra as error:
        print(f"mintage: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    from mintage.cli import main as run

    run()


if __name__ == "__main__":
    main()
