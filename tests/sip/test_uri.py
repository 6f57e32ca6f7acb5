"""SIP URIs and name-addr: what phones write, what is refused, what comes out again."""

import pytest

from sipconf.sip.tokens import MalformedMessage
from sipconf.sip.uri import NameAddr, SipUri


def test_all_parts():
    uri = SipUri.parse("SIPS:al%20ice:p%3Aw@Example.com:5061;transport=tcp;lr;q=%41?Subject=x&Route=%3Csip:a%3E")
    assert (uri.scheme, uri.user, uri.password) == ("sips", "al ice", "p:w")
    assert (uri.host, uri.port) == ("Example.com", 5061)
    assert uri.params == (("transport", "tcp"), ("lr", None), ("q", "%41"))
    assert uri.headers == "Subject=x&Route=%3Csip:a%3E"
    assert str(uri) == "sips:al%20ice:p%3Aw@Example.com:5061;transport=tcp;lr;q=%41?Subject=x&Route=%3Csip:a%3E"


@pytest.mark.parametrize("text", [
    "sip:example.com", "sip:101@192.0.2.1:5060", "sip:*97@acct.example.com", "sip:+15550100@[2001:db8::1]:5080;lr",
    "sip:user;par=u%40example.net@example.com", "sip:%00@example.com", "sip:a@df7jal23ls0d.invalid;transport=ws",
    "sip:101-0x55d0c1b2@10.0.0.1:5062", "sip:x@a_b.example", "sip:12345@sip.example.com:5060;TCID-0",
    "sip:263@198.51.100.13:5090?REQUIRE=replaces",
])
def test_round_trip(text):
    uri = SipUri.parse(text)
    assert str(uri) == text
    assert SipUri.parse(str(uri)) == uri


def test_user_part_is_decoded_and_keeps_its_semicolon():
    uri = SipUri.parse("sip:user;par=u%40example.net@example.com")
    assert (uri.user, uri.host, uri.params) == ("user;par=u@example.net", "example.com", ())


def test_an_escaped_uri_in_the_user_part_stays_a_user():
    uri = SipUri.parse("sip:sips%3Auser%40example.com@example.net")
    assert (uri.scheme, uri.user, uri.host) == ("sip", "sips:user@example.com", "example.net")


def test_ipv6_host_has_no_brackets_inside():
    uri = SipUri.parse("sip:[2001:db8::10]:5070")
    assert (uri.user, uri.host, uri.port) == (None, "2001:db8::10", 5070)
    assert str(uri) == "sip:[2001:db8::10]:5070"


def test_tel_and_unknown_schemes_are_carried():
    tel = SipUri.parse("tel:+1-555-0100;phone-context=example.com")
    assert (tel.user, tel.host, tel.param("phone-context"), tel.is_sip) == ("+1-555-0100", "", "example.com", False)
    assert str(tel) == "tel:+1-555-0100;phone-context=example.com"
    assert str(SipUri.parse("http://www.example.com/a;b")) == "http://www.example.com/a;b"


@pytest.mark.parametrize("text", [
    "", "sip:", "example.com", "sip:@example.com", "sip:a b@example.com", "sip:a@b@c", "sip:a@", "sip:a@host:0",
    "sip:a@host:65536", "sip:a@host:", "sip:a@host:5o60", "sip:a@ho\x00st", "sip:a@host\r\nX: y", "sip:a@[::1",
    "sip:a@host;=x", "sip:a@host>", "isbn:", "sip:a\x7f@host", "sip:a@-host",
])
def test_refused(text):
    with pytest.raises(MalformedMessage):
        SipUri.parse(text)


def test_non_utf8_escapes_do_not_escape():
    assert SipUri.parse("sip:%E9@example.com").user == "é"
    assert SipUri.parse("sip:%C3%A9@example.com").user == "é"


def test_param_lookup():
    uri = SipUri.parse("sip:a@b;LR;transport=udp")
    assert uri.param("transport") == "udp"
    assert uri.has_param("lr") and uri.param("lr") == "" and uri.param("maddr") is None


@pytest.mark.parametrize(("text", "name", "uri", "params"), [
    ("<sip:a@b>", "", "sip:a@b", ()),
    ("sip:a@b;tag=1", "", "sip:a@b", (("tag", "1"),)),
    ("sip:a@b", "", "sip:a@b", ()),
    ('"Bob \\"B\\" <x>" <sip:b@c;lr>;tag=9', 'Bob "B" <x>', "sip:b@c;lr", (("tag", "9"),)),
    ("Bell, Alexander <sip:a.g.bell@example.com>;tag=43", "Bell, Alexander", "sip:a.g.bell@example.com",
     (("tag", "43"),)),
    ("UNAVAILABLE<sip:user@h:5060>;tag=c", "UNAVAILABLE", "sip:user@h:5060", (("tag", "c"),)),
    ("'A' 'B' <sip:u@h>", "'A' 'B'", "sip:u@h", ()),
    ('"W" < sip:t@e.org >', "W", "sip:t@e.org", ()),
    ("<sip:a@b> ; tag = x ; flag", "", "sip:a@b", (("tag", "x"), ("flag", None))),
    ("<sip:a@b>;expires=60;", "", "sip:a@b", (("expires", "60"),)),
    ('"" <sip:a@b>', "", "sip:a@b", ()),
    ('<sip:a@b>;+sip.instance="<urn:uuid:1;2>";reg-id=1', "", "sip:a@b",
     (("+sip.instance", '"<urn:uuid:1;2>"'), ("reg-id", "1"))),
])
def test_name_addr(text, name, uri, params):
    address = NameAddr.parse(text)
    assert (address.display_name, str(address.uri), address.params) == (name, uri, params)
    assert NameAddr.parse(str(address)) == address


def test_parameters_without_brackets_belong_to_the_header():
    address = NameAddr.parse("sip:+19725552222@gw1.example.net;unknownparam")
    assert address.uri.params == () and address.params == (("unknownparam", None),)
    inside = NameAddr.parse("<sip:+19725552222@gw1.example.net;unknownparam>")
    assert inside.uri.params == (("unknownparam", None),) and inside.params == ()


@pytest.mark.parametrize("text", [
    "", "*", '"Mr. J. User <sip:j@e.com>', "<sip:a@b", "sip:a@b?x=y", '"a" b <sip:a@b>', '"Joe" <sip:j@e.org>;;;;',
    "<sip:a@b>tag=1", "<sip:a@b>;=1", "<sip:a@b>;tag=a;tag=b", '<sip:a@b>;x="open', "<sip:a@b>;tag=a b", "<>",
    'a "b <sip:a@b>', "na\x01me <sip:a@b>", "sip:a@b, sip:c@d",
])
def test_name_addr_refused(text):
    with pytest.raises(MalformedMessage):
        NameAddr.parse(text)


def test_tag_and_with_param():
    address = NameAddr.parse("<sip:a@b>;TAG=q")
    assert address.tag == "q" and NameAddr.parse("<sip:a@b>;tag=").tag is None
    assert str(address.with_param("tag", "z")) == "<sip:a@b>;TAG=z"
    assert str(address.with_param("text", "two words")) == '<sip:a@b>;TAG=q;text="two words"'


def test_display_name_cannot_break_the_line():
    address = NameAddr('Eve"\r\nVia: x', SipUri.parse("sip:e@x"))
    assert str(address) == '"Eve\\"  Via: x" <sip:e@x>'


def test_quoted_parameter_is_read_without_its_quotes():
    assert NameAddr.parse('<sip:a@b>;reason="a \\" b"').param("reason") == 'a " b'
