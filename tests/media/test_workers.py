"""Several workers behind one door: what goes to which, what comes back, and one's death that is not the others'."""

import asyncio
import os
import signal
import struct
from collections.abc import Callable

import pytest

from sipconf.errors import StartError
from sipconf.media import protocol
from sipconf.media.placement import TICK_MS
from sipconf.media.supervisor import WorkerSettings
from sipconf.media.workers import Workers, processes, shares
from tests.media.loopback import Phone, read_all

PATIENCE = 60.0  # seconds until a test is given up; nothing is judged by it
REPORT = protocol.PlaneReport(0, 50, 0, 0, 0.1)
FULL = protocol.PlaneReport(0, 50, 0, 0, 0.9 * TICK_MS)


class Kept:
    """A keeper of nothing: notes what it is sent, tells what it is told to."""

    def __init__(self, news: Callable[[], None]) -> None:
        self.news = news
        self.sent: list[protocol.Command] = []
        self.replies: list[tuple[protocol.Address, bytes]] = []
        self.events: list[protocol.Event] = []
        self.up, self.restarts, self.heard = True, 0, 0.0

    def send(self, command: protocol.Command) -> None:
        self.sent.append(command)

    def take_events(self) -> list[protocol.Event]:
        events, self.events = self.events, []
        return events

    def tell(self, *events: protocol.Event) -> None:
        self.events += events
        self.news()

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def reply(self, address: protocol.Address, datagram: bytes) -> bool:
        self.replies.append((address, datagram))
        return True


class Office:
    """Two such keepers behind Workers, and what these tell."""

    def __init__(self) -> None:
        self.events: list[protocol.Event] = []
        self.later: list[Callable[[], None]] = []
        self.workers = Workers([Kept, Kept], lambda: self.events.extend(self.workers.take_events()), self.later.append)
        self.one, self.two = self.workers.keepers  # type: ignore[misc]

    def open(self, leg: int, room: int | None) -> protocol.OpenLeg:
        command = protocol.OpenLeg(leg, "0.0.0.0", "x", room)
        self.workers.send(command)
        return command


def test_every_command_goes_where_the_room_lives_and_no_other() -> None:
    office = Office()
    opened = [office.open(leg, room) for leg, room in ((1, 7), (2, 8), (3, 7), (4, 8))]
    commands = [protocol.PlaceLeg(3, 7), protocol.MuteLeg(2, True), protocol.PlayToRoom(7, ("x",)),
                protocol.PlayToLeg(4, 1, ("x",), False), protocol.StopLegPlayback(1), protocol.PlayToRoom(8, ("y",)),
                protocol.CloseLeg(3)]  # fmt: skip
    for command in commands:
        office.workers.send(command)
    assert office.one.sent == [opened[0], opened[2], commands[0], commands[2], commands[4], commands[6]]
    assert office.two.sent == [opened[1], opened[3], commands[1], commands[3], commands[5]]
    assert office.workers.together(2, 4) and not office.workers.together(1, 2)
    before = len(office.one.sent) + len(office.two.sent)
    office.workers.send(protocol.MuteLeg(3, True))  # is closed
    office.workers.send(protocol.PlayToRoom(99, ("x",)))  # nobody is there
    assert len(office.one.sent) + len(office.two.sent) == before


def test_a_room_is_where_a_leg_has_moved_into_it() -> None:
    """By PlaceLeg, or before it is in the mix."""
    office = Office()
    for leg, room in ((1, 7), (2, 8)):
        office.open(leg, room)
    office.workers.send(protocol.PlaceLeg(2, 9))
    assert office.workers.move(1, 10) and not office.workers.move(1, 9)
    later = [office.open(3, 9), office.open(4, 10)]
    assert office.two.sent[-1] is later[0] and office.one.sent[-1] is later[1]


def test_who_finds_no_place_fails_but_not_within_send() -> None:
    office = Office()
    for keeper in (office.one, office.two):
        keeper.tell(FULL)
    office.events.clear()
    office.open(1, 7)
    assert not office.events and not office.one.sent and not office.two.sent
    (announce,) = office.later
    announce()
    (failed,) = office.events
    assert isinstance(failed, protocol.LegFailed) and failed.leg == 1
    office.workers.send(protocol.CloseLeg(1))
    assert not office.one.sent and not office.two.sent


def test_reports_say_whose_they_are() -> None:
    office = Office()
    office.two.tell(REPORT)
    (report,) = office.events
    assert isinstance(report, protocol.PlaneReport) and report.worker == 1


def test_a_lost_workers_room_begins_anew_elsewhere_and_the_other_is_not_touched() -> None:
    office = Office()
    for leg, room in ((1, 7), (2, 8), (3, 7)):
        office.open(leg, room)
    office.one.up, office.one.restarts = False, 1
    office.one.tell(protocol.LegFailed(1, "ended"), protocol.LegFailed(3, "ended"))
    assert [event.leg for event in office.events] == [1, 3]  # type: ignore[union-attr]
    again = office.open(4, 7)
    assert office.two.sent[-1] == again and office.workers.restarts == 1
    office.one.up = True
    office.one.tell(REPORT)
    assert office.open(5, 9) == office.one.sent[-1], "it serves again"
    office.workers.send(protocol.MuteLeg(2, True))
    assert office.two.sent[-1] == protocol.MuteLeg(2, True)


