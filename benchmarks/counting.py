"""Counts what Python executes: the same numbers on each run, however busy the machine is.

A bytecode instruction is one step of the interpreter. C code counts as the instruction that calls
it, so a copy of a large body looks as cheap as one of a small one: the peak of the memory tells.
"""

import gc
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

Function = tuple[str, str]
"""(file, name) of a Python function."""

_OURS: Final = str(Path(__file__).parent)
_MEASURED: Final = str(Path(__file__).with_name("proxies.py"))  # the plain proxies
_TOOL: Final = 4  # a tool's number that the standard library gives to nobody (PEP 669)


@contextmanager
def counting_instructions(counts: Counter[Function]) -> Iterator[None]:
    """Count the bytecode instructions of the block in *counts*, by function.

    Functions of the benchmarks themselves do not count, but those of the plain proxies do.
    """
    gc.collect()
    gc.disable()
    try:
        with _monitored(counts) if sys.version_info >= (3, 12) else _traced(counts):
            yield
    finally:
        gc.enable()


class Peak:
    """By how many *bytes* the memory was larger during a block than before, at most."""

    bytes = 0


@contextmanager
def measuring_peak() -> Iterator[Peak]:
    gc.collect()
    gc.disable()
    tracemalloc.start()
    peak = Peak()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        yield peak
        _, most = tracemalloc.get_traced_memory()
        peak.bytes = most - before
    finally:
        tracemalloc.stop()
        gc.enable()


def _counts(code: CodeType) -> bool:
    return not code.co_filename.startswith(_OURS) or code.co_filename == _MEASURED


def _of(code: CodeType) -> Function:
    return code.co_filename, code.co_qualname


@contextmanager
def _traced(counts: Counter[Function]) -> Iterator[None]:
    def on_call(frame: FrameType, _event: str, _arg: object) -> Callable[..., Any] | None:
        if not _counts(frame.f_code):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        function = _of(frame.f_code)

        def on_event(_frame: FrameType, event: str, _arg: object) -> Callable[..., Any]:
            if event == "opcode":
                counts[function] += 1
            return on_event

        return on_event

    sys.settrace(on_call)
    try:
        yield
    finally:
        sys.settrace(None)


@contextmanager
def _monitored(counts: Counter[Function]) -> Iterator[None]:
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]

    def on_instruction(code: CodeType, _offset: int) -> object:
        if not _counts(code):
            return monitoring.DISABLE
        counts[_of(code)] += 1
        return None

    monitoring.use_tool_id(_TOOL, "counting")
    monitoring.register_callback(_TOOL, monitoring.events.INSTRUCTION, on_instruction)
    monitoring.set_events(_TOOL, monitoring.events.INSTRUCTION)
    try:
        yield
    finally:
        monitoring.set_events(_TOOL, 0)
        monitoring.register_callback(_TOOL, monitoring.events.INSTRUCTION, None)
        monitoring.free_tool_id(_TOOL)
