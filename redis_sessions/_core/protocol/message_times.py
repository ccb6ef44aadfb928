"""The time of a stored message: five digits of base 93 of the seconds since the epoch, and two of the rest in ms.

A digit is the character with the code 33 + digit. Scripts write times.
"""

from __future__ import annotations

TIME_DIGITS = 7
_ZERO: int = sum(33 * 93**place for place in range(5))


def read_time(element: bytes) -> int:
    """Return the time with which a message begins, in ms since the epoch. Raises ValueError when it is damaged."""
    first, second, third, fourth, fifth, high, low = element[:TIME_DIGITS]
    seconds = (((first * 93 + second) * 93 + third) * 93 + fourth) * 93 + fifth - _ZERO
    return seconds * 1000 + (high - 33) * 93 + low - 33


def write_time(ms: int) -> bytes:
    """Return the digits of a time in ms since the epoch."""
    seconds, rest = divmod(ms, 1000)
    return bytes([seconds // 93**place % 93 + 33 for place in (4, 3, 2, 1, 0)] + [rest // 93 + 33, rest % 93 + 33])
