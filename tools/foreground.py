"""``python -m tools.foreground COMMAND…``: COMMAND alone hears what is typed at the terminal.

Ctrl-C goes to every process of the terminal's foreground group. `make` ends with an error of its
own when it hears that, however well its command ends. So the command gets a group of its own, as
a shell gives one to each job, and the terminal is handed back afterwards.
"""

import os
import signal
import sys
from types import FrameType

_PASSED_ON = (signal.SIGTERM, signal.SIGHUP)
_LOOK = 0.2  # seconds: no shell tells a job that ran on after ``bg`` of its ``fg``


def main(command: list[str]) -> int:
    """The exit code of *command*."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError:  # there is none
        os.execvp(command[0], command)  # noqa: S606
    if os.tcgetpgrp(terminal) != os.getpgrp():  # somebody else's turn: this one is in a background
        os.execvp(command[0], command)  # noqa: S606
    return _run(command, terminal)


def _run(command: list[str], terminal: int) -> int:
    ours = os.getpgrp()
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # it would stop who hands the terminal over
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(terminal, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execvp(command[0], command)  # noqa: S606

    def pass_on(number: int, _: FrameType | None) -> None:
        os.kill(child, number)

    def wake(_: int, __: FrameType | None) -> None:
        look(0, None)  # before it runs on: a Ctrl-C would end this process, and not the command
        os.killpg(child, signal.SIGCONT)
        signal.setitimer(signal.ITIMER_REAL, _LOOK, _LOOK)

    def look(_: int, __: FrameType | None) -> None:
        _hand_over(terminal, ours, child)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    signal.signal(signal.SIGCONT, wake)
    signal.signal(signal.SIGALRM, look)
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _hand_over(terminal, child, ours)
        if not os.WIFSTOPPED(status):
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        os.killpg(ours, signal.SIGSTOP)  # Ctrl-Z: make sleeps too, until the shell wakes it


def _hand_over(terminal: int, giver: int, taker: int) -> None:
    """Give it to the group *taker* if it is *giver*'s. After ``bg`` it is the shell's."""
    if os.tcgetpgrp(terminal) == giver:
        os.tcsetpgrp(terminal, taker)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
