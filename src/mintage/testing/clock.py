"""A clock that stands still until a test moves it."""


class ManualClock:
    """A clock that stands still. Call it for the time, in seconds since the epoch.

    Args:
        now: The seconds since the epoch that it shows. You can also set the attribute.
    """

    def __init__(self, now: float = 1_800_000_000) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Args:
            seconds: How many seconds.
        """
        self.now += seconds
