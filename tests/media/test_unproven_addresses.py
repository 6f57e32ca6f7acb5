"""How much a third party gets that somebody named as his telephone: a second's worth, once in the life of a call."""

from collections.abc import Callable
from typing import Any

import pytest

from sipconf.media import protocol
from sipconf.media.unproven import UNPROVEN_PACKETS, usable

Houses = Callable[..., Any]
VICTIM = ("203.0.113.9", 4000)
OTHER_VICTIM = ("203.0.113.10", 4000)
HOST = "198.51.100.7"


def sent_to(sim: Any, *addresses: tuple[str, int]) -> int:
    """Datagrams of all kinds that went to these hosts."""
    hosts = {host for host, _ in addresses}
    return sum(len(box) for (host, _), box in sim.network.outbox.items() if host in hosts)


def towards(sim: Any, victim: tuple[str, int], **changes: Any) -> Any:
    """A telephone whose signalling comes from HOST and names the victim."""
    phone = sim.phone(1, room=1, connect=False)
    sim.connect(phone, remote=victim, remote_rtcp=(victim[0], victim[1] + 1), signalling_host=HOST, **changes)
    return phone


@pytest.mark.parametrize("direction", ["sendrecv", "sendonly", "recvonly", "inactive"])
def test_a_third_party_gets_a_second_and_then_nothing(house: Houses, direction: str) -> None:
    sim = house(silence_timeout=1e9)
    towards(sim, VICTIM, direction=direction)
    sim.run(1.1, silent=(1,))
    first = sent_to(sim, VICTIM)
    assert UNPROVEN_PACKETS - 2 < first if direction.startswith("send") else first == 0
    sim.run(120.0, silent=(1,))
    assert first <= sent_to(sim, VICTIM) <= UNPROVEN_PACKETS
    sim.plane.send(protocol.CloseLeg(1))
    sim.tick()
    assert sent_to(sim, VICTIM) <= UNPROVEN_PACKETS


def test_new_offers_bring_no_more(house: Houses) -> None:
    sim = house(silence_timeout=1e9)
    phone = towards(sim, VICTIM)
    for turn in range(20):
        victim = (VICTIM, OTHER_VICTIM)[turn % 2]
        sim.connect(phone, remote=victim, remote_rtcp=None, signalling_host=HOST)
        sim.run(0.5, silent=(1,))
    assert sent_to(sim, VICTIM, OTHER_VICTIM) <= UNPROVEN_PACKETS


def test_a_real_telephone_first_and_then_a_third_party(house: Houses) -> None:
    """Whoever has proven one address has proven no other."""
    sim = house(silence_timeout=1e9)
    phone = towards(sim, VICTIM)
    phone.address = (HOST, 4000)
    sim.run(2.0)
    assert phone.loudness(400) == 0 and phone.packets(), "its own packets have latched the leg"
    for turn in range(10):
        sim.connect(phone, remote=(VICTIM, OTHER_VICTIM)[turn % 2], remote_rtcp=None, signalling_host=HOST)
        sim.run(0.5, silent=(1,))
    assert sent_to(sim, VICTIM, OTHER_VICTIM) <= UNPROVEN_PACKETS


def test_traffic_from_there_brings_the_voice_back(house: Houses) -> None:
    sim = house(silence_timeout=1e9)
    phone, other = towards(sim, VICTIM), sim.phone(2, room=1)
    phone.address = VICTIM
    sim.run(10.0, silent=(1,))
    assert len(phone.packets()) <= UNPROVEN_PACKETS
    sim.run(2.0)
    assert phone.loudness(other.pitch) > 800 and other.loudness(phone.pitch) > 800


def test_a_report_from_there_is_traffic_too(house: Houses) -> None:
    """A telephone that only listens, with media apart from its signalling, shows itself by RTCP."""
    sim = house(silence_timeout=1e9)
    phone = towards(sim, VICTIM, direction="sendonly")
    phone.address = VICTIM
    sim.run(5.0, silent=(1,))
    assert len(phone.packets()) <= UNPROVEN_PACKETS
    for junk in (b"", b"\x80", bytes(8), b"\x81\xcb\x00\x01" + bytes(4)):
        sim.network.throw((VICTIM[0], VICTIM[1] + 1), phone.port + 1, junk, sim.now)
    sim.network.throw((HOST, 7), phone.port + 1, b"\x80\xc9\x00\x01" + bytes(4), sim.now)
    sim.run(1.0, silent=(1,))
    assert len(phone.packets()) <= UNPROVEN_PACKETS
    sim.network.throw((VICTIM[0], VICTIM[1] + 1), phone.port + 1, b"\x80\xc9\x00\x01" + bytes(4), sim.now)
    sim.run(3.0, silent=(1,))
    assert len(phone.packets()) > 100 + UNPROVEN_PACKETS
    sim.connect(phone, "sendonly", remote=VICTIM, remote_rtcp=None, signalling_host=HOST)  # and a new offer of the same
    phone.packets().clear()
    sim.run(3.0, silent=(1,))
    assert len(phone.packets()) == 150


@pytest.mark.parametrize(
    "changes", [{"trusted": True}, {"signalling_host": VICTIM[0]}, {"signalling_host": f"::ffff:{VICTIM[0]}"}]
)
def test_a_trunk_and_the_host_of_the_signalling_are_sent_to_at_once_and_for_good(
    house: Houses, changes: dict[str, Any]
) -> None:
    """A telephone that is muted, or plays music, and says nothing at all."""
    sim = house(silence_timeout=1e9)
    phone = sim.phone(1, room=1, connect=False)
    phone.address = VICTIM
    sim.connect(phone, **{"remote": VICTIM, "signalling_host": HOST, **changes})
    sim.run(30.0, silent=(1,))
    assert len(phone.packets()) == 1500


def test_a_telephone_behind_a_nat_loses_nothing(house: Houses) -> None:
    """It names its private address and sends from the public one."""
    sim = house()
    phone, other = towards(sim, ("192.168.1.20", 4000)), sim.phone(2, room=1)
    phone.address = (HOST, 31234)
    sim.run(4.0)
    assert phone.loudness(other.pitch) > 800 and other.loudness(phone.pitch) > 800
    sim.connect(phone, "sendonly", remote=("192.168.1.20", 4000), remote_rtcp=None, signalling_host=HOST)  # held by it
    sim.run(5.0, silent=(1,))
    phone.packets().clear()
    sim.run(2.0, silent=(1,))
    assert len(phone.packets()) == 100, "it heard us before and hears us on hold"


@pytest.mark.parametrize(
    ("remote", "host", "expected"),
    [
        ("127.0.0.1", "198.51.100.7", None), ("127.8.8.8", "198.51.100.7", None), ("::1", "198.51.100.7", None),
        ("::ffff:127.0.0.1", "2001:db8::7", None), ("localhost", "198.51.100.7", None),
        ("127.0.0.1", "127.0.0.2", "127.0.0.1"), ("::1", "127.0.0.1", "::1"), ("127.0.0.1", "::ffff:127.0.0.1",
        "127.0.0.1"), ("192.0.2.7", "198.51.100.7", "192.0.2.7"), ("phone.example", "198.51.100.7", "phone.example"),
    ],
)  # fmt: skip
def test_this_machine_itself_is_nobodys_telephone_but_its_own(remote: str, host: str, expected: str | None) -> None:
    assert usable((remote, 4000), host) == (None if expected is None else (expected, 4000))
    assert usable(None, host) is None
