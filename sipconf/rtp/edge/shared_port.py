"""One UDP port for many legs: whose each datagram is, by its first octet (RFC 7983) and by the address it comes from.

Checks are answered here, handshakes handed on, RTP and RTCP sorted into rows by slot; strangers dropped and counted.
Every tick reads a bounded number and answers a bounded number. Not here: the check itself (ice), keys (srtp), legs on
ports of their own (ports).
"""

import socket
from collections import Counter
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from sipconf.rtp.edge.binding import is_own, reachable
from sipconf.rtp.edge.datagrams import Inbox, Outbox, packed, unpacked
from sipconf.rtp.edge.settled import LONG_SECONDS, PASSES
from sipconf.rtp.ice import Credentials, IceAgent
from sipconf.rtp.latching import Verdict
from sipconf.rtp.one_port import PlainLegs
from sipconf.rtp.packet import ROW, RTCP_TYPES, Drained
from sipconf.rtp.rounds import in_rounds
from sipconf.rtp.streams import Streams
from sipconf.rtp.stun import Address

ROWS = 2048
"""Datagrams read in one drain; the rest wait in the socket."""
STRANGERS_READ, STRANGERS_VERIFIED = 200, 100
"""Checks of one tick from addresses that are no pair: those that are read, which takes some 5 us each, and those whose
password is verified, some 25 us. A flood of forged ones must not keep the running legs' consent waiting."""
PEERS_READ, PEER_READ = 200, 4
"""Checks of one tick from addresses that are pairs: of all legs and of one. A peer sends one every 5 ms at the most
(RFC 8445 section 14.2); its address can be forged."""
JUDGED = 256
"""Datagrams of one tick from addresses that are no leg's, of which telephones' legs may be looked for."""
HANDSHAKES, HANDSHAKES_OF_LEG = 256, 16
"""DTLS datagrams handed on in one tick, together and of one leg; who handshakes sends them again."""
MAX_HANDSHAKE = 1500
"""Octets of a DTLS datagram: no peer sends more than its network carries in one piece."""
_NOBODY = -1


