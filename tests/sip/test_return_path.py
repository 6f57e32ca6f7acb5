"""How we write our own address towards a peer."""

import pytest

from sipconf.sip.return_path import address_uri


@pytest.mark.parametrize(
    ("transport", "sips", "expected"),
    [
        ("udp", False, "sip:conf.example.com:5060"),  # some telephones cannot read what stands behind
        ("tcp", False, "sip:conf.example.com:5060;transport=tcp"),
        ("tls", False, "sip:conf.example.com:5060;transport=tls"),
        ("tls", True, "sips:conf.example.com:5060"),
        ("ws", False, "sip:conf.example.com:5060;transport=ws"),
        ("wss", False, "sip:conf.example.com:5060;transport=ws"),  # what SIP.js and JsSIP call it, and RFC 7118
        ("wss", True, "sips:conf.example.com:5060;transport=ws"),
        ("udp", True, "sip:conf.example.com:5060"),  # a sips request by UDP: no promise that we cannot keep
    ],
)
def test_our_contact(transport: str, sips: bool, expected: str) -> None:
    assert str(address_uri("conf.example.com", 5060, transport, sips=sips)) == expected


def test_ipv6_in_brackets() -> None:
    assert str(address_uri("2001:db8::1", 5061, "tls", sips=True)) == "sips:[2001:db8::1]:5061"
