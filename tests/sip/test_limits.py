"""Every limit on a message: what is just within it is read, what is just beyond it is refused, on every transport."""

import pytest

from sipconf.sip.offer import Capabilities, Format, choose
from sipconf.sip.parser import parse_message
from sipconf.sip.registrar import NoBindings, Registrar, RegistrarSettings
from sipconf.sip.sdp import SessionDescription
from sipconf.sip.tokens import (
    MAX_CONTACTS,
    MAX_CSEQ,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_MESSAGE,
    MAX_PARAMS,
    MAX_ROUTES,
    MAX_VIAS,
    MalformedMessage,
)
from tests.sim.desk import PHONE, Desk, header, proof, request, status

HEADER = "X-N: 1\r\n"
VIA = "Via: SIP/2.0/UDP p;branch=z9hG4bKp\r\n"
USUAL = request("OPTIONS").count("\r\n") - 2  # its header lines


def options(extra: str = "", **parts: object) -> str:
    return request("OPTIONS", extra=extra, **parts)


@pytest.mark.parametrize(
    ("within", "beyond", "expected"),
    [
        (options(HEADER * (MAX_HEADERS - USUAL)), options(HEADER * (MAX_HEADERS - USUAL + 1)), 400),
        (options("X: " + "a" * (MAX_HEADER_BYTES - 1) + "\r\n"), options("X: " + "a" * MAX_HEADER_BYTES + "\r\n"), 400),
        (options(VIA * (MAX_VIAS - 1)), options(VIA * MAX_VIAS), 400),
        (options(VIA[:-2] + ", SIP/2.0/UDP p" * (MAX_VIAS - 2) + "\r\n"),
         options(VIA[:-2] + ", SIP/2.0/UDP p" * (MAX_VIAS - 1) + "\r\n"), 400),
        (options("Route: <sip:p;lr>\r\n" * MAX_ROUTES), options("Route: <sip:p;lr>\r\n" * (MAX_ROUTES + 1)), 400),
        (options("Route: <sip:p;lr>" + ",<sip:p;lr>" * (MAX_ROUTES - 1) + "\r\n"),
         options("Route: <sip:p;lr>" + ",<sip:p;lr>" * MAX_ROUTES + "\r\n"), 400),
        (options("Route: <sip:p;a=,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,>\r\n"), "", 0),  # commas that divide nothing
        (options("Record-Route: <sip:p;lr>\r\n" * MAX_ROUTES),
         options("Record-Route: <sip:p;lr>\r\n" * (MAX_ROUTES + 1)), 400),
        (options("Contact: <sip:p>\r\n" * (MAX_CONTACTS - 1)), options("Contact: <sip:p>\r\n" * MAX_CONTACTS), 400),
        (options(to="<sip:b@x>" + ";p" * MAX_PARAMS), options(to="<sip:b@x>" + ";p" * (MAX_PARAMS + 1)), 400),
        (options(cseq=MAX_CSEQ), options(cseq=MAX_CSEQ + 1), 400),
        (options(cseq=0), options(cseq=2**64 + 1), 400),
        (options(body="x" * 120_000), options(body="x" * MAX_MESSAGE), 513),
    ],
)
def test_at_the_limit_and_beyond(within: str, beyond: str, expected: int) -> None:
    desk = Desk()
    assert [status(text) for text in desk.receive(within, PHONE)] == [200]
    if beyond:
        assert [status(text) for text in desk.receive(beyond, PHONE)] in ([expected], [])
        with pytest.raises(MalformedMessage) as bad:
            parse_message(beyond.encode())
        assert bad.value.status == expected
    assert desk.agent.idle()


@pytest.mark.parametrize(
    ("asked", "granted"),
    [("7200", 7200), ("7201", 7200), ("4294967296", 7200), ("9" * 300, 3600), ("-1", 3600), ("0x10", 3600),
     ("many", 3600), ("", 3600), ("59", None), ("60", 60)],
)  # fmt: skip
def test_expires_is_kept_within_bounds(asked: str, granted: int | None) -> None:
    desk = Desk()
    (challenge,) = desk.receive(request("REGISTER", uri="sip:x", to="<sip:101@x>"), PHONE)
    auth = proof(header(challenge, "WWW-Authenticate")[0], "REGISTER", "sip:x")
    (answer,) = desk.receive(
        request("REGISTER", uri="sip:x", to="<sip:101@x>", cseq=2, extra=f"{auth}Expires: {asked}\r\n"), PHONE)
    if granted is None:
        assert status(answer) == 423
    else:
        assert header(answer, "Contact") == [f"<sip:+3212@203.0.113.9>;expires={granted}"]


def test_settings_of_a_registrar_are_bounds_too() -> None:
    settings = RegistrarSettings()
    assert settings.max_bindings == 10 and settings.max_expires == 7200
    assert Registrar(NoBindings(), settings, None).next_timer() is None


@pytest.mark.parametrize(
    ("said", "ptime_ms"),
    [("20", 20), ("10", 10), ("60", 60), ("0", 10), ("1", 10), ("240", 60), ("99999", 60), ("9" * 400, 20),
     ("-20", 20), ("2e1", 20), ("20.5", 20), ("\u0662\u0660", 20), ("", 20)],
)  # fmt: skip
def test_packet_length_is_kept_within_bounds(said: str, ptime_ms: int) -> None:
    offer = f"v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 0\r\na=ptime:{said}\r\n".encode()
    assert choose(offer, Capabilities((Format("PCMU", 8000, 0),))).ptime_ms == ptime_ms
    assert SessionDescription.parse(offer).media[0].port == 4000
