"""Who is heard by whom: waits until a voice has been heard without a gap, or listens a while for one that must not be.

On a busy machine nobody knows when sound arrives; so what must come is waited for, and only what must not is timed."""

import time

import numpy as np
import pytest

from tests.browsers.chromium import RATE, WebPhone
from tests.clients.sipp import Sipp
from tests.clients.telephones import Telephone, wait_for
from tests.clients.tones import Hearing, judge, judge_best

STRETCH = 1.5
"""Seconds in which a voice must be heard without a gap."""
HEARD_DB, UNHEARD_DB = -40.0, -50.0
LONGEST_GAP_MS = 75.0
UNDER_WAY = 1.0
"""Seconds after which what was said before is not still on its way."""
SPEECH_DB = -40.0
SPEECH_SECONDS = 0.5


def is_there(samples: np.ndarray, rate: int, frequency: float) -> Hearing | None:
    """How a voice is heard where it is heard well: loud, and so long without a gap; None: it is not."""
    hearing = judge_best(samples, rate, frequency, STRETCH)
    return hearing if hearing.level_db > HEARD_DB and hearing.longest_gap_ms <= LONGEST_GAP_MS else None


def hears(page: WebPhone, frequency: float, since: int = 0) -> Hearing:
    """Wait until a page has heard a voice since a position of its recording."""
    return wait_for(f"{frequency:.0f} Hz in the page",
                    lambda: is_there(page.heard(since), RATE, frequency))  # type: ignore[return-value]


def is_heard(phone: Telephone, frequency: float, since: float = 0.0) -> None:
    """Wait until a telephone has heard a voice, since a second of its recording. One that tells only when it has
    stopped is judged then."""
    def there() -> Hearing | None:
        samples, rate = phone.heard()
        return is_there(samples[int(since * rate):], rate, frequency)

    def best() -> str:
        samples, rate = phone.heard()
        hearing = judge_best(samples[int(since * rate):], rate, frequency, STRETCH)
        return f"{who}: {hearing}, in {len(samples) / rate - since:.1f} s since {since:.1f}"

    who = f"{frequency:.0f} Hz at {type(phone).__name__} {phone.extension}"
    if isinstance(phone, Sipp):
        try:
            wait_for(who, there)
        except pytest.fail.Exception:
            pytest.fail(best())
    else:
        assert there(), best()


def hears_not(listener: WebPhone | Sipp, frequency: float, seconds: float = STRETCH) -> None:
    """Let what was said before run out, then listen for so long: the voice is not there."""
    time.sleep(UNDER_WAY)
    if isinstance(listener, WebPhone):
        samples, rate = listener.wait_heard(seconds, listener.position()), RATE
    else:
        since = listener.recorded()
        wait_for("the telephone to hear on", lambda: listener.recorded() > since + seconds)
        samples, rate = listener.heard()
        samples = samples[int(since * rate):]
    hearing = judge(samples, rate, frequency)
    assert hearing.level_db < UNHEARD_DB, f"{frequency:.0f} Hz is heard: {hearing}"


def hears_speech(page: WebPhone, since: int = 0) -> None:
    """Wait until a page has heard half a second of sound as loud as speech since a position."""
    def there() -> bool:
        samples = page.heard(since)
        frames = samples[: len(samples) // 480 * 480].reshape(-1, 480)
        loud = np.sqrt(np.mean(frames**2, axis=1)) > 10 ** (SPEECH_DB / 20)
        return bool(loud.sum() * 0.01 > SPEECH_SECONDS)

    wait_for("speech in the page", there)
