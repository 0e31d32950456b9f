"""The root of the errors, and a setting that is wrong."""


class MintageError(Exception):
    """The root of all errors of this package, except those about tokens."""


class ConfigError(MintageError):
    """A setting is missing or wrong.

    Args:
        key: The dotted name of the setting, as the file spells it.
        advice: A sentence: what is wrong, and what to write.
    """

    def __init__(self, key: str, advice: str) -> None:
        super().__init__(f"{key}: {advice}")
        self.key = key
        self.advice = advice
