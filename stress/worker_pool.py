"""Real processes that do what they are told, all at the same moment."""

import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from multiprocessing.connection import Connection
from typing import Any, Self

from uvicorn.loops.auto import auto_loop_factory

Worker = Callable[..., AbstractAsyncContextManager[object]]

# Processes of their own, forked from one that has nothing open and the imports behind it.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "__main__",
        "stress.replica",
        "mintage.stores.sqlite",
        "mintage.stores.postgres",
        "mintage.stores.redis",
        "mintage.upstream.opening",
        "mintage.upstream.transport",
    ]
)

_START = 0.01  # seconds until all of them have heard what to do


class WorkerPool:
    """*size* processes; in each of them *worker* (called with its number and *args*) is open.

    What is told is a method of the open worker. What it raises is raised here.
    """

    def __init__(self, worker: Worker, *args: object, size: int) -> None:
        self._lines: list[Connection] = []
        self._children = []
        for number in range(size):
            ours, theirs = CONTEXT.Pipe()
            child = CONTEXT.Process(target=_child, args=(theirs, worker, (number, *args)))
            child.start()
            theirs.close()
            self._lines.append(ours)
            self._children.append(child)
        try:
            for number in range(size):
                self.result(number)  # it is open
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for line, child in zip(self._lines, self._children, strict=True):
            with contextlib.suppress(OSError):  # it may be dead
                line.send(None)
            child.join(10)
            if child.is_alive():
                child.kill()
                child.join()
            line.close()

    def all(self, method: str, *args: object) -> list[Any]:
        """What *method* gives in each of them, begun by all at one time."""
        return self.each(method, [args] * len(self._lines))

    def each(self, method: str, args: Sequence[tuple[object, ...]]) -> list[Any]:
        """The same, with arguments of its own for each."""
        start_at = time.monotonic() + _START
        for number, own in enumerate(args):
            self._lines[number].send((start_at, method, own))
        return [self.result(number) for number in range(len(args))]

    def tell(self, number: int, method: str, *args: object) -> None:
        """Begin *method* in one of them; `result` waits for it."""
        self._lines[number].send((0.0, method, args))

    def ask(self, number: int, method: str, *args: object) -> Any:
        self.tell(number, method, *args)
        return self.result(number)

    def result(self, number: int) -> Any:
        """What it was last told to do came to. Raises ``EOFError`` if it is dead."""
        failed, outcome = self._lines[number].recv()
        if failed:
            raise outcome
        return outcome

    def kill(self, number: int) -> None:
        """Gone at once, with nothing tidied up (SIGKILL)."""
        self._children[number].kill()
        self._children[number].join()


def _child(line: Connection, worker: Worker, args: tuple[object, ...]) -> None:
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:  # that of `mintage serve`
        runner.run(_serve(line, worker, args))


async def _serve(line: Connection, worker: Worker, args: tuple[object, ...]) -> None:
    async with worker(*args) as opened:
        line.send((False, None))
        while (order := await asyncio.to_thread(line.recv)) is not None:
            start_at, method, own = order
            await asyncio.sleep(max(0.0, start_at - time.monotonic()))
            try:
                outcome = (False, await getattr(opened, method)(*own))
            except Exception as error:  # noqa: BLE001  (it is raised where the order came from)
                outcome = (True, error)
            line.send(outcome)
