"""Why a call ended, as the Reason header says it (RFC 3326): ours written, the peer's read."""

from sipconf.errors import PeerError
from sipconf.sip.message import Request
from sipconf.sip.settings import ANSWERED_ELSEWHERE, TIMED_OUT
from sipconf.sip.tokens import find_param, parse_params
from sipconf.sip.wire import ExtraHeaders

_PROTOCOLS = {"sip": "SIP", "q.850": "Q.850"}
_OURS = {
    ANSWERED_ELSEWHERE: 'SIP;cause=200;text="Call completed elsewhere"',
    **{reason: f'SIP;cause=408;text="{reason}"' for reason in TIMED_OUT},
}


def reason_headers(reason: str) -> ExtraHeaders:
    """What a CANCEL or BYE of ours says besides itself: nothing where nobody could act on it."""
    return (("Reason", _OURS[reason]),) if reason in _OURS else ()


def with_cause(ours: str, request: Request) -> str:
    """Our words with protocol and cause of a peer's CANCEL or BYE behind them, "hung up (Q.850 16)", where it gives
    any that can be read. Its text is left alone: it is a stranger's."""
    try:
        for value in request.headers.get_all("Reason"):
            protocol, semicolon, rest = value.partition(";")
            cause = find_param(parse_params(semicolon + rest), "cause") or ""
            name = _PROTOCOLS.get(protocol.strip().lower())
            if name is not None and cause.isascii() and cause.isdigit() and len(cause) <= 3:
                return f"{ours} ({name} {cause})"
    except PeerError:  # a header that nobody needs
        return ours
    return ours
