"""The header multimap, Via, CSeq, and lists."""

import pytest

from sipconf.errors import MisuseError
from sipconf.sip.headers import CSeq, Headers, Via
from sipconf.sip.tokens import MalformedMessage, split_list


def test_names_compare_without_case_and_compact_forms_expand():
    headers = Headers([("v", "SIP/2.0/UDP a"), ("TO", "<sip:a@b>"), ("x-Thing", "1"), ("M", "*")])
    assert list(headers.items()) == [
        ("Via", "SIP/2.0/UDP a"), ("To", "<sip:a@b>"), ("x-Thing", "1"), ("Contact", "*")]
    assert headers.get("to") == headers.get("t") == "<sip:a@b>"
    assert headers.get("X-THING") == "1" and "x-thing" in headers and "y" not in headers
    assert headers.get("Nothing") is None and headers.get("Nothing", "d") == "d"


def test_lists_split_and_other_headers_do_not():
    headers = Headers([
        ("Via", "SIP/2.0/UDP a;branch=1 , SIP/2.0/TCP b"), ("Via", "SIP/2.0/UDP c"),
        ("Contact", '"a, b" <sip:x@y;p="1,2">, <sip:z@w?h=1,2>'),
        ("Allow", "INVITE,,BYE,"),
        ("Authorization", 'Digest username="a", realm="b"'), ("Date", "Sat, 13 Nov 2010 23:29:00 GMT"),
    ])
    assert headers.get_all("via") == ["SIP/2.0/UDP a;branch=1", "SIP/2.0/TCP b", "SIP/2.0/UDP c"]
    assert headers.get_all("Contact") == ['"a, b" <sip:x@y;p="1,2">', "<sip:z@w?h=1,2>"]
    assert headers.get_all("Allow") == ["INVITE", "BYE"]
    assert headers.get_all("Authorization") == ['Digest username="a", realm="b"']
    assert headers.get_all("Date") == ["Sat, 13 Nov 2010 23:29:00 GMT"]
    assert headers.get_all("Route") == []


def test_a_list_with_an_open_quote_is_refused():
    with pytest.raises(MalformedMessage):
        split_list('"a, b')
    with pytest.raises(MalformedMessage):
        split_list('<sip:a@b>, "c')


def test_set_remove_copy():
    headers = Headers([("X-A", "1"), ("X-B", "2"), ("x-a", "3"), ("X-C", "4")])
    other = headers.copy()
    headers.set("X-A", "9")
    assert list(headers.items()) == [("X-A", "9"), ("X-B", "2"), ("X-C", "4")]
    headers.set("X-D", "5")
    headers.remove("x-b")
    assert [name for name, _ in headers.items()] == ["X-A", "X-C", "X-D"]
    assert other.get_all("X-A") == ["1", "3"] and len(other) == 4


@pytest.mark.parametrize(("name", "value"), [
    ("X", "a\r\nVia: b"), ("X", "a\nb"), ("X", "a\rb"), ("X Y", "a"), ("X:", "a"), ("", "a"), ("X\r\nY", "a")])
def test_our_own_headers_cannot_break_their_line(name, value):
    with pytest.raises(MisuseError):
        Headers().add(name, value)
    with pytest.raises(MisuseError):
        Headers().set(name, value)


def test_via():
    via = Via.parse("sip / 2.0 / udp [2001:db8::9]:5066 ; branch = z9hG4bK1 ;received=[2001:db8::1];RPORT")
    assert (via.transport, via.host, via.port) == ("UDP", "2001:db8::9", 5066)
    assert (via.branch, via.received, via.rport) == ("z9hG4bK1", "2001:db8::1", "")
    assert str(via) == "SIP/2.0/UDP [2001:db8::9]:5066;branch=z9hG4bK1;received=[2001:db8::1];RPORT"
    assert via.with_param("rport", "5060").rport == "5060"
    bare = Via.parse("SIP/2.0/TCP pc33.example.com")
    assert (bare.port, bare.branch, bare.received, bare.rport) == (None, None, None, None)


@pytest.mark.parametrize("text", [
    "", "SIP/2.0/UDP", "SIP/1.0/UDP a", "HTTP/2.0/UDP a", "SIP/2.0/UDP 192.0.2.15;;,;,,", "SIP/2.0/UDP a:99999",
    "SIP/2.0/UDP a:0", "SIP/2.0/UDP a b", "SIP/2.0/UDPa", "SIP/2.0/UDP a;branch=1;branch=2", "SIP/2.0/UDP \x00",
    "SIP/2.0/UDP a;branch=b\x01", "SIP/2.0/UDP ::1", "SIP/2.0/UDP a,"])
def test_via_refused(text):
    with pytest.raises(MalformedMessage):
        Via.parse(text)


def test_cseq():
    assert CSeq.parse("0009 \t INVITE") == CSeq(9, "INVITE")
    assert CSeq.parse("2147483647 BYE").number == 2**31 - 1
    assert str(CSeq(7, "ACK")) == "7 ACK"


@pytest.mark.parametrize("text", [
    "", "1", "INVITE", "1 2 3", "-1 INVITE", "+1 INVITE", "0x1 INVITE", "2147483648 INVITE", "1" * 5000 + " INVITE",
    "٣ INVITE", "1 INV\x00ITE", "1 IN(VITE"])
def test_cseq_refused(text):
    with pytest.raises(MalformedMessage):
        CSeq.parse(text)
