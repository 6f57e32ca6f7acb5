"""The ICE-lite agent of all legs on the shared port (RFC 8445 section 2.5): it answers checks and never sends any.

A check counts when it names a user name fragment of ours and knows its password; nothing else is answered, so that
nobody learns anything and nothing is reflected. The pair that the peer nominates is the leg's; a peer whose checks stop
has withdrawn its consent (RFC 7675). Not here: the octets of a check (stun), sockets (edge/shared_port).
"""

from collections import Counter
from dataclasses import dataclass, field

from sipconf.rtp.stun import Address, StunError, read_request, role_conflict, success

CONSENT_SECONDS = 30.0
"""A leg whose chosen pair is not checked for so long is lost (RFC 7675 section 5.1)."""
NEW_PAIRS_PER_SECOND, NEW_PAIRS_AT_ONCE = 5.0, 20
"""Addresses that may begin to check one leg; a telephone with many interfaces, or several telephones that ring, bring a
handful at once."""
MAX_PAIRS = 64
"""Addresses remembered for one leg; then those that fell silent make room."""
CHECKS_PER_SECOND, CHECKS_AT_ONCE = 50.0, 100
"""Checks of one leg that are looked at, from addresses that are none of its pairs: whoever knows a user name fragment
but no password must not use up what the peer needs to keep its consent alive."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name fragment of ours and its password."""

    ufrag: str
    password: str = field(repr=False)


@dataclass(slots=True)
class _Allowance:
    """A token bucket."""

    rate: float
    most: float
    left: float
    since: float = 0.0

    def take(self, now: float) -> bool:
        self.left = min(self.most, self.left + (now - self.since) * self.rate)
        self.since = now
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True


@dataclass(slots=True)
class _Pair:
    """One address that checks. ufrag, remote_ufrag: ours and theirs that it names; nominated: by the peer's latest
    check with that flag (s), or None."""

    ufrag: str
    remote_ufrag: str
    heard: float
    priority: int = 0
    nominated: float | None = None


@dataclass(slots=True)
class _Leg:
    slot: int
    credentials: Credentials
    fresh: Credentials | None = None  # after an ICE restart, until a pair checked with them is nominated
    remote_ufrag: str | None = None  # None: several may ring, nobody has been chosen
    fresh_remote_ufrag: str | None = None  # the peer's after that restart
    pairs: dict[Address, _Pair] = field(default_factory=dict)
    chosen: Address | None = None
    suitor: Address | None = None  # whose nomination was the last, though another pair of higher priority is chosen
    heard: float = 0.0  # the peer, on any pair: what counts while none is chosen
    lost: bool = False
    new_pairs: _Allowance = field(
        default_factory=lambda: _Allowance(NEW_PAIRS_PER_SECOND, NEW_PAIRS_AT_ONCE, NEW_PAIRS_AT_ONCE)
    )
    checks: _Allowance = field(default_factory=lambda: _Allowance(CHECKS_PER_SECOND, CHECKS_AT_ONCE, CHECKS_AT_ONCE))


