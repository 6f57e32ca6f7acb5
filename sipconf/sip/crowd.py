"""Who is connected to us by streams, over all transports: how many in all and from one source, and who makes room.

Room is made by those who never said anything, the oldest first; then by strangers, the one longest silent first. A
connection that carries a registration or a call stays. Knows no bytes.
"""

from collections.abc import Iterator
from typing import Protocol


class Guest(Protocol):
    """A connection that a peer opened."""

    @property
    def source(self) -> str:
        """By what it is counted (flow.network_of)."""

    @property
    def is_used(self) -> bool:
        """Does a registration or a call need it?"""

    def abort(self, reason: str) -> None: ...


class _Places:
    """Guests that share a limit. silent: no message yet; spoken: those who sent one, the longest silent first; who was
    found in use is left out of both until the next message."""

    def __init__(self) -> None:
        self.guests: set[Guest] = set()
        self.silent: dict[Guest, None] = {}
        self.spoken: dict[Guest, None] = {}

    def leave(self, guest: Guest) -> None:
        self.guests.discard(guest)
        self.silent.pop(guest, None)
        self.spoken.pop(guest, None)

    def victim(self) -> Guest | None:
        if self.silent:
            return next(iter(self.silent))
        while self.spoken:
            guest = next(iter(self.spoken))
            if not guest.is_used:
                return guest
            del self.spoken[guest]
        return None


class Crowd:
    """total, per_source: connections that peers may have open; handshakes: those among them still in a handshake."""

    def __init__(self, total: int, per_source: int, handshakes: int) -> None:
        self._limits = (total, per_source, handshakes)
        self._all = _Places()
        self._sources: dict[str, _Places] = {}
        self._shaking: dict[Guest, None] = {}

    def __len__(self) -> int:
        return len(self._all.guests)

    def enter(self, guest: Guest, *, shaking: bool) -> bool:
        """Room for one more? Where there is none, somebody may have to go for it; False where nobody can."""
        total, per_source, handshakes = self._limits
        source = guest.source
        mine = self._sources.get(source)
        if mine is not None and len(mine.guests) >= per_source and not self._make_room(mine):
            return False
        if len(self._all.guests) >= total and not self._make_room(self._all):
            return False
        if shaking:
            if len(self._shaking) >= handshakes:
                self._drop(next(iter(self._shaking)))
            self._shaking[guest] = None
        for places in (self._all, self._sources.setdefault(source, _Places())):
            places.guests.add(guest)
            places.silent[guest] = None
        return True

    def shaken(self, guest: Guest) -> None:
        """Its handshake is done."""
        self._shaking.pop(guest, None)

    def spoke(self, guest: Guest) -> None:
        """It sent a message."""
        for places in self._places_of(guest):
            if guest in places.guests:
                places.silent.pop(guest, None)
                places.spoken.pop(guest, None)
                places.spoken[guest] = None

    def leave(self, guest: Guest) -> None:
        """It is gone; once more is no error."""
        self._shaking.pop(guest, None)
        for places in self._places_of(guest):
            places.leave(guest)
        source = guest.source
        if source in self._sources and not self._sources[source].guests:
            del self._sources[source]

    def _places_of(self, guest: Guest) -> Iterator[_Places]:
        yield self._all
        mine = self._sources.get(guest.source)
        if mine is not None:
            yield mine

    def _make_room(self, places: _Places) -> bool:
        victim = places.victim()
        if victim is None:
            return False
        self._drop(victim)
        return True

    def _drop(self, guest: Guest) -> None:
        self.leave(guest)  # now: the loop reports its end later
        guest.abort("it makes room for another")
