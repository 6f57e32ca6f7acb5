"""What carries a plane's packets: legs on ports of their own and legs on the shared port as one, encrypted or not.

What is drained is in the clear and has passed its source's check; what is sent for a guarded leg is encrypted or not
sent at all. Without such legs it costs two comparisons a tick. Not here: sockets (ports, shared_port), ciphers (srtp).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sipconf.errors import SipconfError
from sipconf.rtp.edge.plans import some_of
from sipconf.rtp.edge.ports import Ports
from sipconf.rtp.edge.shared_port import SharedPort
from sipconf.rtp.ice import Credentials
from sipconf.rtp.latching import Address
from sipconf.rtp.packet import ROW, Drained
from sipconf.rtp.srtp import Lines, SrtpColumns
from sipconf.rtp.transmit import Packets

MORE_DRAINS = 8
"""Further blocks of one drain: what some 0.5 s of standing still have left in the sockets."""

_FIRST_ROWS = 64
_KNOWN_PLANS = 8


class NoSharedPort(SipconfError):
    """A leg should be reached by its ICE credentials, but there is no port for it."""


@dataclass(slots=True)
class _Plan:
    """How one bank's packets go out, kept while the same slots send and no leg changes.

    plain, plain_from: slots whose packets go to ports as they are, and which of the packets these are. copied_from:
    which are sent from a copy: first those of encrypted slots, then those of telephones on the shared port. shared,
    shared_rows: slots and places among the copies of what leaves by the shared port; own, own_rows: the same of what
    leaves by ports.
    """

    version: int
    slots: Sequence[int]
    packets: Sequence[memoryview] = ()
    plain: list[int] = field(default_factory=list)
    plain_from: list[int] = field(default_factory=list)
    plain_packets: Sequence[memoryview] = ()
    encrypted: list[int] = field(default_factory=list)
    copied_from: list[int] = field(default_factory=list)
    copied: Sequence[memoryview] = ()
    shared: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    shared_rows: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    own: list[int] = field(default_factory=list)
    own_rows: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    own_packets: Sequence[memoryview] = ()

    def take(self, packets: Sequence[memoryview]) -> None:
        """These are the slots' packets; the same object as before has the same buffers, filled anew."""
        if packets is not self.packets:
            self.packets = packets
            self.plain_packets, self.copied = some_of(packets, self.plain_from), some_of(packets, self.copied_from)


