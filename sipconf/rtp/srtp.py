"""SRTP and SRTCP of all legs, in place on the block's rows (RFC 3711, RFC 7714), by libsrtp.

A leg that is guarded sends and takes nothing in the clear, with keys or yet without them. Failures are counted and
change nothing: a replayed or forged packet is one that never came. Not here: where keys come from (RFC 4568: the
signalling; RFC 5764: the DTLS handshake of the front process) and sockets (edge).
"""

import contextlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pylibsrtp import Error, Policy, Session
from pylibsrtp._binding import ffi, lib

from sipconf.errors import SipconfError
from sipconf.rtp.packet import HEADER_BYTES, ROW, RTCP_TYPES

PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16 + 14),
    "AES_CM_128_HMAC_SHA1_32": (Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 16 + 14),
    "AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16 + 12),
    "AEAD_AES_256_GCM": (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32 + 12),
}
"""Profile -> (libsrtp's number, octets of master key and salt joined). _32 means 80 bits in SRTCP (RFC 4568 section
6.2), which libsrtp sees to."""
WINDOW = 256
"""Packets behind the newest one that may still come, once each: 5 s of speech. Every packet moves them all along."""
TRAILER = 32
"""Octets that protection may add: a tag of 16, in SRTCP an index of 4 too."""
MOST_SOURCES = 16
"""SSRCs of one leg whose windows are kept. libsrtp would keep every one as long as the keys live, and looks through all
of them for each packet. What was recorded of a source that so many others have followed could be heard once more."""

_REPLAYED = frozenset({9, 10})  # srtp_err_status_replay_fail, _replay_old


class KeysError(SipconfError):
    """Keys that no session can be made of."""


@dataclass(slots=True)
class _Sessions:
    """Both directions of one leg. profile, rx, tx: what they were made of; sources: SSRCs that have proven authentic,
    the latest last; judged: a packet that was decrypted when its source was judged, as (protected header, clear
    octets)."""

    profile: str
    rx: bytes = field(repr=False)
    tx: bytes = field(repr=False)
    inbound: Session = field(repr=False)
    outbound: Session = field(repr=False)
    sources: dict[int, None] = field(default_factory=dict)
    judged: tuple[bytes, bytes] | None = field(default=None, repr=False)


class Lines:
    """Pointers to the rows of a block uint8 (rows, octets) and to as many int32 lengths, for calls into libsrtp."""

    def __init__(self, block: NDArray[np.uint8]) -> None:
        rows, stride = len(block), block.strides[0]
        self.place = block.ctypes.data, rows
        first = ffi.cast("unsigned char *", self.place[0])
        self.pointers = [first + row * stride for row in range(rows)]
        self.lengths = np.zeros(rows, np.int32)
        length = ffi.cast("int *", self.lengths.ctypes.data)
        self.length_pointers = [length + row for row in range(rows)]


