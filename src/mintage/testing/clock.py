"""A clock that shows the same time until a test moves it."""


class ManualClock:
    """Call it for the time (seconds since the epoch); add seconds to `now` to let it pass."""

    def __init__(self, now: float = 1_800_000_000) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
