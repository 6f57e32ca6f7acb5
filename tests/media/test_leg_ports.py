"""Ports and addresses of legs: had, not had, not known yet, free again."""

import struct
from collections.abc import Callable
from typing import Any

import pytest

from sipconf.errors import MisuseError
from sipconf.media import protocol

Houses = Callable[..., Any]


def test_closing_says_bye_and_frees_the_port(house: Houses) -> None:
    sim = house()
    phone = sim.phone(1, room=1)
    sim.run(0.5)
    sim.plane.send(protocol.CloseLeg(1))
    sim.plane.send(protocol.MuteLeg(1, True))  # crossed the close: nobody minds
    sim.tick()
    (_, last) = sim.network.outbox[(phone.address[0], 4001)][-1]
    kinds, at = [], 0
    while at < len(last):
        kinds.append(last[at + 1])
        at += 4 + 4 * struct.unpack("!H", last[at + 2 : at + 4])[0]
    assert 203 in kinds
    count = len(phone.packets())
    sim.run(0.5)
    assert len(phone.packets()) == count and sim.plane.legs == 0
    assert sim.phone(2).port == phone.port


def test_no_port_is_a_failed_leg_and_no_exception(house: Houses) -> None:
    sim = house(pairs=2)
    sim.phone(1), sim.phone(2)
    sim.plane.send(protocol.OpenLeg(3, "0.0.0.0", "x"))
    sim.tick()
    (failed,) = sim.of_kind(protocol.LegFailed)
    assert failed.leg == 3 and "port" in failed.reason
    sim.plane.send(protocol.CloseLeg(1))
    sim.phone(4)


def test_a_leg_opened_twice_is_our_mistake(house: Houses) -> None:
    sim = house()
    sim.phone(1)
    sim.plane.send(protocol.OpenLeg(1, "0.0.0.0", "x"))
    with pytest.raises(MisuseError):
        sim.tick()


def test_a_closed_plane_has_no_ports_left(house: Houses) -> None:
    sim = house()
    sim.phone(1, room=1), sim.phone(2)
    sim.run(0.2)
    sim.plane.close()
    assert not sim.network.port_of_slot and sim.plane.legs == 0


def test_nothing_is_sent_before_an_address_is_known(house: Houses) -> None:
    sim = house()
    phone = sim.phone(1, connect=False)
    sim.connect(phone, remote=None, remote_rtcp=None)
    sim.run(0.5, silent=[1])
    assert not phone.packets()
    sim.run(1.0)
    assert phone.packets()
