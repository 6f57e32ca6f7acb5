"""Digits carried by SIP INFO: `application/dtmf-relay` (Signal=5) and `application/dtmf` (5). No RFC defines them;
every telephone with an "INFO" setting sends one of the two."""

import re

INFO_TYPES = RELAY, PLAIN = "application/dtmf-relay", "application/dtmf"
_RELAY_SIGNAL = re.compile(rb"^\s*signal\s*=\s*([0-9A-D*#]|1[0-6])\s*$", re.IGNORECASE | re.MULTILINE)
_PLAIN_SIGNAL = re.compile(rb"^\s*([0-9A-D*#]|1[0-6])\s*$", re.IGNORECASE)
_LONGEST_BODY = 1024
# Some gateways send the event code of RFC 4733 section 3.2 in place of the key.
_EVENT_CODES = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}


def read_digit(content_type: str, body: bytes) -> str | None:
    """Return the key that an INFO carries, or None where it carries none. content_type: lower case, no parameters."""
    if len(body) > _LONGEST_BODY:
        return None
    if content_type == RELAY:
        match = _RELAY_SIGNAL.search(body)
    elif content_type == PLAIN:
        match = _PLAIN_SIGNAL.match(body)
    else:
        return None
    if match is None:
        return None
    signal = match.group(1).decode("ascii").upper()
    return _EVENT_CODES.get(signal, signal if len(signal) == 1 else None)
