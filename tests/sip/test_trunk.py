"""Which trunk an address is."""

import pytest

from sipconf.errors import MisuseError
from sipconf.sip.trunk import Trunks, TrunkSpec, normal_address

PROVIDER = TrunkSpec("provider", frozenset({"192.0.2.10", "2001:DB8::10", "198.51.100.0/28"}))
PBX = TrunkSpec("pbx", frozenset({"192.0.2.10", "192.0.2.20", "198.51.100.3"}), peer=True)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("192.0.2.10", "provider"),
        ("::ffff:192.0.2.10", "provider"),
        ("::ffff:c000:20a", "provider"),
        ("2001:db8:0::10", "provider"),
        ("2001:db8::10%eth0", "provider"),
        ("198.51.100.15", "provider"),
        ("::ffff:198.51.100.1", "provider"),
        ("192.0.2.20", "pbx"),
        ("198.51.100.3", "pbx"),
        ("198.51.100.16", None),
        ("192.0.2.1", None),
        ("192.0.2.100", None),
        ("::1", None),
        ("provider", None),
        ("", None),
    ],
)
def test_match(host: str, name: str | None) -> None:
    trunk = Trunks([PROVIDER, PBX]).match(host)
    assert (trunk.name if trunk else None) == name


def test_nothing_matches_without_trunks() -> None:
    assert Trunks().match("192.0.2.10") is None


def test_resolution_moves_an_address_and_a_failure_keeps_it() -> None:
    trunks = Trunks([TrunkSpec("provider", frozenset({"192.0.2.1"}))])
    trunks.set_resolved("provider", "sip.example", ["203.0.113.1"])
    assert trunks.match("203.0.113.1").name == "provider" and trunks.match("192.0.2.1").name == "provider"
    trunks.set_resolved("provider", "sip.example", [])
    assert trunks.match("203.0.113.1").name == "provider"
    trunks.set_resolved("provider", "sip.example", ["203.0.113.2"])
    assert trunks.match("203.0.113.1") is None and trunks.match("203.0.113.2").name == "provider"
    assert trunks.resolved("provider") == {"203.0.113.2"}
    trunks.set_resolved("provider", "other.example", [])
    assert trunks.match("203.0.113.2") is None, "another host's addresses are not this one's"
    with pytest.raises(MisuseError):
        trunks.set_resolved("nobody", "h", [])


def test_an_edit_of_the_configuration_keeps_resolved_addresses() -> None:
    trunks = Trunks([TrunkSpec("provider", frozenset())])
    trunks.set_resolved("provider", "sip.example", ["203.0.113.1"])
    trunks.replace([TrunkSpec("provider", frozenset(), peer=True)])
    assert trunks.match("203.0.113.1").peer
    trunks.replace([])
    assert trunks.match("203.0.113.1") is None
    trunks.replace([TrunkSpec("provider", frozenset())])
    assert trunks.match("203.0.113.1") is None


@pytest.mark.parametrize("text", ["sip.example.com", "192.0.2.0/99", "x/24"])
def test_an_address_that_is_none_is_our_mistake(text: str) -> None:
    with pytest.raises(MisuseError):
        Trunks([TrunkSpec("t", frozenset({text}))])


def test_one_spelling_per_address() -> None:
    assert normal_address("[2001:DB8:0:0::1]") == "2001:db8::1"
    assert normal_address("::ffff:192.0.2.1") == "192.0.2.1"
    assert normal_address("host.example") is None