def test_a_leg_of_a_worker_that_died_with_no_leg_keeps_its_place() -> None:
    """The supervisor tells of its death only where it cost a leg: of one without we hear with the next report."""
    office = Office()
    office.one.restarts = 1
    office.open(1, 7)
    office.one.tell(REPORT)
    office.workers.send(protocol.MuteLeg(1, True))
    assert office.one.sent[-1] == protocol.MuteLeg(1, True)


@pytest.mark.parametrize(
    ("ports", "workers", "expected"),
    [
        ((10_000, 19_999), 1, [(10_000, 19_999)]),
        ((10_000, 19_999), 2, [(10_000, 14_999), (15_000, 19_999)]),
        ((10_001, 10_010), 3, [(10_001, 10_003), (10_004, 10_005), (10_006, 10_010)]),
        ((10_000, 10_003), 8, [(10_000, 10_001), (10_002, 10_003)]),
    ],
)
def test_each_worker_has_its_own_ports(
    ports: tuple[int, int], workers: int, expected: list[tuple[int, int]]
) -> None:
    assert [(each.first_port, each.last_port) for each in shares(WorkerSettings(*ports), workers)] == expected


async def test_one_workers_death_takes_its_own_rooms_only() -> None:
    """Two real workers, two rooms, four telephones; one worker is killed."""
    events: list[protocol.Event] = []
    news = asyncio.Event()

    def hear() -> None:
        events.extend(media.take_events())
        news.set()

    async def until(done: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not done():
                news.clear()
                await news.wait()

    def opened() -> dict[int, int]:
        return {event.leg: event.port for event in events if isinstance(event, protocol.LegOpened)}

    def call(phone: Phone, room: int) -> None:
        media.send(protocol.ConnectLeg(phone.number, phone.address, None, "127.0.0.1", (PCMU,), PCMU, None, True,
                                       "sendrecv"))  # fmt: skip
        media.send(protocol.PlaceLeg(phone.number, room))

    async def talk(phones: list[Phone], packets: int) -> None:
        """Until each of them has heard so many packets more."""
        wanted = {phone.number: len(phone.heard) + packets for phone in phones}
        async with asyncio.timeout(PATIENCE):
            while any(len(phone.heard) < wanted[phone.number] for phone in phones):
                for phone in phones:
                    phone.speak()
                    phone.heard += read_all(phone.rtp)
                await asyncio.sleep(0.02)

    PCMU = protocol.RtpFormat("PCMU", 8000, 0)
    media = processes(WorkerSettings(28_720, 28_759), 2, hear)
    phones = [Phone(number, 400 + 200 * number) for number in range(1, 5)]
    await media.start()
    try:
        assert media.capacities == [9, 9]
        for phone in phones:
            media.send(protocol.OpenLeg(phone.number, "127.0.0.1", "x", room=phone.number % 2))
        await until(lambda: len(opened()) == 4)
        for phone in phones:
            phone.port = opened()[phone.number]
            call(phone, phone.number % 2)
        odd, even = phones[0::2], phones[1::2]
        assert {phone.port < 28_740 for phone in odd} != {phone.port < 28_740 for phone in even}
        await talk(phones, 10)
        victim, survivor = (keeper.pid for keeper in media.keepers)  # type: ignore[attr-defined]
        if odd[0].port >= 28_740:
            victim, survivor = survivor, victim
        os.kill(victim, signal.SIGKILL)
        await talk(even, 60)
        failed = {event.leg for event in events if isinstance(event, protocol.LegFailed)}
        assert failed == {phone.number for phone in odd}
        assert media.restarts == 1 and survivor in [keeper.pid for keeper in media.keepers]  # type: ignore[attr-defined]
        for phone in even:
            heads = [struct.unpack("!BBHII", packet[:12]) for packet in phone.heard if len(packet) == 172]
            steps = {(after[2] - before[2]) % 2**16 for before, after in zip(heads, heads[1:], strict=False)}
            assert steps == {1} and len({head[4] for head in heads}) == 1, "not a packet is missing"
        events.clear()
        again = Phone(5, 1500)
        phones.append(again)
        media.send(protocol.OpenLeg(5, "127.0.0.1", "x", room=1))
        await until(lambda: 5 in opened())
        again.port = opened()[5]
        call(again, 1)
        await talk([again], 5)
    finally:
        await media.stop()
        for phone in phones:
            phone.rtp.close()
            phone.rtcp.close()


async def test_workers_that_cannot_start_are_one_error() -> None:
    media = processes(WorkerSettings(28_720, 28_759, sounds="/nonexistent/sounds"), 2, lambda: None)
    with pytest.raises(StartError):
        await media.start()
    await media.stop()
