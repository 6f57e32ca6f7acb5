"""Digits of SIP INFO bodies as telephones send them."""

import pytest

from sipconf.sip.dtmf_info import read_digit


@pytest.mark.parametrize(("content_type", "body", "digit"), [
    ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", "5"),
    ("application/dtmf-relay", b"Signal= 5\r\nDuration= 160\r\n", "5"),
    ("application/dtmf-relay", b"Duration=160\r\nSignal=#\r\n", "#"),
    ("application/dtmf-relay", b"Signal=11\r\nDuration=100\r\n", "#"),
    ("application/dtmf-relay", b"Signal=10\nDuration=100\n", "*"),
    ("application/dtmf-relay", b"signal=d\r\n", "D"),
    ("application/dtmf", b"5", "5"),
    ("application/dtmf", b" * \r\n", "*"),
    ("application/dtmf", b"16", None),                       # flash
    ("application/dtmf-relay", b"Signal=16\r\n", None),
    ("application/dtmf-relay", b"Signal=55\r\n", None),
    ("application/dtmf-relay", b"", None),
    ("application/dtmf-relay", b"Duration=5\r\n", None),
    ("application/dtmf", b"Signal=5", None),
    ("text/plain", b"5", None),
    ("application/dtmf", b"5" + b" " * 2000, None),
    ("application/dtmf-relay", b"\xff\xfeSignal=5", None),
])
def test_reading(content_type, body, digit):
    assert read_digit(content_type, body) == digit


@pytest.mark.parametrize("digit", "0123456789*#ABCD")
def test_every_key(digit):
    assert read_digit("application/dtmf-relay", f"Signal={digit}\r\nDuration=160\r\n".encode()) == digit
    assert read_digit("application/dtmf", digit.encode()) == digit