class SrtpColumns:
    """Sessions by slot. guarded: bool by slot, nothing passes in the clear; forged, replayed, early: packets by slot
    that failed their tag, that had come before, that came before there were keys; failures: all of these together, of
    all legs ever. count: guarded legs. on_failure: told the slot of each such packet."""

    def __init__(self, capacity: int = 64) -> None:
        self.on_failure: Callable[[int], None] = lambda slot: None
        self.guarded = np.zeros(capacity, bool)
        self.forged = np.zeros(capacity, np.int64)
        self.replayed = np.zeros(capacity, np.int64)
        self.early = np.zeros(capacity, np.int64)
        self._sessions: list[_Sessions | None] = [None] * capacity
        self._inbound: list[Any] = [None] * capacity  # srtp_t of each session, for whole batches
        self._outbound: list[Any] = [None] * capacity
        self.failures = 0
        self._ssrc = np.full(capacity, -1, np.int64)  # whose packets came last
        self._lines: list[Lines] = []
        self._scratch = np.zeros((1, ROW + TRAILER), np.uint8)
        self._scratch_lines = Lines(self._scratch)
        self.count = 0

    # --- slots -------------------------------------------------------------------------------------------------------
    def reserve(self, slot: int) -> None:
        """Make sure that a slot exists."""
        more = max(slot + 1, 2 * len(self.guarded)) - len(self.guarded) if slot >= len(self.guarded) else 0
        if not more:
            return
        for name, value in (("guarded", 0), ("forged", 0), ("replayed", 0), ("early", 0), ("_ssrc", -1)):
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.full(more, value, column.dtype)]))
        for columns in (self._sessions, self._inbound, self._outbound):
            columns += [None] * more

    def guard(self, slot: int) -> None:
        """From now on nothing of this leg passes in the clear."""
        self.reserve(slot)
        if not self.guarded[slot]:
            self.guarded[slot] = True
            self.forged[slot] = self.replayed[slot] = self.early[slot] = 0
            self._ssrc[slot] = -1
            self.count += 1

    def set_keys(self, slot: int, profile: str, rx: bytes, tx: bytes) -> None:
        """Guard a leg with these keys: master key and salt joined, of what comes and of what goes. The same keys again
        change nothing: their sessions go on. Raises KeysError."""
        known = PROFILES.get(profile)
        if known is None or len(rx) != known[1] or len(tx) != known[1]:
            raise KeysError(f"no SRTP keys of profile {profile}")
        self.guard(slot)
        old = self._sessions[slot]
        same_rx = old is not None and old.profile == profile and hmac.compare_digest(old.rx, rx)
        same_tx = old is not None and old.profile == profile and hmac.compare_digest(old.tx, tx)
        if same_rx and same_tx:
            return
        sessions = _Sessions(
            profile, rx, tx,
            old.inbound if old and same_rx else _session(known[0], rx, Policy.SSRC_ANY_INBOUND),
            old.outbound if old and same_tx else _session(known[0], tx, Policy.SSRC_ANY_OUTBOUND),
        )  # fmt: skip
        if old and same_rx:
            sessions.sources = old.sources
        self._sessions[slot] = sessions
        self._inbound[slot] = sessions.inbound._srtp[0]
        self._outbound[slot] = sessions.outbound._srtp[0]
        self._ssrc[slot] = -1

    def is_guarded(self, slot: int) -> bool:
        """Whether nothing of a leg passes in the clear."""
        return slot < len(self.guarded) and bool(self.guarded[slot])

    def has_keys(self, slot: int) -> bool:
        """Whether a leg's packets can be protected."""
        return slot < len(self._sessions) and self._sessions[slot] is not None

    def forget(self, slot: int) -> None:
        """The leg is closed: its keys are freed."""
        if slot < len(self.guarded) and self.guarded[slot]:
            self.guarded[slot] = False
            self._sessions[slot] = self._inbound[slot] = self._outbound[slot] = None
            self.count -= 1

    # --- in ----------------------------------------------------------------------------------------------------------
    def unprotect(self, slots: NDArray[np.intp], block: NDArray[np.uint8], lengths: NDArray[np.int64]) -> None:
        """Decrypt the rows of guarded legs in place. slots, lengths: int (P,); block: uint8 (P or more, octets), the
        octets a multiple of 4. The length of a row that fails becomes 0."""
        self.reserve(int(slots.max(initial=0)))
        mine = self.guarded.take(slots)
        mine &= lengths > 0
        rows = np.flatnonzero(mine)
        if not len(rows):
            return
        lines = self._lines_of(block)
        legs = slots[rows].tolist()
        handles = [self._inbound[slot] for slot in legs]
        if None in handles:
            rows, legs, handles = self._drop_early(rows, legs, handles, lengths)
        second = block[rows, 1]
        rtcp = (second >= RTCP_TYPES.start) & (second < RTCP_TYPES.stop)
        if np.count_nonzero(rtcp):
            for i in np.flatnonzero(rtcp).tolist():
                row = int(rows[i])
                self._unprotect_report(legs[i], row, block, lines, lengths)
            rows = rows[~rtcp]
            legs = slots[rows].tolist()
            handles = [self._inbound[slot] for slot in legs]
        if len(rows):
            self._unprotect_rtp(rows, legs, handles, block, lines, lengths)

    def _unprotect_rtp(
        self, rows: NDArray[np.intp], legs: list[int], handles: list[Any], block: NDArray[np.uint8], lines: Lines,
        lengths: NDArray[np.int64],
    ) -> None:  # fmt: skip
        ssrc = block[: len(lengths)].view(">u4")[rows, 2].astype(np.int64)
        slots = np.array(legs, np.intp)
        known = ssrc == self._ssrc.take(slots)
        places = rows.tolist()
        lines.lengths[rows] = lengths[rows]
        pointers, length_pointers = lines.pointers, lines.length_pointers
        if places[-1] != len(places) - 1:  # there are others between them
            pointers, length_pointers = [pointers[i] for i in places], [length_pointers[i] for i in places]
        status = list(map(lib.srtp_unprotect, handles, pointers, length_pointers))
        lengths[rows] = lines.lengths[rows]
        failed = np.flatnonzero(status)
        for i in failed.tolist():
            self._fail(legs[i], status[i], places[i], lengths, block)
        for i in np.flatnonzero(~known).tolist():
            if not status[i]:
                self._believe(legs[i], int(ssrc[i]))

    def _believe(self, slot: int, source: int) -> None:
        """An SSRC is that of the leg's speech."""
        self._remember(slot, source)
        self._ssrc[slot] = source

    def _remember(self, slot: int, source: int) -> None:
        """An SSRC has proven to be the leg's; the one that was heard longest ago makes room for it."""
        sessions = self._sessions[slot]
        assert sessions is not None
        sources = sessions.sources
        sources.pop(source, None)
        if len(sources) >= MOST_SOURCES:
            oldest = next(one for one in sources if one != self._ssrc[slot])
            del sources[oldest]
            with contextlib.suppress(Error):  # an earlier packet of the same drain may have ended it
                sessions.inbound.remove_stream(oldest)
        sources[source] = None

    def _drop_early(
        self, rows: NDArray[np.intp], legs: list[int], handles: list[Any], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.intp], list[int], list[Any]]:
        """Rows of legs that have keys; the others hold nothing."""
        early = [i for i, handle in enumerate(handles) if handle is None]
        for i in early:
            self._note(self.early, legs[i])
        lengths[rows[early]] = 0
        kept = [i for i, handle in enumerate(handles) if handle is not None]
        return rows[kept], [legs[i] for i in kept], [handles[i] for i in kept]

    def _unprotect_report(
        self, slot: int, row: int, block: NDArray[np.uint8], lines: Lines, lengths: NDArray[np.int64]
    ) -> None:
        lines.lengths[row] = lengths[row]
        status = lib.srtp_unprotect_rtcp(self._inbound[slot], lines.pointers[row], lines.length_pointers[row])
        lengths[row] = 0 if status else lines.lengths[row]
        if status:
            self._count(slot, status)
        else:
            self._remember(slot, int.from_bytes(block[row, 4:8].tobytes()))

    def _fail(
        self, slot: int, status: int, row: int, lengths: NDArray[np.int64], block: NDArray[np.uint8]
    ) -> None:
        """A packet that fails holds nothing, unless it is the one by which its source was judged."""
        sessions = self._sessions[slot]
        assert sessions is not None
        if status in _REPLAYED and sessions.judged is not None:
            header, clear = sessions.judged
            if block[row, :HEADER_BYTES].tobytes() == header:
                block[row, : len(clear)] = np.frombuffer(clear, np.uint8)
                lengths[row] = len(clear)
                sessions.judged = None
                return
        lengths[row] = 0
        self._count(slot, status)

    def _count(self, slot: int, status: int) -> None:
        self._note(self.replayed if status in _REPLAYED else self.forged, slot)

    def _note(self, column: NDArray[np.int64], slot: int) -> None:
        column[slot] += 1
        self.failures += 1
        self.on_failure(slot)

    def is_authentic(self, slot: int, datagram: memoryview | bytes) -> bool:
        """Whether an RTP packet is its leg's peer's, which only a guarded leg can tell: asked of every packet whose
        source is judged, and never twice of one, which would have come before. The last one asked of may come to
        unprotect too, in its row."""
        if not self.is_guarded(slot):
            return True
        sessions = self._sessions[slot]
        if sessions is None:
            self._note(self.early, slot)
            return False
        header = bytes(datagram[:HEADER_BYTES])
        clear = self._one(lib.srtp_unprotect, slot, self._inbound[slot], datagram)
        if clear is None or len(header) < HEADER_BYTES:
            return False
        self._believe(slot, int.from_bytes(header[8:12]))
        sessions.judged = header, clear
        return True

    def unprotect_rtcp(self, slot: int, datagram: bytes) -> bytes | None:
        """RTCP in the clear; None where it is not the peer's of a guarded leg, or came before."""
        if not self.is_guarded(slot):
            return datagram
        if self._inbound[slot] is None:
            self._note(self.early, slot)
            return None
        clear = self._one(lib.srtp_unprotect_rtcp, slot, self._inbound[slot], datagram)
        if clear is not None:
            self._remember(slot, int.from_bytes(datagram[4:8]))
        return clear

    # --- out ---------------------------------------------------------------------------------------------------------
    def protect(self, slots: Sequence[int], lines: Lines) -> bool:
        """Encrypt the first rows of lines, a packet of each of the slots, which must all have keys, with TRAILER octets
        behind each; lines.lengths grow. Whether all could be; the length of one that could not becomes 0."""
        count = len(slots)
        status = list(
            map(lib.srtp_protect, map(self._outbound.__getitem__, slots), lines.pointers, lines.length_pointers)
        )
        if not any(status):
            return True
        lines.lengths[:count][np.array(status) != 0] = 0
        return False

    def protect_rtcp(self, slot: int, datagram: bytes) -> bytes | None:
        """A guarded leg's RTCP as it is sent; None before there are keys."""
        if self._outbound[slot] is None:
            return None
        return self._one(lib.srtp_protect_rtcp, None, self._outbound[slot], datagram)

    def _one(self, call: Any, slot: int | None, handle: Any, datagram: memoryview | bytes) -> bytes | None:
        """One call on a copy; None where it fails, and for what is longer than any datagram that is read or written.
        slot: whose failure is counted."""
        size, lines = len(datagram), self._scratch_lines
        if size + TRAILER > self._scratch.shape[1]:
            return None
        self._scratch[0, :size] = np.frombuffer(datagram, np.uint8)
        lines.lengths[0] = size
        status = call(handle, lines.pointers[0], lines.length_pointers[0])
        if status:
            if slot is not None:
                self._count(slot, status)
            return None
        return self._scratch[0, : lines.lengths[0]].tobytes()

    def _lines_of(self, block: NDArray[np.uint8]) -> Lines:
        place = block.ctypes.data
        for lines in self._lines:
            if lines.place[0] == place and lines.place[1] >= len(block):
                return lines
        whole = block.base  # the rows of many drains
        lines = Lines(whole if isinstance(whole, np.ndarray) and whole.ndim == 2 else block)
        self._lines = [*self._lines[-1:], lines]  # of what comes to ports and of what comes to the shared one
        return lines


def _session(profile: int, key: bytes, ssrc_type: int) -> Session:
    policy = Policy(key=key, ssrc_type=ssrc_type, srtp_profile=profile)
    policy.window_size = WINDOW
    policy.allow_repeat_tx = False
    return Session(policy)
