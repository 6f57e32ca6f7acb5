"""The address that a peer is told: the public one outside, the local one inside, never a wildcard."""

import pytest

from sipconf.sip.edge import addresses as addresses_module
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


def test_loopback_is_told_to_loopback_only(monkeypatch):
    """A reverse proxy on this machine comes to us by loopback, which says nothing of the way to its clients."""
    monkeypatch.setattr(addresses_module, "_source_address", lambda host: f"route to {host}")
    addresses = Addresses(None, LOCAL_NETWORKS)
    assert addresses.host_for(flow("192.168.7.7", "127.0.0.1")) == "route to 192.168.7.7"
    assert addresses.host_for(flow("2a00::7", "::1")) == "route to 2a00::7"
    assert addresses.candidates_for(flow("192.168.7.7", "::ffff:127.0.0.1"))[0] == "route to 192.168.7.7"
    assert addresses.host_for(flow("127.0.0.9", "127.0.0.1")) == "127.0.0.1"


# --- candidates ------------------------------------------------------------------------------------------------------
MACHINE = ["127.0.0.1", "192.168.7.1", "203.0.113.80", "172.17.0.1", "::1", "fd00::1", "2a00::80"]
LOCAL_NETWORKS = ["192.168.0.0/16"]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses_module, "interface_addresses", lambda: MACHINE)


def test_a_browser_inside_gets_every_address_and_the_public_one(machine: None) -> None:
    found = Addresses("198.51.100.5", LOCAL_NETWORKS).candidates_for(flow("192.168.7.7", "192.168.7.1"))
    assert found == ("192.168.7.1", "203.0.113.80", "172.17.0.1", "fd00::1", "2a00::80", "198.51.100.5")


def test_a_stranger_is_told_no_private_address_where_there_is_a_public_one(machine: None) -> None:
    found = Addresses("9.9.9.9", LOCAL_NETWORKS).candidates_for(flow("8.8.8.8", "192.168.7.1"))
    assert found == ("9.9.9.9", "2a00::80")  # 203.0.113.0/24 is for documents, and no public network
    assert "192.168.7.1" in Addresses(None, LOCAL_NETWORKS).candidates_for(flow("8.8.8.8", "192.168.7.1"))


def test_loopback_is_for_loopback_and_a_proxy_there_hides_who_asks(machine: None) -> None:
    here = Addresses("9.9.9.9", LOCAL_NETWORKS).candidates_for(flow("127.0.0.1", "127.0.0.1"))
    assert here[0] == "127.0.0.1" and {"::1", "192.168.7.1", "9.9.9.9"} <= set(here)
    assert "127.0.0.1" not in Addresses(None, LOCAL_NETWORKS).candidates_for(flow("192.168.7.7", "192.168.7.1"))


def test_candidates_are_bounded_and_none_is_told_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses_module, "interface_addresses", lambda: [f"10.0.0.{i % 90}" for i in range(500)])
    found = Addresses(None, ["10.0.0.0/8"]).candidates_for(flow("10.0.0.200", "10.0.0.1"))
    assert len(found) == len(set(found)) == addresses_module.MAX_CANDIDATES and found[0] == "10.0.0.1"


def test_this_machine_has_addresses() -> None:
    found = addresses_module.interface_addresses()
    assert "127.0.0.1" in found and not any(host.startswith(("169.254.", "fe80:")) for host in found)
