"""Session descriptions: read from whatever phones write, written in the prescribed order."""

import pytest

from sipconf.sip.sdp import Media, Origin, SessionDescription, unicast_address
from sipconf.sip.tokens import MalformedMessage

TEXT = (
    "v=0\r\no=- 18446744073709551615 2 IN IP4 192.0.2.9\r\ns=talk\r\ni=about\r\nc=IN IP4 192.0.2.9\r\nb=AS:64\r\n"
    "t=0 0\r\na=sendonly\r\na=group:BUNDLE 0\r\n"
    "m=audio 4000/2 RTP/AVP 0 101 9\r\nc=IN IP6 2001:db8::1\r\na=rtpmap:101 telephone-event/8000\r\n"
    "a=rtpmap:101 G726-24/8000\r\na=fmtp:101 0-15\r\na=rtcp-mux\r\n"
    "m=video 0 RTP/AVP 31\r\na=recvonly\r\n"
)


def test_all_of_it():
    description = SessionDescription.parse(TEXT.encode())
    audio, video = description.media
    assert description.origin == Origin("-", "18446744073709551615", "2", "192.0.2.9")
    assert (description.name, description.times, description.attribute("group")) == ("talk", ("0 0",), "BUNDLE 0")
    assert (audio.kind, audio.port, audio.protocol, audio.formats) == ("audio", 4000, "RTP/AVP", ("0", "101", "9"))
    assert description.connection_of(audio) == "2001:db8::1" and description.connection_of(video) == "192.0.2.9"
    assert description.direction_of(audio) == "sendonly" and description.direction_of(video) == "recvonly"
    assert audio.attribute("rtcp-mux") == "" and audio.attribute("rtcp") is None


def test_first_mapping_of_a_payload_type_wins_and_static_types_need_none():
    audio = SessionDescription.parse(TEXT.encode()).media[0]
    assert audio.rtpmaps() == {"0": ("PCMU", 8000, 1), "9": ("G722", 8000, 1), "101": ("telephone-event", 8000, 1)}
    assert audio.fmtps() == {"101": "0-15"}


def test_round_trip():
    description = SessionDescription.parse(TEXT.encode())
    assert SessionDescription.parse(description.encode()) == description


def test_line_order_of_what_is_written():
    media = Media("audio", 4000, "RTP/AVP", ("0",), (("rtpmap", "0 PCMU/8000"), ("sendrecv", None)), "::1")
    description = SessionDescription(Origin("-", "1", "2", "192.0.2.1"), "192.0.2.1", (media,), (("tool", "x"),))
    assert description.encode() == (
        b"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=tool:x\r\n"
        b"m=audio 4000 RTP/AVP 0\r\nc=IN IP6 ::1\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
    )


@pytest.mark.parametrize("text", [
    TEXT.replace("\r\n", "\n"), TEXT.rstrip(), TEXT + "\r\n\0", "\r\n" + TEXT, TEXT.replace("s=talk\r\n", ""),
    TEXT.replace("t=0 0\r\n", ""), TEXT.replace("i=about", "z=unknown words"), TEXT.replace("s=talk", "s="),
])
def test_forgiven(text):
    assert SessionDescription.parse(text.encode()).media == SessionDescription.parse(TEXT.encode()).media


@pytest.mark.parametrize("text", [
    "", "v=1\r\n", "hello", "o=- 1 1 IN IP4 a\r\n", "v=0\r\nm=audio\r\n", "v=0\r\nm=audio x RTP/AVP 0\r\n",
    "v=0\r\nm=audio 70000 RTP/AVP 0\r\n", "v=0\r\nc=IN IP4\r\n", "v=0\r\nc=IN IP5 a\r\n", "v=0\r\no=- 1 1\r\n",
    "v=0\r\nwhat is this\r\n", "v=0\r\n" + "m=audio 1 RTP/AVP 0\r\n" * 65, "v=0\r\n" + "a=x\r\n" * 257,
    "v=0\r\nm=audio 1 RTP/AVP" + " 0" * 65 + "\r\n", "v=0\r\na=" + "x" * 70000,
    "v=0\r\nm=audio -1 RTP/AVP 0\r\n", "v=0\r\nm=audio 99999999999 RTP/AVP 0\r\n",
])
def test_refused(text):
    with pytest.raises(MalformedMessage) as fault:
        SessionDescription.parse(text.encode())
    assert fault.value.status == 400


def test_addresses():
    assert unicast_address("192.0.2.1") == "192.0.2.1" and unicast_address("2001:DB8::1") == "2001:db8::1"
    assert [unicast_address(text) for text in (None, "0.0.0.0", "::", "phone.example.com", "")] == [None] * 5
    for text in ("224.2.1.1/127", "239.1.1.1", "255.255.255.255", "ff02::1"):
        with pytest.raises(MalformedMessage) as fault:
            unicast_address(text)
        assert fault.value.status == 488


def test_the_first_connection_of_a_stream_counts():
    text = "v=0\r\nm=audio 1 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\nc=IN IP4 192.0.2.2\r\n"
    assert SessionDescription.parse(text.encode()).media[0].connection == "192.0.2.1"
