"""The ``mintage`` command: one file for each subcommand, loaded when it is called."""

from mintage.cli.main import main

__all__ = ["main"]
