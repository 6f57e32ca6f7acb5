"""A worker that stood still, over real sockets: what waited meanwhile is behind it at once, and nobody waits for longer
from then on."""

import pytest

from sipconf.media.plane import TICK_SECONDS
from sipconf.rtp.edge import ports
from tests.media.loopback import Rig
from tests.sim import voice

PITCHES = (450, 650, 850)


@pytest.mark.parametrize("ticks", [1, 2, 7, 15])
def test_after_a_stall_everybody_is_heard_as_before(ticks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_FIRST_ROWS", 4)  # of the longest stalls no block holds everything
    rig = Rig()
    for pitch in PITCHES:
        rig.connect(rig.phone(pitch))
    rig.run(3.0)
    (bank,) = rig.plane._banks
    playout = bank.jitter.playout
    before = playout.grown.sum()

    for _ in range(ticks):
        for phone in rig.phones:
            phone.speak()
    rig.now += ticks * TICK_SECONDS
    rig.plane.skip(ticks)
    rig.run(TICK_SECONDS)
    late = playout.late.sum()
    for phone in rig.phones:
        phone.heard.clear()
    rig.run(1.0)

    assert late >= (ticks - 1) * len(PITCHES), "what was due in the time of the stall is not played"
    assert playout.late.sum() == late and playout.grown.sum() == before
    for phone in rig.phones:
        for other in rig.phones:
            if other is not phone:
                levels = voice.frame_loudness(phone.sound(), other.pitch, 8000)
                assert int((levels < voice.GAP).sum()) == 0, f"{phone.number} misses frames of {other.number}"
    rig.close()
