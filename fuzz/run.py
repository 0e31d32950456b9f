"""Coverage-guided fuzzing: ``python -m fuzz.run TARGET CORPUS… [libFuzzer options]``.

Needs ``pip install atheris``, which is not among this project's dependencies.
"""

import sys

import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

with atheris.instrument_imports(include=["mintage"]):
    from fuzz.harness import TARGETS


def main() -> None:
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
