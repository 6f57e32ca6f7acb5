"""Whose packets a leg takes: symmetric RTP with a short memory and no generosity.

A leg's peer is the address its signalling named, or, behind a NAT, some port of the host its signalling came from;
nobody else is ever considered, the first source that proves itself is kept, and only new signalling opens the question
again. Addresses are (host, port). Not here: columns of the streams (streams) and sockets (edge/ports).
"""

from dataclasses import dataclass, field
from enum import Enum

from sipconf.rtp.probation import Probation

Address = tuple[str, int]

NAT_GRACE = 0.2
"""Seconds for which the signalled address alone may win, when the signalling came from another host than it names."""
SAME_HOST_GRACE = 1.0
"""The same when it came from that very host: another port of it is then less likely the peer than a neighbour."""
PREFERENCE = 2.0
"""Seconds for which a packet from the signalled address keeps every other source out."""
STILL_TALKING = 1.0
"""A peer heard within so many seconds keeps its latch through new signalling that names the same addresses."""
MAX_CANDIDATES = 8
"""Sources on probation at once for one leg; those that fell silent make room."""


class Verdict(Enum):
    """What to do with a datagram: ACCEPT it, DROP it, or accept it and LATCH onto its source."""

    ACCEPT = 0
    DROP = 1
    LATCH = 2


@dataclass(slots=True)
class _Candidate:
    heard: float
    probation: Probation = field(default_factory=Probation)


@dataclass(slots=True)
class Latch:
    """One leg's question, open until a source has been latched.

    remote: the signalled address or None; host: where the signalling came from; since: when it did (s). proven: the
    probation that the latched source has served.
    """

    remote: Address | None
    host: str
    remote_rtcp: Address | None
    since: float
    latched: Address | None = None
    proven: Probation | None = None
    _rtcp: Address | None = None  # where the last RTCP came from
    _remote_heard: float = float("-inf")
    _candidates: dict[Address, _Candidate] = field(default_factory=dict)

    def allows(self, address: Address) -> bool:
        """Whether this source may be considered at all."""
        if self.latched is not None:
            return address == self.latched
        return address == self.remote or address[0] == self.host

    def consider(self, address: Address, ssrc: int, sequence: int, now: float) -> Verdict:
        """Judge a well-formed packet of an acceptable payload type from an allowed source."""
        if self.latched is not None:
            return Verdict.ACCEPT
        if address == self.remote:
            self._remote_heard = now
        candidate = self._candidate(address, now)
        if candidate is None or not candidate.probation.hear(ssrc, sequence):
            return Verdict.DROP
        if address != self.remote and self.remote is not None:
            grace = SAME_HOST_GRACE if self.remote[0] == self.host else NAT_GRACE
            if now < self.since + grace or now < self._remote_heard + PREFERENCE:
                return Verdict.DROP
        self.latched, self.proven = address, candidate.probation
        self._candidates.clear()
        return Verdict.LATCH

    def _candidate(self, address: Address, now: float) -> _Candidate | None:
        """Whom a packet comes from; None where there are too many on probation already."""
        candidate = self._candidates.get(address)
        if candidate is None:
            if len(self._candidates) >= MAX_CANDIDATES:
                for known, other in list(self._candidates.items()):
                    if now > other.heard + PREFERENCE or address == self.remote:
                        del self._candidates[known]
            if len(self._candidates) >= MAX_CANDIDATES:
                return None
            candidate = self._candidates[address] = _Candidate(now)
        candidate.heard = now
        return candidate

    def allows_rtcp(self, address: Address, ssrc_known: bool) -> bool:
        """The same question for RTCP; ssrc_known: it names the SSRC of the stream we take.

        Where a NAT has changed the address of the stream it has chosen a port for RTCP too. A host alone proves little
        (many telephones may share it), so such a port must know the SSRC, and come before any other.
        """
        expected = [self.remote_rtcp]
        if self.latched is not None:
            host, port = self.latched
            expected += [self.latched, (host, port + 1)]
            behind_nat = self.latched != self.remote
            if behind_nat and self._rtcp is None and address[0] == host and ssrc_known:
                expected.append(address)
        if address not in expected and address != self._rtcp:
            return False
        self._rtcp = address
        return True


def plain(address: tuple) -> Address:
    """(host, port) of a socket's address: without scope, and an IPv4-mapped host as IPv4."""
    host = address[0].partition("%")[0].lower()
    return (host.removeprefix("::ffff:") if "." in host else host, address[1])
