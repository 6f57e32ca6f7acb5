"""The address that a peer is told: the public one outside, the local one inside, never a wildcard."""

from sipconf.sip.edge.addresses import Addresses
from sipconf.sip.flow import Flow


def flow(remote: str, local: str = "0.0.0.0") -> Flow:
    return Flow("udp", (remote, 40000), (local, 5060))


def test_peers_outside_get_the_public_address():
    addresses = Addresses("203.0.113.5", ["192.168.0.0/16", "fd00::/8"])
    assert addresses.host_for(flow("198.51.100.7")) == "203.0.113.5"
    assert addresses.contact_for(flow("198.51.100.7")) == ("203.0.113.5", 5060)


def test_peers_inside_and_this_machine_get_a_local_one():
    addresses = Addresses("203.0.113.5", ["192.168.0.0/16", "fd00::/8"])
    assert addresses.host_for(flow("192.168.7.7", "192.168.7.1")) == "192.168.7.1"
    assert addresses.host_for(flow("::ffff:192.168.7.7", "192.168.7.1")) == "192.168.7.1"
    assert addresses.host_for(flow("127.0.0.1")) == "127.0.0.1"
    assert addresses.host_for(flow("::1", "::")) == "::1"


def test_without_advertise_the_listener_or_the_route_decides():
    addresses = Addresses(None, None)
    assert addresses.host_for(flow("198.51.100.7", "192.0.2.9")) == "192.0.2.9"
    assert addresses.host_for(flow("127.0.0.9")) == "127.0.0.1"
    assert addresses.is_local("127.0.0.1")


def test_a_network_not_listed_is_outside():
    addresses = Addresses("203.0.113.5", ["192.168.0.0/16"])
    assert not addresses.is_local("10.1.2.3")
    assert addresses.host_for(flow("10.1.2.3")) == "203.0.113.5"
