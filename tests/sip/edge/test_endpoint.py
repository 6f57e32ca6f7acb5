"""The endpoint on real loopback sockets: UDP, its alarm, its faults. Streams are in
test_streams, names in test_resolver."""

import asyncio
import socket

import pytest

from sipconf.clock import SYSTEM_CLOCK
from sipconf.errors import MisuseError, StartError
from sipconf.sip.events import Counted, IncomingCall, RegistrationChanged, Send
from sipconf.sip.flow import Flow
from tests.sip.edge.endpoint_house import OPTIONS, House, free_port, house, phone


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_udp_there_and_back(host: str) -> None:
    url = f"udp://[{host}]:0" if ":" in host else f"udp://{host}:0"
    before = SYSTEM_CLOCK.monotonic()
    async with house(url) as here, phone(host, here.port()) as (transport, protocol):
        transport.sendto(OPTIONS)
        assert await protocol.get() == OPTIONS
        (data, flow, now) = here.agent.heard[0]
        assert data == OPTIONS and before <= now <= SYSTEM_CLOCK.monotonic()
        assert flow == Flow("udp", transport.get_extra_info("sockname")[:2], (host, here.port()))


async def test_keep_alives_over_udp_are_nobodys_business() -> None:
    async with house("udp://127.0.0.1:0") as here, phone("127.0.0.1", here.port()) as (transport, protocol):
        for data in (b"", b"\r\n\r\n", b"\0\0\0\0", OPTIONS):
            transport.sendto(data)
        assert await protocol.get() == OPTIONS
        assert [data for data, _, _ in here.agent.heard] == [OPTIONS]


async def test_an_ipv6_wildcard_takes_ipv4_alone_and_leaves_it_beside_an_ipv4_listener() -> None:
    async with house("udp://[::]:0") as here, phone("127.0.0.1", here.port()) as (transport, protocol):
        transport.sendto(OPTIONS)
        assert await protocol.get() == OPTIONS
        assert here.agent.heard[0][1].remote == transport.get_extra_info("sockname"), "spelled as IPv4"
    for scheme, kind in (("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)):
        port = free_port(kind)
        async with house(f"{scheme}://[::]:{port}", f"{scheme}://0.0.0.0:{port}") as here:
            assert [address[1] for _, address in here.endpoint.addresses] == [port, port]


async def test_udp_answers_leave_by_the_listener_that_was_asked() -> None:
    async with house("udp://127.0.0.1:0", "udp://127.0.0.2:0", "udp://[::1]:0") as here:
        for number, host in enumerate(("127.0.0.1", "127.0.0.2", "::1")):
            async with phone(host, here.port(number)) as (transport, protocol):
                transport.sendto(OPTIONS)
                assert await protocol.get() == OPTIONS  # a connected socket hears its own peer only
                new = Flow("udp", transport.get_extra_info("sockname")[:2], ("198.51.100.1", 1))
                if number != 1:  # a flow of no listener: the first of the family
                    here.agent.outputs.append(Send(new, b"hello"))
                    here.endpoint.pump(SYSTEM_CLOCK.monotonic())
                    assert await protocol.get() == b"hello"


async def test_a_udp_flow_that_leads_nowhere_is_reported() -> None:
    async with house("udp://127.0.0.1:0") as here:
        lost = [
            Flow("udp", ("::1", 9), ("127.0.0.1", here.port())),
            Flow("udp", ("255.255.255.255", 9), ("127.0.0.1", here.port())),
            Flow("wss", ("127.0.0.1", 9), ("127.0.0.1", 1), 5),
        ]
        here.agent.outputs += [Send(flow, b"x") for flow in lost]
        here.endpoint.pump(SYSTEM_CLOCK.monotonic())
        assert here.agent.failed == [], "the agent is not called while it is asked"
        await here.agent.until(lambda: len(here.agent.failed) == 3)
        assert here.agent.failed == lost


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
async def test_a_busy_port_is_one_clear_line_and_leaves_nothing_bound(scheme: str) -> None:
    async with house(f"{scheme}://127.0.0.1:0") as here:
        free = free_port()
        with pytest.raises(StartError) as error:
            await House(f"tcp://127.0.0.1:{free}", f"{scheme}://127.0.0.1:{here.port()}").endpoint.start()
        assert f"cannot listen on {scheme}://127.0.0.1:{here.port()}: address already in use; " in str(error.value)
        async with house(f"tcp://127.0.0.1:{free}"):
            pass


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("tls://127.0.0.1:5061", "without a certificate"),
        ("sctp://127.0.0.1:5061", "sctp is not available"),
        ("udp://127.0.0.1", "write it like"),
        ("5060", "write it like"),
        ("udp://127.0.0.1:70000", "write it like"),
        ("udp://192.0.2.77:0", "no such address"),
        ("udp://no.such.host.invalid:0", "cannot listen on udp://no.such.host.invalid:0"),
    ],
)
async def test_an_address_that_cannot_be_listened_on(url: str, part: str) -> None:
    with pytest.raises(StartError, match=part):
        await House(url).endpoint.start()


