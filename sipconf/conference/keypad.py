"""The keys a person has pressed and not yet submitted. Knows nothing of what a code opens; never shows its
digits."""

from enum import Enum, auto

MAX_DIGITS = 32
"""Digits kept of one entry. What is longer is no code of ours, however it begins."""


class Key(Enum):
    """What a key of the telephone is for."""

    DIGIT = auto()
    POUND = auto()
    STAR = auto()


def key_of(digit: str) -> Key:
    """The meaning of a key as DigitPressed names it."""
    return {"#": Key.POUND, "*": Key.STAR}.get(digit, Key.DIGIT)


class Keypad:
    """Collects digits until they are taken."""

    __slots__ = ("_digits", "_overflown")

    def __init__(self) -> None:
        self._digits = ""
        self._overflown = False

    def __repr__(self) -> str:
        return f"Keypad({len(self._digits)} digits)"

    def __len__(self) -> int:
        return len(self._digits)

    def press(self, digit: str) -> None:
        """Add a digit; beyond MAX_DIGITS only the fact is kept."""
        if len(self._digits) < MAX_DIGITS:
            self._digits += digit
        else:
            self._overflown = True

    def clear(self) -> None:
        """Forget the entry."""
        self._digits = ""
        self._overflown = False

    def take(self) -> str:
        """The entry, which is then gone. An overflown one comes longer than any code can be."""
        entry = self._digits + ("?" if self._overflown else "")
        self.clear()
        return entry
