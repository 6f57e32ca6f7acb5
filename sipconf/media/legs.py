"""The plane's legs: what the commands said about each, and the columns by slot that the tick reads.

Not here: the tick (plane), a leg's receive state (rtp.streams) and its place in the mix (the bank's mixer
columns).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from sipconf.media.bank import Bank
from sipconf.media.protocol import Address, ConnectLeg, PlayToLeg
from sipconf.media.rows import FIRST_CAPACITY, Numbers, grown

SENDING = frozenset({"sendrecv", "sendonly"})
RECEIVING = frozenset({"sendrecv", "recvonly"})


@dataclass(slots=True)
class Leg:
    """One leg. bank and row are set once it is connected; sender numbers outlive a change of bank.

    heard_from: addresses that something has come from; allowance: packets left for others (media.unproven).
    followed_at: when the peer last changed over to another format. pair: the peer's checked address on the shared
    port; keyed: its packets can be encrypted; own_ports: it was opened with a pair of its own."""

    number: int
    slot: int
    cname: str
    ssrc: int
    sequence: int
    timestamp: int
    terms: ConnectLeg | None = None
    bank: Bank | None = None
    row: int = -1
    room: int | None = None
    muted: bool = False
    level_matching: bool = False
    guards: bool = False
    guard: str | None = None
    playing: PlayToLeg | None = None
    heard_from: set[Address] = field(default_factory=set)
    allowance: int = 0
    followed_at: float = -math.inf
    pair: Address | None = None
    keyed: bool = False
    own_ports: bool = True

    @property
    def checked(self) -> bool:
        """Whether it lives on the shared port, where checks tell its peer's address."""
        return self.terms is not None and self.terms.webrtc is not None

    @property
    def heard(self) -> bool:
        """Whether what this leg says belongs in the mix: not muted, not on hold in either direction, so that
        nobody's music on hold fills a room, and nothing found by a guard."""
        return self.may_speak and self.guard is None

    @property
    def may_speak(self) -> bool:
        """Whether it would be heard if no guard had anything against it."""
        return not self.muted and self.terms is not None and self.terms.direction == "sendrecv"

    @property
    def keys_in_band(self) -> bool:
        """Whether this leg's digits can only come as tones: telephone-event was not agreed on."""
        return self.should_send and self.terms is not None and self.terms.telephone_event is None

    @property
    def should_send(self) -> bool:
        """Whether the peer is expected to send us RTP."""
        return self.terms is not None and self.terms.direction in RECEIVING


class Legs:
    """All legs by number and by slot.

    Columns by slot: number_of int64, bank_of int64 (Bank.index, -1 none), row_of int64, should_send bool (the peer
    is expected to send us RTP), reported_silent bool.
    """

    def __init__(self) -> None:
        self._by_number: dict[int, Leg] = {}
        self._by_slot: dict[int, Leg] = {}
        self._slots = Numbers()
        self.number_of = np.zeros(FIRST_CAPACITY, np.int64)
        self.bank_of = np.full(FIRST_CAPACITY, -1, np.int64)
        self.row_of = np.zeros(FIRST_CAPACITY, np.int64)
        self.should_send = np.zeros(FIRST_CAPACITY, bool)
        self.reported_silent = np.zeros(FIRST_CAPACITY, bool)

    def open(self, number: int, cname: str, ssrc: int, sequence: int, timestamp: int) -> Leg:
        """A new leg, in a slot of its own; ssrc, sequence, timestamp: where its packets begin."""
        slot = self._slots.take()
        if slot >= len(self.row_of):
            for name in ("number_of", "bank_of", "row_of", "should_send", "reported_silent"):
                setattr(self, name, grown(getattr(self, name), slot + 1))
            self.bank_of[slot:] = -1
        self.number_of[slot] = number
        self.should_send[slot] = self.reported_silent[slot] = False
        leg = Leg(number, slot, cname, ssrc, sequence, timestamp)
        self._by_number[number] = self._by_slot[slot] = leg
        return leg

    def close(self, leg: Leg) -> None:
        """Forget a leg; its slot is free."""
        leg.bank, leg.row = None, -1
        self.bank_of[leg.slot] = -1
        del self._by_number[leg.number], self._by_slot[leg.slot]
        self._slots.give(leg.slot)

    def seat(self, leg: Leg, bank: Bank, row: int) -> None:
        """Note that a leg has a row of a bank."""
        leg.bank, leg.row = bank, row
        self.bank_of[leg.slot], self.row_of[leg.slot] = bank.index, row

    def get(self, number: int) -> Leg | None:
        """The open leg of this number."""
        return self._by_number.get(number)

    def at(self, slot: int) -> Leg | None:
        """The open leg that has a slot."""
        return self._by_slot.get(slot)

    def number_at(self, slot: int) -> int:
        """The number of the leg that has a slot in use."""
        return self._by_slot[slot].number

    @property
    def highest(self) -> int:
        """Highest used slot + 1."""
        return self._slots.size

    def __len__(self) -> int:
        return len(self._by_number)

    def __iter__(self) -> Iterator[Leg]:
        return iter(self._by_number.values())
