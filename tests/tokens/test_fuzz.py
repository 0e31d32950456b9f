"""The fuzzer's corpus, and a short run of small changes to it. The long runs are fuzz/'s."""

import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import pytest

FUZZ = Path(__file__).parents[2] / "fuzz"
TARGETS = ("verify", "jwks", "inspect")


def harness() -> Any:
    spec = importlib.util.spec_from_file_location("fuzz_harness", FUZZ / "harness.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


HARNESS = harness()


def corpus(target: str) -> list[bytes]:
    files = sorted((FUZZ / "corpus" / target).iterdir())
    assert files
    return [file.read_bytes() for file in files]


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_finds_nothing(target: str) -> None:
    for data in corpus(target):
        HARNESS.TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
def test_small_changes_to_the_corpus_find_nothing(target: str) -> None:
    random_bytes = random.Random(0)  # noqa: S311 - the same changes every time
    seeds = corpus(target)
    for _ in range(3000):
        data = bytearray(random_bytes.choice(seeds))
        for _ in range(random_bytes.randint(1, 3)):
            at = random_bytes.randrange(len(data) + 1)
            cut = random_bytes.choice((0, 1, 1, 4))
            data[at : at + cut] = random_bytes.choice(
                (b"", random_bytes.randbytes(1), b'"', b"\\", b"[" * 50, b"9")
            )
        HARNESS.TARGETS[target](bytes(data))


def test_the_corpus_reaches_both_good_and_bad_tokens() -> None:
    accepted = 0
    for data in corpus("verify"):
        try:
            HARNESS._issuer.verify_token(HARNESS.token_of(data))
        except HARNESS.JoseError:
            continue
        accepted += 1
    assert 0 < accepted < len(corpus("verify"))
