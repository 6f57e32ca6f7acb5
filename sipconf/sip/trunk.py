"""Which trunk a source address belongs to. Compares addresses; edge/resolver looks names up."""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sipconf.errors import MisuseError

MAX_MATCHED = 4096
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class TrunkSpec:
    """addresses: those the admin wrote (addresses or networks like "192.0.2.0/28"), besides what the trunk's host
    resolves to; peer: the company's own telephone system, which may dial extensions."""

    name: str
    addresses: frozenset[str]
    peer: bool = False


class Trunks:
    """Every trunk by its addresses. Where two share an address, the first one listed has it."""

    def __init__(self, trunks: Sequence[TrunkSpec] = ()) -> None:
        self._resolved: dict[str, tuple[str, frozenset[str]]] = {}  # trunk -> host name, what it resolved to last
        self.replace(trunks)

    def replace(self, trunks: Sequence[TrunkSpec]) -> None:
        """Other trunks from now on (the configuration changed). One that keeps its name keeps its resolved addresses
        until the next resolution, so that an edit elsewhere in the file refuses no call."""
        self._trunks = {trunk.name: trunk for trunk in trunks}
        self._resolved = {name: known for name, known in self._resolved.items() if name in self._trunks}
        self._index()

    def set_resolved(self, name: str, host: str, addresses: Iterable[str]) -> None:
        """What the trunk's host name resolves to now. Nothing at all is a resolver in trouble: the last answer for the
        same host stays. Raises MisuseError for an unknown trunk."""
        if name not in self._trunks:
            raise MisuseError(f"no trunk is called {name!r}")
        found = frozenset(addresses)
        last_host, last = self._resolved.get(name, ("", frozenset()))
        self._resolved[name] = (host, found or (last if last_host == host else found))
        if self._resolved[name][1] != last:
            self._index()

    def get(self, name: str) -> TrunkSpec | None:
        return self._trunks.get(name)

    def resolved(self, name: str) -> frozenset[str]:
        """What the trunk's host resolved to last."""
        return self._resolved.get(name, ("", frozenset()))[1]

    def match(self, host: str) -> TrunkSpec | None:
        """The trunk that this source address is, or None."""
        if not self._trunks:
            return None
        if host not in self._matched:
            if len(self._matched) >= MAX_MATCHED:
                self._matched.clear()
            self._matched[host] = self._find(host)
        return self._matched[host]

    def _find(self, host: str) -> TrunkSpec | None:
        normal = normal_address(host)
        if normal is None:
            return None
        trunk = self._exact.get(normal)
        if trunk is not None or not self._networks:
            return trunk
        address = ipaddress.ip_address(normal)
        return next((trunk for network, trunk in self._networks if address in network), None)

    def _index(self) -> None:
        self._matched: dict[str, TrunkSpec | None] = {}  # asked for each message: what was found before
        self._exact: dict[str, TrunkSpec] = {}
        self._networks: list[tuple[_Network, TrunkSpec]] = []
        for trunk in self._trunks.values():
            for text in sorted(trunk.addresses | self.resolved(trunk.name)):
                try:
                    if "/" in text:
                        self._networks.append((ipaddress.ip_network(text, strict=False), trunk))
                        continue
                except ValueError:
                    raise MisuseError(f"trunk {trunk.name!r}: {text!r} is no network") from None
                normal = normal_address(text)
                if normal is None:
                    raise MisuseError(f"trunk {trunk.name!r}: {text!r} is no address")
                self._exact.setdefault(normal, trunk)


def normal_address(host: str) -> str | None:
    """One spelling per address: IPv4-mapped IPv6 as IPv4, no brackets, no zone, shortest form. None for a name."""
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    if address.version == 6 and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