class IceAgent:
    """Legs by slot. refused: checks that were not answered, by reason; verified: passwords looked at."""

    def __init__(self) -> None:
        self._legs: dict[int, _Leg] = {}
        self._by_ufrag: dict[str, _Leg] = {}
        self._owners: dict[Address, _Leg] = {}
        self._changes: list[tuple[int, Address | None]] = []
        self._forgotten: list[Address] = []
        self.refused: Counter[str] = Counter()
        self.verified = 0

    # --- legs --------------------------------------------------------------------------------------------------------
    def open(self, slot: int, credentials: Credentials, now: float) -> None:
        """Answer checks under these credentials; addresses are remembered until `choose` tells whose they are."""
        self._legs[slot] = self._by_ufrag[credentials.ufrag] = _Leg(slot, credentials, heard=now)

    def choose(self, slot: int, credentials: Credentials, remote_ufrag: str, now: float) -> None:
        """The leg's peer. Other credentials than before are an ICE restart: the pair stays until one of the restarted
        peer is nominated (RFC 8445 section 9)."""
        leg = self._legs[slot]
        if leg.remote_ufrag is None:  # the answer, which has just come, is consent too
            leg.heard = now
            for pair in leg.pairs.values():
                pair.heard = now
        if credentials.ufrag == leg.credentials.ufrag:
            leg.credentials, leg.remote_ufrag = credentials, remote_ufrag
            self._drop_fresh(leg)
        else:
            if leg.fresh is None or leg.fresh.ufrag != credentials.ufrag:
                self._use_fresh_if_checked(leg)
                self._drop_fresh(leg)
                self._by_ufrag[credentials.ufrag] = leg
            leg.fresh, leg.fresh_remote_ufrag = credentials, remote_ufrag
            if leg.remote_ufrag is None:
                leg.remote_ufrag = remote_ufrag
        mine = [(pair.nominated, address) for address, pair in leg.pairs.items()
                if pair.nominated is not None and self._is_peers(leg, pair) and now - pair.heard <= CONSENT_SECONDS
                and (leg.chosen is None or self._is_restarted(leg, pair))]  # fmt: skip
        if mine:
            address = max(mine)[1]
            if self._is_restarted(leg, leg.pairs[address]):
                self._take_restart(leg, address)
            self._choose(leg, address)

    def _use_fresh_if_checked(self, leg: _Leg) -> None:
        """A peer that restarts once more checks meanwhile with what it was told last: that is not dropped then."""
        if leg.fresh is not None and any(pair.ufrag == leg.fresh.ufrag for pair in leg.pairs.values()):
            leg.remote_ufrag = leg.fresh_remote_ufrag
            self._use_fresh(leg)

    def _use_fresh(self, leg: _Leg) -> None:
        """From now on our old credentials are unknown."""
        assert leg.fresh is not None
        self._by_ufrag.pop(leg.credentials.ufrag, None)
        leg.credentials = leg.fresh
        leg.fresh = leg.fresh_remote_ufrag = None

    def _drop_fresh(self, leg: _Leg) -> None:
        if leg.fresh is not None:
            self._by_ufrag.pop(leg.fresh.ufrag, None)
            leg.fresh = leg.fresh_remote_ufrag = None

    def close(self, slot: int) -> None:
        """Nothing is answered for this leg any more."""
        leg = self._legs.pop(slot)
        self._drop_fresh(leg)
        self._by_ufrag.pop(leg.credentials.ufrag, None)
        for address in leg.pairs:
            self._forget(address)
        self._changes = [change for change in self._changes if change[0] != slot]

    def _forget(self, address: Address) -> None:
        if self._owners.pop(address, None) is not None:
            self._forgotten.append(address)

    # --- checks ------------------------------------------------------------------------------------------------------
    def check(self, data: bytes, address: Address, now: float) -> tuple[int, bytes] | None:
        """(slot, answer) for a check that counts; None for everything else, which is counted."""
        try:
            request = read_request(data)
        except StunError:
            self.refused["malformed"] += 1
            return None
        ours, _, theirs = request.username.partition(":")  # RFC 8445 section 7.2.2: the receiver's comes first
        leg = self._by_ufrag.get(ours)
        if leg is None:
            self.refused["unknown"] += 1
            return None
        if address not in leg.pairs and not leg.checks.take(now):
            self.refused["too many"] += 1
            return None
        self.verified += 1
        credentials = leg.credentials if ours == leg.credentials.ufrag else leg.fresh
        if credentials is None or not request.is_authentic(credentials.password):
            self.refused["forged"] += 1
            return None
        if request.controlled:
            return leg.slot, role_conflict(request, credentials.password)
        pair = self._pair(leg, address, ours, theirs, now)
        if pair is None:
            return None
        pair.heard, pair.priority = now, request.priority
        if leg.remote_ufrag is None or self._is_peers(leg, pair):
            leg.heard, leg.lost = now, False
        if request.use_candidate:
            pair.nominated = now
            if self._is_peers(leg, pair):
                self._nominate(leg, address, pair)
        return leg.slot, success(request, address, credentials.password)

    def _pair(self, leg: _Leg, address: Address, ours: str, theirs: str, now: float) -> _Pair | None:
        """The pair that a check belongs to; None where its address is another leg's, or there are too many."""
        pair = leg.pairs.get(address)
        if pair is not None and pair.ufrag == ours:
            pair.remote_ufrag = theirs
            return pair
        if pair is None:
            owner = self._owners.get(address)
            if owner is not None and now - owner.pairs[address].heard < CONSENT_SECONDS:
                self.refused["taken"] += 1  # a sender's address can be forged: nobody takes a running leg's
                return None
            if not leg.new_pairs.take(now) or not self._has_room(leg, now):
                self.refused["too many"] += 1
                return None
            if owner is not None:
                del owner.pairs[address]
                if owner.chosen == address:
                    owner.chosen = None
                    self._changes.append((owner.slot, None))
            self._owners[address] = leg
        pair = leg.pairs[address] = _Pair(ours, theirs, now)
        return pair

    def _has_room(self, leg: _Leg, now: float) -> bool:
        if len(leg.pairs) >= MAX_PAIRS:
            for address, pair in list(leg.pairs.items()):
                if address != leg.chosen and now - pair.heard > CONSENT_SECONDS:
                    del leg.pairs[address]
                    self._forget(address)
        return len(leg.pairs) < MAX_PAIRS

    def _is_peers(self, leg: _Leg, pair: _Pair) -> bool:
        """Whether a pair is that of the peer that was agreed on. One that has restarted may check with our old
        credentials: Chromium goes on so with what it has checked before it had our answer."""
        if leg.fresh is not None and pair.ufrag == leg.fresh.ufrag:
            return pair.remote_ufrag == leg.fresh_remote_ufrag
        return pair.remote_ufrag in (leg.remote_ufrag, leg.fresh_remote_ufrag)

    def _is_restarted(self, leg: _Leg, pair: _Pair) -> bool:
        """Whether a pair of the peer's is the first of those that an ICE restart has brought."""
        return leg.fresh is not None and (pair.ufrag == leg.fresh.ufrag or pair.remote_ufrag != leg.remote_ufrag)

    def _take_restart(self, leg: _Leg, address: Address) -> None:
        """The peer has nominated a pair after its restart: what it has left behind is forgotten."""
        leg.remote_ufrag = leg.pairs[address].remote_ufrag
        if leg.fresh is not None and leg.pairs[address].ufrag == leg.fresh.ufrag:
            self._use_fresh(leg)
        ours = {leg.credentials.ufrag, leg.fresh.ufrag if leg.fresh else leg.credentials.ufrag}
        for other, old in list(leg.pairs.items()):
            if other != address and (old.ufrag not in ours or old.remote_ufrag != leg.remote_ufrag):
                del leg.pairs[other]
                self._forget(other)
        leg.suitor = None

    def _nominate(self, leg: _Leg, address: Address, pair: _Pair) -> None:
        """The latest nomination holds. Some agents nominate every pair they check: of those the one of the highest
        priority holds until another is nominated twice running."""
        if self._is_restarted(leg, pair):
            self._take_restart(leg, address)
            self._choose(leg, address)
            return
        chosen = leg.pairs.get(leg.chosen) if leg.chosen is not None else None
        if address == leg.chosen:
            leg.suitor = None
        elif chosen is None or pair.priority > chosen.priority or leg.suitor == address:
            leg.suitor = None
            self._choose(leg, address)
        else:
            leg.suitor = address

    def _choose(self, leg: _Leg, address: Address) -> None:
        if leg.chosen != address:
            leg.chosen = address
            self._changes.append((leg.slot, address))

    # --- what came of them -------------------------------------------------------------------------------------------
    def owner(self, address: Address) -> int | None:
        """The slot whose peer has checked from this address."""
        leg = self._owners.get(address)
        return leg.slot if leg else None

    def take_changes(self) -> list[tuple[int, Address | None]]:
        """(slot, address) of every newly chosen pair, None where there is none any more, in order."""
        changes, self._changes = self._changes, []
        return changes

    def take_forgotten(self) -> list[Address]:
        """Addresses that belong to no leg any more."""
        forgotten, self._forgotten = self._forgotten, []
        return forgotten

    def take_lost(self, now: float) -> list[int]:
        """Slots whose peers have withdrawn their consent since the last call: nothing is sent there any more."""
        lost = []
        for leg in self._legs.values():
            heard = leg.heard if leg.chosen is None else leg.pairs[leg.chosen].heard
            if leg.remote_ufrag is not None and not leg.lost and now - heard > CONSENT_SECONDS:
                leg.lost = True
                leg.suitor = None
                if leg.chosen is not None:
                    leg.chosen = None
                    self._changes.append((leg.slot, None))
                lost.append(leg.slot)
        return lost
