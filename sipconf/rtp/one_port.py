"""Telephones that all send to one port: whose an address is, where nothing in the packet tells.

An address is a leg's by being the very one that its signalling named, or by coming from the host its signalling came
from while no other leg could claim it so. Else it waits: a wrong guess would put a voice into another, confidential
room. Not here: whether a source proves itself (latching), sockets (edge/shared_port).
"""

from typing import Any

from sipconf.rtp.latching import Address, plain


class PlainLegs:
    """Legs by slot: unbound ones that wait for their peer, and bound ones."""

    def __init__(self) -> None:
        self._remote: dict[int, Address] = {}  # of unbound legs
        self._host: dict[int, str] = {}
        self._by_remote: dict[Address, set[int]] = {}
        self._by_host: dict[str, set[int]] = {}
        self._bound: dict[int, Address] = {}
        self._rtcp: dict[Address, int] = {}
        self._rtcp_of: dict[int, set[Address]] = {}

    def __len__(self) -> int:
        return len(self._host) + len(self._bound)

    def __contains__(self, slot: int) -> bool:
        return slot in self._host or slot in self._bound

    def wait(self, slot: int, remote: Address | None, host: str) -> Address | None:
        """A leg looks for its peer, from now on or anew. remote: the signalled address; host: where the signalling came
        from. The address that it had."""
        had = self.close(slot)
        self._host[slot] = host = plain((host, 0))[0]
        self._by_host.setdefault(host, set()).add(slot)
        if remote is not None:
            self._remote[slot] = remote = plain(remote)
            self._by_remote.setdefault(remote, set()).add(slot)
        return had

    def expect_rtcp(self, slot: int, address: Address | None) -> None:
        """RTCP from this address is the leg's, unless another leg's came first."""
        if address is not None and self._rtcp.setdefault(plain(address), slot) == slot:
            self._rtcp_of.setdefault(slot, set()).add(plain(address))

    def bind(self, slot: int, address: Address) -> None:
        """The leg's peer has proven itself."""
        self._leave(slot)
        self._bound[slot] = address

    def close(self, slot: int) -> Address | None:
        """The leg waits no more; the address that it was bound to."""
        self._leave(slot)
        for address in self._rtcp_of.pop(slot, ()):
            del self._rtcp[address]
        return self._bound.pop(slot, None)

    def _leave(self, slot: int) -> None:
        host, remote = self._host.pop(slot, None), self._remote.pop(slot, None)
        if host is not None:
            _discard(self._by_host, host, slot)
        if remote is not None:
            _discard(self._by_remote, remote, slot)

    def claimant(self, address: Address) -> int | None:
        """The only unbound leg whose peer may be there; None for nobody and for several.

        Who named an address of a host that its signalling did not come from has no better claim to it than a leg whose
        signalling did.
        """
        named = self._by_remote.get(address, set())
        neighbours = self._by_host.get(address[0], set())
        at_home = named & neighbours
        claimants = at_home or named | neighbours
        return next(iter(claimants)) if len(claimants) == 1 else None

    def is_held(self, address: Address, slot: int | None) -> bool:
        """Whether an address, at present that of this slot or of none, is a telephone's: it has proven so there, or its
        signalling came from that very host and named it."""
        return slot in self._bound or not self._by_remote.get(address, set()).isdisjoint(
            self._by_host.get(address[0], set()))

    def rtcp_claimant(self, address: Address) -> int | None:
        """Whose RTCP comes from there."""
        return self._rtcp.get(address)


def _discard(places: dict[Any, set[int]], place: Any, slot: int) -> None:
    places[place].discard(slot)
    if not places[place]:
        del places[place]
