"""One press of a key counts once, whatever brought it: telephones may send a digit both in RTP, as an event or as tones
in the voice (a leg has one of the two), and by SIP INFO."""

from typing import Literal

Source = Literal["rtp", "info"]

# The two messengers of one press arrive within the press itself plus a retransmission; a person needs longer
# than this to press the same key twice on a telephone that uses both.
SAME_PRESS = 0.7


class KeyPresses:
    """Decides for one leg whether a reported digit is a new press or the same one come the other way."""

    def __init__(self) -> None:
        self._unpaired: dict[tuple[Source, str], list[float]] = {}

    def is_new(self, digit: str, source: Source, now: float) -> bool:
        """True for a press not yet reported by the other source within SAME_PRESS seconds.

        Each report pairs with at most one of the other source, so 1-1 pressed twice and sent twice each counts two.
        """
        other: Source = "info" if source == "rtp" else "rtp"
        waiting = self._unpaired.get((other, digit), [])
        while waiting and now - waiting[0] > SAME_PRESS:
            waiting.pop(0)
        if waiting:
            waiting.pop(0)
            return False
        mine = self._unpaired.setdefault((source, digit), [])
        mine[:] = [at for at in mine if now - at <= SAME_PRESS]
        mine.append(now)
        return True
