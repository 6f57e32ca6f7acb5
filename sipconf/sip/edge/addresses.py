"""Which of our addresses a peer can reach: what stands in Contact, Via and SDP. Asks the kernel, hence at the edge."""

import ipaddress
import logging
import socket
from collections.abc import Sequence
from functools import lru_cache

import ifaddr

from sipconf.sip.flow import Address, Flow
from sipconf.sip.trunk import normal_address

log = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
ROUTES_REMEMBERED = 4096
MAX_CANDIDATES = 16
"""What one answer tells: a machine may have an interface for each of its containers."""


def private_networks() -> list[Network]:
    """The private networks that this machine's interfaces are in (loopback and link-local included)."""
    found: list[Network] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            host = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            network = ipaddress.ip_network(f"{host}/{ip.network_prefix}", strict=False)
            if network.is_private or network.is_link_local:
                found.append(network)
    return found


def interface_addresses() -> list[str]:
    """The addresses of this machine's interfaces, those of a single link left out: a browser cannot use them. Read each
    time, for interfaces come and go."""
    found = (ip.ip if isinstance(ip.ip, str) else ip.ip[0] for adapter in ifaddr.get_adapters() for ip in adapter.ips)
    return [host for host in found if not ipaddress.ip_address(host).is_link_local]


class Addresses:
    """Our address as each peer sees it.

    advertise: the public address, told to peers outside local_networks; local_networks None: the private networks of
    our interfaces.
    """

    def __init__(self, advertise: str | None = None, local_networks: Sequence[str] | None = None) -> None:
        self._advertise = advertise
        self._local = ([ipaddress.ip_network(text, strict=False) for text in local_networks]
                       if local_networks is not None else private_networks())
        self._route = lru_cache(ROUTES_REMEMBERED)(_source_address)

    def is_local(self, host: str) -> bool:
        """True where a peer is inside our networks, or on this machine."""
        plain = normal_address(host)
        if plain is None:
            return False
        address = ipaddress.ip_address(plain)
        return address.is_loopback or any(address in network for network in self._local)

    def host_for(self, flow: Flow) -> str:
        """The address that this flow's peer should send to."""
        if self._advertise is not None and not self.is_local(flow.remote[0]):
            return self._advertise
        local, remote = normal_address(flow.local[0]), normal_address(flow.remote[0])
        if local is not None:
            ours = ipaddress.ip_address(local)
            # By loopback a proxy of this machine has come, and its clients are elsewhere.
            if not ours.is_unspecified and (not ours.is_loopback or _is_loopback(remote)):
                return local
        return self._route(remote or flow.remote[0])

    def candidates_for(self, flow: Flow) -> tuple[str, ...]:
        """Every address at which a browser behind this flow may find our media, the most likely first (docs/adr/0012).

        Its signalling may come by a proxy, so that its flow tells little: it gets the addresses of all interfaces, and
        `advertise`. To a peer outside our networks private ones are not told where there is a public one to tell.
        """
        near = self.is_local(flow.remote[0])
        loopback = _is_loopback(normal_address(flow.remote[0]))
        found = [self.host_for(flow)]
        for address in interface_addresses():
            read = ipaddress.ip_address(address)
            if read.is_loopback and not loopback:
                continue
            if self._advertise is None or near or read.is_global:
                found.append(address)
        if self._advertise is not None:
            found.append(self._advertise)
        return tuple(dict.fromkeys(found))[:MAX_CANDIDATES]

    def contact_for(self, flow: Flow) -> Address:
        """The address and port of our Contact and Via towards this flow's peer. Over TLS it is the name that the peer
        asked for: were it an address, the peer could not come back, for our certificate does not speak for it."""
        return flow.called or self.host_for(flow), flow.local[1]


def _is_loopback(host: str | None) -> bool:
    return host is not None and ipaddress.ip_address(host).is_loopback


def _source_address(host: str) -> str:
    """The address that the kernel would send from to reach host; nothing is sent."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
        except OSError as error:
            log.warning("no route to %s: %s", host, error.strerror)
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"
        return probe.getsockname()[0]
