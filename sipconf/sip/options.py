"""Option tags and methods that a message lists: Supported, Require, Allow (RFC 3261 sections 19.2 and 20.5)."""

from sipconf.errors import PeerError
from sipconf.sip.message import Request, Response

RELIABLE, TIMER, OUTBOUND, PATH = "100rel", "timer", "outbound", "path"
"""The extensions that we speak: RFC 3262, 4028, 5626 and 3327."""


def lists(message: Request | Response, header: str, word: str) -> bool:
    """Does this header name that option or method? A list that cannot be read names nothing."""
    try:
        return any(value.lower() == word.lower() for value in message.headers.get_all(header))
    except PeerError:
        return False


def speaks(message: Request | Response, option: str) -> bool:
    """Does its sender know an extension? Whoever requires it does."""
    return lists(message, "Supported", option) or lists(message, "Require", option)
