"""What the jitter buffer adds and loses on bad lines, and what its slips sound like: simulated, the same everywhere.

Delays are those from a packet's sending, the line's jitter and the wait for the tick included. A voice that never
pauses is listened to for ten simulated minutes: its longest gap, and its roughest place beside the roughest of the
voice itself (1: nothing steps; a frame that is cut out has 5 to 12).
"""

import numpy as np

from benchmarks.lines import Line, Lines, encoded, longest_gap_ms, roughness, voiced
from sipconf.mixer.codecs.g711 import mu_law_values

JITTERS_MS = (0, 20, 40, 100)
SKEWS = (-0.008, 0.0, 0.008)
LEGS, SECONDS, SETTLED_SECONDS = 100, 30, 5
LISTENED_SECONDS = 600


def delay(line: Line, legs: int, seconds: int) -> dict[str, float]:
    """p50 and p95 of the delay in ms, and the part of the sound that came too late or was given up, in percent."""
    voice = encoded(voiced(4, 1))
    sounds = np.stack([np.roll(voice, -1600 * k) for k in range(legs)])
    lines = Lines([line] * legs, sounds, seconds=seconds + 1, seed=1, room=legs)
    delays, missing = [], []
    for tick in range(seconds * 50):
        lines.tick()
        if tick >= SETTLED_SECONDS * 50:
            delays.append(1e3 * lines.delays())
            missing.append(1 - lines.bank.jitter._filled[:legs].mean())
    p50, p95 = np.percentile(delays, [50, 95])
    return {"p50_ms": round(float(p50), 1), "p95_ms": round(float(p95), 1),
            "lost_percent": round(100 * float(np.mean(missing)), 3)}  # fmt: skip


def sound(line: Line, seconds: int) -> dict[str, float]:
    """The longest gap in ms and the roughest place of what is heard of one voice."""
    voice = encoded(voiced(20, 2, 700.0))
    sounds = np.stack([voice, np.full_like(voice, 0xFF)])
    lines = Lines([line, Line()], sounds, seconds=seconds, seed=4, room=2, recorded=[1])
    for _ in range(round(seconds * 50) - 2):
        lines.tick()
    heard = lines.heard(1)[4000:]
    rough = roughness(heard).max() / roughness(mu_law_values()[voice]).max()
    return {"gap_ms": longest_gap_ms(heard), "roughest": round(float(rough), 2)}


def run(quick: bool = False) -> list[dict]:
    """Rows of name and figures."""
    legs, seconds, listened = (20, 12, 30) if quick else (LEGS, SECONDS, LISTENED_SECONDS)
    rows: list[dict] = []
    for jitter in JITTERS_MS:
        rows.append({"name": f"jitter {jitter} ms", **delay(Line(jitter=jitter / 1000), legs, seconds)})
    for skew in SKEWS:
        rows.append({"name": f"skew {100 * skew:+.1f} %", **sound(Line(skew=skew), listened)})
        line = Line(loss=0.05, jitter=0.04, skew=skew)
        rows.append({"name": f"5 % loss, 40 ms, skew {100 * skew:+.1f} %", **sound(line, listened)})
    return rows


if __name__ == "__main__":
    for row in run():
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
