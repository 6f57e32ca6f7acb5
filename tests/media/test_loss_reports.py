"""What a leg's receiver reports as lost decides how its sound is encoded from then on (RFC 3550 section 6.4.1)."""

from collections.abc import Callable

import pytest

from sipconf.rtp.rtcp_packets import ReportBlock
from tests.media.conftest import House, Telephone
from tests.media.wideband import g722, opus
from tests.sim.rtcp_reports import build_report


def report_loss(home: House, phone: Telephone, fraction: float) -> None:
    """A receiver report of a telephone, which has lost so much of what we sent it."""
    leg = home.plane._legs.get(phone.number)
    assert leg is not None
    block = ReportBlock(leg.ssrc, int(fraction * 256), 0, 0, 0, 0, 0)
    data = build_report(phone.ssrc, None, (block,))
    home.network.throw((phone.address[0], phone.address[1] + 1), phone.port + 1, data, home.now)


def loss_class(home: House, number: int) -> int:
    leg = home.plane._legs.get(number)
    assert leg is not None and leg.bank is not None and leg.bank.encoders is not None
    return int(leg.bank.encoders.loss_class[leg.row])


@pytest.mark.parametrize(("fraction", "wanted"), [(0.0, 0), (0.06, 1), (0.3, 2)])
def test_an_opus_leg_is_guarded_against_what_it_loses(
    house: Callable[..., House], fraction: float, wanted: int
) -> None:
    home = house()
    home.phone(1, room=1)
    for number in (2, 3):
        home.phone(number, room=1, **opus())
    home.run(0.5)
    for _ in range(20):
        report_loss(home, home.phones[2], fraction)
        home.run(0.1)
    assert (loss_class(home, 2), loss_class(home, 3)) == (wanted, 0)
    for _ in range(40):
        report_loss(home, home.phones[2], 0.0)
        home.run(0.1)
    assert loss_class(home, 2) == 0


@pytest.mark.parametrize("traits", [{}, g722()], ids=["PCMU", "G722"])
def test_a_codec_without_such_a_guard_goes_on_as_before(
    house: Callable[..., House], traits: dict[str, object]
) -> None:
    home = house()
    home.phone(1, room=1)
    phone = home.phone(2, room=1, **traits)
    home.run(0.5)
    for _ in range(10):
        report_loss(home, phone, 0.3)
        home.run(0.1)
    leg = home.plane._legs.get(2)
    assert leg is not None and home.plane._reports.loss_fraction[leg.slot] > 0.1
    assert leg.bank is not None and (leg.bank.encoders is None or loss_class(home, 2) == 0)
    phone.packets().clear()
    home.run(1.0)
    assert len(phone.packets()) == 50
