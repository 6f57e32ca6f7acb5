"""A rig's plane, in this process, as the front's handshakes have their workers."""

from collections.abc import Callable

from sipconf.media import protocol
from sipconf.media.shared_socket import send_to
from tests.media.browsers import Rig


class PlaneAsWorkers:
    """The rig's plane as the front has it."""

    restarts, heard, capacities = 0, 0.0, []  # noqa: RUF012

    def __init__(self, rig: Rig, on_events: Callable[[], None]) -> None:
        self._rig, self._on_events = rig, on_events
        self._events: list[protocol.Event] = []

    def send(self, command: protocol.Command) -> None:
        self._rig.plane.send(command)

    def tell(self, events: list[protocol.Event]) -> None:
        self._events += events
        self._on_events()

    def take_events(self) -> list[protocol.Event]:
        events, self._events = self._events, []
        return events

    def reply(self, leg: int, address: protocol.Address, datagram: bytes) -> bool:
        return send_to(self._rig.shared._socket, address, datagram)