class SharedPort:
    """The legs behind one socket, which it sets non-blocking and keeps: browsers, and in one-port mode telephones,
    whose sources streams judge. strangers: RTP from addresses that are no leg's; odd: datagrams of no known kind;
    strange_handshakes: DTLS from anywhere but a leg's chosen pair; excess: packets over what one leg may bring to a
    drain, which are thrown away; answered: checks."""

    def __init__(self, one: socket.socket, streams: Streams) -> None:
        one.setblocking(False)
        self._socket, self._family = one, one.family
        self.port: int = one.getsockname()[1]
        self.agent = IceAgent()
        self._streams = streams
        self._plain = PlainLegs()
        self._rtcp_aims: dict[int, bytes] = {}  # slot -> where a telephone wants its RTCP
        self.version = 0  # of what legs send to
        self._inbox: Inbox | None = None  # made when the first leg comes
        self._outbox = Outbox(self._family)
        self._slot_of: dict[bytes, int] = {}
        self._aims: dict[int, bytes] = {}  # slot -> where it sends
        self._checked: set[int] = set()
        self._pairs: list[tuple[int, Address]] = []
        self._handshakes: list[tuple[int, bytes]] = []
        self._sorted = np.zeros((64, ROW), np.uint8)
        self.unread = False  # whether the last drain, after a stall, left something
        self._drained_at, self._long_ago = 0.0, False
        self.strangers = self.odd = self.strange_handshakes = self.excess = self.answered = 0

    @property
    def send_errors(self) -> int:
        """Writes that the network refused."""
        return self._outbox.errors

    # --- legs --------------------------------------------------------------------------------------------------------
    def open(self, slot: int, credentials: Credentials, now: float) -> None:
        """Answer the leg's checks."""
        if self._inbox is None:
            self._inbox = Inbox(ROWS)
        self._checked.add(slot)
        self.agent.open(slot, credentials, now)

    def choose(self, slot: int, credentials: Credentials, remote_ufrag: str, now: float) -> None:
        """The peer of a leg, which is no telephone, and the credentials that it was told last."""
        if slot in self._plain:
            self._stop_waiting(slot)
            self._aim(slot, None)
        self.agent.choose(slot, credentials, remote_ufrag, now)
        self._follow()

    def open_plain(self) -> None:
        """There will be a telephone's leg, whose peer is found by its address alone."""
        if self._inbox is None:
            self._inbox = Inbox(ROWS)

    def connect_plain(
        self, slot: int, remote: Address | None, remote_rtcp: Address | None, rtcp_mux: bool, restart: bool
    ) -> None:
        """Send to the signalled address; restart, as Streams.connect returned it: the peer is found anew. Nothing is
        sent to this port itself."""
        remote, remote_rtcp = self._reachable(remote), self._reachable(remote_rtcp)
        if restart:
            self._unbind(self._plain.wait(slot, remote, self._streams.signalling_host(slot)))
        if restart or self._streams.latched(slot) is None:
            self._aim(slot, remote)
        self._rtcp_aims.pop(slot, None)
        if not rtcp_mux and remote_rtcp is not None:
            self._plain.expect_rtcp(slot, remote_rtcp)
            self._rtcp_aims[slot] = packed(remote_rtcp, self._family)

    def _reachable(self, address: Address | None) -> Address | None:
        if address is not None and address[1] == self.port and is_own(address[0]):
            return None
        return reachable(address, self._family)

    def _unbind(self, had: Address | None) -> None:
        if had is not None:
            self._slot_of.pop(packed(had, self._family), None)

    def _aim(self, slot: int, address: Address | None) -> None:
        self.version += 1
        if address is None:
            self._aims.pop(slot, None)
            return
        name = self._aims[slot] = packed(address, self._family)
        self._outbox.aim(slot, name)

    def close(self, slot: int) -> None:
        """The leg is no longer reached here."""
        self.stop_checks(slot)
        self._stop_waiting(slot)
        self._aim(slot, None)

    def stop_checks(self, slot: int) -> None:
        """The leg's checks are answered no longer."""
        if slot not in self._checked:
            return
        self._checked.discard(slot)
        self.agent.close(slot)
        self._follow()
        self._pairs = [pair for pair in self._pairs if pair[0] != slot]
        self._handshakes = [one for one in self._handshakes if one[0] != slot]

    def _stop_waiting(self, slot: int) -> None:
        self._rtcp_aims.pop(slot, None)
        self._unbind(self._plain.close(slot))

    def close_all(self) -> None:
        """Close the socket."""
        self._socket.close()

    def can_send(self, slot: int) -> bool:
        """Whether there is somewhere to send a leg's packets: its chosen pair, or a telephone's address."""
        return slot in self._aims

    def take_pairs(self) -> list[tuple[int, Address]]:
        """(slot, its peer's address) of every newly chosen pair."""
        pairs, self._pairs = self._pairs, []
        return pairs

    def take_handshakes(self) -> list[tuple[int, bytes]]:
        """(slot, DTLS datagram) of what came from chosen pairs, in order."""
        handshakes, self._handshakes = self._handshakes, []
        return handshakes

    def take_lost(self, now: float) -> list[int]:
        """Slots whose peers check no more."""
        lost = self.agent.take_lost(now)
        self._follow()
        return lost

    def _follow(self) -> None:
        """What the agent has decided."""
        for address in self.agent.take_forgotten():
            self._slot_of.pop(packed(address, self._family), None)
        for slot, chosen in self.agent.take_changes():
            self._aim(slot, chosen)
            if chosen is not None:
                self._pairs.append((slot, chosen))

    # --- in ----------------------------------------------------------------------------------------------------------
    def drain(self, now: float) -> Drained:
        """Read what has come and answer checks; the RTP and RTCP of legs, in rounds of ascending slots."""
        inbox = self._inbox
        count = inbox.receive(self._socket.fileno()) if inbox is not None else 0
        if now != self._drained_at:
            self._long_ago, self._drained_at = now - self._drained_at > LONG_SECONDS, now
        self.unread = self._long_ago and count == ROWS
        if inbox is None or not count:
            return Drained(_NO_SLOTS, self._sorted[:0], _NO_SLOTS)
        names = inbox.sources(count)
        slots = np.fromiter(map(self._slot_of.get, names, repeat(_NOBODY)), np.intp, count)
        lengths, first = inbox.lengths, inbox.block[:count, 0]
        media = (first >> 6 == 2) & (lengths > 0)
        if np.count_nonzero(media) != count:
            others = np.flatnonzero(~media)
            self._hear_others(others, first[others], slots, names, inbox, now)
        unknown = np.flatnonzero(media & (slots == _NOBODY))
        if len(unknown):
            if len(self._plain):
                for row in unknown[:JUDGED].tolist():
                    slots[row] = self._judge(names[row], inbox.block[row, : lengths[row]].tobytes(), now)
            media &= slots != _NOBODY
            self.strangers += int(np.count_nonzero(slots[unknown] == _NOBODY))
        rows = np.flatnonzero(media)
        return self._sort(slots[rows], rows, lengths[rows], inbox.block)

    def _sort(
        self, slots: NDArray[np.intp], rows: NDArray[np.intp], lengths: NDArray[np.int64], block: NDArray[np.uint8]
    ) -> Drained:
        """Copy rows into the order in which the floors above take them; each round is a pass of theirs."""
        if not len(rows):
            return Drained(_NO_SLOTS, self._sorted[:0], _NO_SLOTS)
        order = in_rounds(slots, PASSES)
        count = len(order)
        self.excess += len(slots) - count
        if count > len(self._sorted):
            self._sorted = np.zeros((2 * count, ROW), np.uint8)
        lengths = lengths[order]
        width = int(lengths.max()) + 3 & ~3
        self._sorted[:count, :width] = block[rows[order], :width]
        return Drained(slots[order], self._sorted[:count], lengths)

    def _hear_others(
        self, rows: NDArray[np.intp], first: NDArray[np.uint8], slots: NDArray[np.intp], names: list[bytes],
        inbox: Inbox, now: float,
    ) -> None:  # fmt: skip
        """Checks and handshakes."""
        read = strangers = 0
        peers: Counter[int] = Counter()
        verified = self.agent.verified
        handshakes: dict[int, int] = {}
        for row, lead in zip(rows.tolist(), first.tolist(), strict=True):
            slot, size = int(slots[row]), int(inbox.lengths[row])
            if size <= 0:
                self.odd += 1
            elif lead <= 3:
                if slot != _NOBODY:
                    peers[slot] += 1
                    heard = peers[slot] <= PEER_READ and read < PEERS_READ
                    read += heard
                else:
                    strangers += 1
                    heard = strangers <= STRANGERS_READ and self.agent.verified < verified + STRANGERS_VERIFIED
                if heard:
                    self._hear_check(inbox.block[row, :size].tobytes(), names[row], now)
            elif 20 <= lead <= 63:
                handshakes[slot] = handshakes.get(slot, 0) + 1
                if slot == _NOBODY or self._aims.get(slot) != names[row]:  # CVE-2023-49786: a stranger's ClientHello
                    self.strange_handshakes += 1
                elif size <= MAX_HANDSHAKE and handshakes[slot] <= HANDSHAKES_OF_LEG:
                    if len(self._handshakes) < HANDSHAKES:
                        self._handshakes.append((slot, inbox.block[row, :size].tobytes()))
            else:
                self.odd += 1

    def _judge(self, name: bytes, data: bytes, now: float) -> int:
        """Whose telephone an RTP or RTCP packet comes from."""
        known = self._slot_of.get(name)  # since an earlier packet of this drain
        if known is not None:
            return known
        address = unpacked(name, self._family)
        if len(data) > 1 and data[1] in RTCP_TYPES:
            slot = self._plain.rtcp_claimant(address)
            return slot if slot is not None and self._streams.rtcp_source_of(slot, address, data) else _NOBODY
        slot = self._plain.claimant(address)
        if slot is None or self._streams.source_of(slot, address, data, now) is not Verdict.LATCH:
            return _NOBODY
        self._plain.bind(slot, address)
        self._plain.expect_rtcp(slot, (address[0], address[1] + 1))
        self._slot_of[name] = slot
        self._aim(slot, address)
        return slot

    def _hear_check(self, data: bytes, name: bytes, now: float) -> None:
        address = unpacked(name, self._family)
        if self._plain.is_held(address, self._slot_of.get(name)):  # it can be forged, and a telephone never checks
            self.agent.refused["taken"] += 1
            return
        checked = self.agent.check(data, address, now)
        if checked is None:
            return
        slot, answer = checked
        if self.agent.owner(address) == slot:
            self._slot_of[name] = slot
        self._follow()
        self.answered += 1
        self._outbox.send_one(self._socket.fileno(), name, answer)

    # --- out ---------------------------------------------------------------------------------------------------------
    def send(self, slots: NDArray[np.intp], places: NDArray[np.uint64], lengths: NDArray[np.integer]) -> None:
        """One datagram for each of the slots, which can all send; places, lengths: of their octets in memory."""
        self._outbox.send(self._socket.fileno(), slots, places, lengths)

    def send_rtcp(self, slot: int, data: bytes) -> None:
        """RTCP to a leg's peer, if it has one."""
        name = self._rtcp_aims.get(slot) or self._aims.get(slot)
        if name is not None:
            self._outbox.send_one(self._socket.fileno(), name, data)


_NO_SLOTS = np.zeros(0, np.int64)
