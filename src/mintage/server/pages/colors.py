"""Colours that people can read: contrast as WCAG 2.2 defines it. Pure."""

from typing import Final

READABLE: Final = 4.5  # WCAG 2.2 §1.4.3 (AA), for text of any size
_STEPS: Final = 100


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours like ``#0b57d0``: from 1 to 21 (WCAG 2.2)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def text_on(background: str) -> str:
    """Black or white, whichever is easier to read on *background*. One of them is readable."""
    return max("#000000", "#ffffff", key=lambda color: contrast(color, background))


def readable_on(color: str, background: str) -> str:
    """*color*, as much darker or lighter as text of it on *background* needs to be readable."""
    end = text_on(background)
    shades = (_mixed(color, end, step / _STEPS) for step in range(_STEPS + 1))
    return next(shade for shade in shades if contrast(shade, background) >= READABLE)


def _luminance(color: str) -> float:
    red, green, blue = (_linear(part / 255) for part in _parts(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4  # noqa: PLR2004


def _mixed(one: str, other: str, share: float) -> str:
    pairs = zip(_parts(one), _parts(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _parts(color: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(color.removeprefix("#"))
    return red, green, blue