async def test_one_faulty_message_is_logged_counted_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async with house("udp://127.0.0.1:0") as here, phone("127.0.0.1", here.port()) as (transport, protocol):
        for _ in range(100):
            transport.sendto(b"stumble over s3cret")
        transport.sendto(OPTIONS)
        assert await protocol.get() == OPTIONS
        assert here.events.count(Counted("agent_exception")) == 100
    assert "RuntimeError: a fault of ours" in caplog.text and "s3cret" not in caplog.text
    assert caplog.text.count("Traceback") <= 20, "a flood must not fill the disk"


async def test_events_go_up_and_orders_given_meanwhile_go_out() -> None:
    async with house("udp://127.0.0.1:0") as here, phone("127.0.0.1", here.port()) as (transport, protocol):
        told_meanwhile: list[object] = []

        def answer(events: list, now: float) -> None:
            here.events += events
            if isinstance(events[0], IncomingCall):
                here.agent.outputs += [Send(events[0].flow, b"ringing"), RegistrationChanged("101", 1)]
                here.endpoint.pump(now)
                told_meanwhile.extend(here.events[1:])
                raise RuntimeError("a fault above")

        here.endpoint._on_events = answer
        transport.sendto(b"call")
        assert await protocol.get() == b"ringing"
        kinds = [type(event).__name__ for event in here.events]
        assert kinds == ["IncomingCall", "RegistrationChanged", "Counted"]
        assert told_meanwhile == [], "no event is told while another is being worked on"


async def test_a_floor_above_that_fails_at_everything_is_told_each_thing_once() -> None:
    async with house("udp://127.0.0.1:0") as here:
        told = []

        def fail(events: list, now: float) -> None:
            told.append([type(event).__name__ for event in events])
            assert len(told) < 10, "told for ever"
            raise RuntimeError("a fault above")

        here.endpoint._on_events = fail
        here.agent.outputs.append(RegistrationChanged("101", 1))
        here.endpoint.pump(SYSTEM_CLOCK.monotonic())
        for _ in range(5):
            await asyncio.sleep(0)
        assert told == [["RegistrationChanged"], ["Counted"]]


async def test_the_alarm_rings_when_due_and_an_earlier_one_overtakes() -> None:
    async with house("udp://127.0.0.1:0") as here:
        start = SYSTEM_CLOCK.monotonic()
        here.agent.due = start + 3600
        here.endpoint.pump(start)
        here.agent.due = due = start + 0.05
        here.endpoint.pump(start)
        await here.agent.until(lambda: here.agent.rung)
        assert here.agent.rung[0] >= due


async def test_another_transport_brings_its_carrier() -> None:
    class Carrier:
        def __init__(self) -> None:
            self.sent: list[tuple[Flow, bytes]] = []

        def send(self, flow: Flow, data: bytes) -> None:
            self.sent.append((flow, data))

        def close(self, flow: Flow, reason: str) -> None:
            self.sent.append((flow, b""))

        def __len__(self) -> int:
            return 1

        async def stop(self) -> None:
            self.sent.clear()

    async with house("udp://127.0.0.1:0") as here:
        carrier = Carrier()
        here.endpoint.add_carrier("ws", carrier)
        with pytest.raises(MisuseError):
            here.endpoint.add_carrier("udp", carrier)
        flow = Flow("ws", ("192.0.2.1", 1), ("127.0.0.1", 8080), 1)
        here.endpoint.receive(OPTIONS, flow)
        here.endpoint.receive(b"close me", flow)
        assert carrier.sent == [(flow, OPTIONS), (flow, b"")]
        assert here.endpoint.connections_by_transport() == {"tcp": 0, "tls": 0, "ws": 1}
    assert carrier.sent == []