class Carrier:
    """A plane's transport. ports: None where everything is behind the shared port; shared: None where nothing is. srtp:
    keys by slot, which ports judge by."""

    def __init__(self, ports: Ports | None, shared: SharedPort | None, srtp: SrtpColumns) -> None:
        self._ports, self._shared, self._srtp = ports, shared, srtp
        self._on_ports: set[int] = set()
        self._on_shared: set[int] = set()
        self._plans: list[_Plan] = []
        self._allocate(_FIRST_ROWS)

    def _allocate(self, rows: int) -> None:
        self._copies = np.zeros((rows, ROW), np.uint8)
        self._lines = Lines(self._copies)
        self._views = [memoryview(row) for row in self._copies]
        self._places = self._copies.ctypes.data + np.arange(rows, dtype=np.uint64) * np.uint64(ROW)
        self._plans.clear()

    # --- legs --------------------------------------------------------------------------------------------------------
    def open(self, slot: int, address: str) -> int:
        """Bind a pair of ports on a local address; the RTP port, which in one-port mode is everybody's."""
        if self._ports is not None:
            port = self._ports.open(slot, address)
            self._on_ports.add(slot)
            return port
        assert self._shared is not None
        self._on_shared.add(slot)
        self._shared.open_plain()
        return self._shared.port

    def connect(
        self, slot: int, remote: Address | None, remote_rtcp: Address | None, rtcp_mux: bool, restart: bool
    ) -> None:
        """Where a telephone's leg sends to."""
        if self._ports is not None:
            self._ports.connect(slot, remote, remote_rtcp, rtcp_mux, restart)
        elif self._shared is not None:
            self._shared.connect_plain(slot, remote, remote_rtcp, rtcp_mux, restart)

    def open_checked(self, slot: int, ufrag: str, password: str, now: float) -> int:
        """Answer the connectivity checks of a leg on the shared port; its number. Raises NoSharedPort."""
        if self._shared is None:
            raise NoSharedPort("this server has no port for browsers")
        self._shared.open(slot, Credentials(ufrag, password), now)
        self._on_shared.add(slot)
        return self._shared.port

    def choose(self, slot: int, ufrag: str, password: str, remote_ufrag: str, now: float) -> None:
        """The leg is that peer's, on the shared port, and says nothing in the clear; its own ports are given back."""
        assert self._shared is not None
        self._srtp.guard(slot)
        self._leave_ports(slot)
        self._shared.choose(slot, Credentials(ufrag, password), remote_ufrag, now)
        self._plans.clear()

    def leave_shared(self, slot: int) -> None:
        """The leg's checks are not answered any more; a telephone stays where it is."""
        if self._shared is not None and slot in self._on_shared:
            self._shared.stop_checks(slot)
            if self._ports is not None:
                self._on_shared.discard(slot)

    def _leave_ports(self, slot: int) -> None:
        if self._ports is not None and slot in self._on_ports:
            self._on_ports.discard(slot)
            self._ports.close(slot)

    def secure(self, slot: int, profile: str, rx: bytes, tx: bytes) -> None:
        """Encrypt a leg with these keys from now on. Raises KeysError."""
        self._srtp.set_keys(slot, profile, rx, tx)
        self._plans.clear()

    def close(self, slot: int) -> None:
        """The slot's ports are free, its keys gone."""
        self._leave_ports(slot)
        if self._shared is not None and slot in self._on_shared:
            self._on_shared.discard(slot)
            self._shared.close(slot)
        self._srtp.forget(slot)
        self._plans.clear()

    def close_all(self) -> None:
        """Close every socket."""
        if self._ports is not None:
            self._ports.close_all()
        if self._shared is not None:
            self._shared.close_all()

    # --- in ----------------------------------------------------------------------------------------------------------
    def drain(self, now: float) -> Iterator[Drained]:
        """What has come for all legs, in blocks of which the next overwrites the last; after the first, what the legs
        brought while this process stood still."""
        ports, shared = self._ports, self._shared
        if ports is None:
            assert shared is not None
            first = shared.drain(now)
        else:
            first = ports.drain(now)
            if not self._on_shared:
                shared = None
            elif shared is not None:
                first = ports.extend(first, shared.drain(now))
        yield self._in_the_clear(first)
        for _ in range(MORE_DRAINS):
            if ports is not None and ports.unread:
                yield self._in_the_clear(ports.drain_more())
            elif shared is not None and shared.unread:
                yield self._in_the_clear(shared.drain(now))
            else:
                return

    def _in_the_clear(self, drained: Drained) -> Drained:
        if self._srtp.count and len(drained.slots):
            if drained.lines is not None and self._ports is not None:
                drained = self._ports.hold(drained)
            self._srtp.unprotect(drained.slots, drained.block, drained.lengths)
        return drained

    def drain_rtcp(self, now: float) -> list[tuple[int, bytes]]:
        """(slot, datagram) of what waited on RTCP ports."""
        return self._ports.drain_rtcp(now) if self._ports is not None else []

    def take_pairs(self) -> list[tuple[int, Address]]:
        """(slot, peer's address) of legs on the shared port whose pair has been chosen or has changed."""
        return self._shared.take_pairs() if self._shared is not None else []

    def take_handshakes(self) -> list[tuple[int, bytes]]:
        """(slot, DTLS datagram) that came from legs' chosen pairs."""
        return self._shared.take_handshakes() if self._shared is not None else []

    def take_lost(self, now: float) -> list[int]:
        """Slots whose peers have withdrawn their consent to be sent anything."""
        return self._shared.take_lost(now) if self._shared is not None else []

    def counts(self) -> dict[str, int]:
        """What went wrong since the beginning. strangers: datagrams to the shared port that are no leg's; excess: those
        over what one leg may bring; checks_refused; srtp_failures: packets forged, replayed or before their keys;
        send_errors: writes that the network refused."""
        ports, shared = self._ports, self._shared
        counts = {"send_errors": 0} if ports is None else ports.counts()
        counts["srtp_failures"] = self._srtp.failures
        if shared is not None:
            counts["strangers"] = shared.strangers + shared.odd + shared.strange_handshakes
            counts["excess"] = counts.get("excess", 0) + shared.excess
            counts["checks_refused"] = sum(shared.agent.refused.values())
            counts["send_errors"] += shared.send_errors
        return counts

    # --- out ---------------------------------------------------------------------------------------------------------
    def send(self, slots: Sequence[int], packets: Sequence[memoryview]) -> None:
        """One RTP packet from each slot to its peer."""
        if not self._srtp.count and not self._on_shared and self._ports is not None:
            self._ports.send(slots, packets)
            return
        version = self._shared.version if self._shared is not None else 0
        for plan in self._plans:
            if plan.version == version and (plan.slots is slots or plan.slots == slots):
                break
        else:
            plan = self._plan(version, slots)
        plan.take(packets)
        if plan.plain and self._ports is not None:
            self._ports.send(plan.plain, plan.plain_packets)
        if plan.copied:
            self._send_copies(plan)

    def _plan(self, version: int, slots: Sequence[int]) -> _Plan:
        plan = _Plan(version, slots)
        encrypted: list[int] = []
        telephones: list[int] = []
        for i, slot in enumerate(slots):
            on_shared = slot in self._on_shared
            if on_shared and self._shared is not None and not self._shared.can_send(slot):
                continue
            if self._srtp.is_guarded(slot):
                if self._srtp.has_keys(slot):
                    encrypted.append(i)
            elif on_shared:
                telephones.append(i)
            else:
                plan.plain.append(slot)
                plan.plain_from.append(i)
        plan.encrypted, plan.copied_from = [slots[i] for i in encrypted], encrypted + telephones
        if len(plan.copied_from) > len(self._copies):
            self._allocate(2 * len(plan.copied_from))
        copied = [slots[i] for i in plan.copied_from]
        shared_rows = [row for row, slot in enumerate(copied) if slot in self._on_shared]
        plan.shared_rows = np.array(shared_rows, np.intp)
        plan.shared = np.array([copied[row] for row in shared_rows], np.intp)
        own_rows = [row for row, slot in enumerate(copied) if slot not in self._on_shared]
        plan.own, plan.own_rows = [copied[row] for row in own_rows], np.array(own_rows, np.intp)
        plan.own_packets = Packets(self._copies, self._views, self._places, self._lines.lengths, plan.own_rows)
        self._plans = [*self._plans[1 - _KNOWN_PLANS :], plan]
        return plan

    def _send_copies(self, plan: _Plan) -> None:
        """Encrypt copies of packets, for their own rows are the mixer's, and send them."""
        lines = self._lines
        lines.lengths[: len(plan.copied)] = self._copy(plan.copied)
        whole = not plan.encrypted or self._srtp.protect(plan.encrypted, lines)
        shared, rows = plan.shared, plan.shared_rows
        if not whole:  # what could not be encrypted has no length and stays here
            kept = lines.lengths[rows] > 0
            shared, rows = shared[kept], rows[kept]
        if len(shared) and self._shared is not None:
            self._shared.send(shared, self._places[rows], lines.lengths[rows])
        if plan.own and self._ports is not None:
            self._send_own(plan)

    def _copy(self, packets: Sequence[memoryview]) -> Sequence[int] | NDArray[np.int64]:
        """Put packets into the first rows of the copies; the octets of each."""
        if isinstance(packets, Packets):
            return packets.copy_to(self._copies)
        for view, packet in zip(self._views, packets, strict=False):
            view[: len(packet)] = packet
        return list(map(len, packets))

    def _send_own(self, plan: _Plan) -> None:
        assert self._ports is not None
        slots, packets = plan.own, plan.own_packets
        whole = self._lines.lengths[plan.own_rows] > 0  # as above
        if np.count_nonzero(whole) != len(whole):
            places = np.flatnonzero(whole).tolist()
            slots, packets = [slots[place] for place in places], some_of(packets, places)
        self._ports.send(slots, packets)

    def send_rtcp(self, slot: int, data: bytes) -> None:
        """One RTCP packet from a slot to its peer."""
        if self._srtp.is_guarded(slot):
            protected = self._srtp.protect_rtcp(slot, data)
            if protected is None:
                return
            data = protected
        if slot in self._on_shared and self._shared is not None:
            self._shared.send_rtcp(slot, data)
        elif self._ports is not None:
            self._ports.send_rtcp(slot, data)
