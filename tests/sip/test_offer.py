"""Offer and answer: what is chosen, what is answered, what is refused (RFC 3264)."""

import dataclasses

import pytest

from sipconf.errors import MisuseError
from sipconf.sip.offer import (
    Capabilities,
    Format,
    LocalMedia,
    OfferError,
    choose,
    make_answer,
    make_offer,
    read_answer,
)
from sipconf.sip.sdp import SessionDescription

PCMU, PCMA = Format("PCMU", 8000, 0), Format("PCMA", 8000, 8)
G722, OPUS = Format("G722", 8000, 9), Format("opus", 48000, 96, "useinbandfec=1")
CAPS = Capabilities((PCMU, PCMA))
WIDE = Capabilities((OPUS, G722, PCMU, PCMA))
LOCAL = LocalMedia("192.0.2.1", 10000, 10001, 77, 1)


def sdp(*media: str, connection: str | None = "IN IP4 198.51.100.7", session: tuple[str, ...] = ()) -> bytes:
    head = ["v=0", "o=- 1 1 IN IP4 198.51.100.7", "s=-"] + ([f"c={connection}"] if connection else [])
    return ("\r\n".join([*head, "t=0 0", *session, *media]) + "\r\n").encode()


LINPHONE = sdp(
    "m=audio 7078 RTP/AVPF 96 97 98 0 8 18 101 100 99", "a=rtpmap:96 opus/48000/2", "a=fmtp:96 useinbandfec=1",
    "a=rtpmap:97 speex/16000", "a=rtpmap:98 speex/8000", "a=rtpmap:101 telephone-event/48000",
    "a=rtpmap:100 telephone-event/16000", "a=rtpmap:99 telephone-event/8000", "a=rtcp-fb:* trr-int 5000",
)
BARESIP = sdp(
    "m=audio 5004 RTP/AVP 107 0 8 101", "a=rtpmap:107 opus/48000/2", "a=fmtp:107 stereo=1", "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:8 PCMA/8000", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=rtcp:5009", "a=ptime:40",
)


def test_the_offers_order_decides_unless_ours_does():
    offer = sdp("m=audio 4000 RTP/AVP 8 0")
    assert choose(offer, CAPS).tx_format == PCMA
    assert choose(offer, dataclasses.replace(CAPS, prefer_ours=True)).tx_format == PCMU


def test_the_offers_payload_types_are_kept():
    agreed = choose(BARESIP, WIDE)
    assert agreed.tx_format == Format("opus", 48000, 107, "stereo=1")  # as the peer wants it
    assert agreed.rx_formats == (Format("opus", 48000, 107, "useinbandfec=1"),)  # as we want it
    assert (agreed.remote, agreed.remote_rtcp) == (("198.51.100.7", 5004), ("198.51.100.7", 5009))
    assert not agreed.rtcp_mux
    assert (agreed.telephone_event, agreed.telephone_event_clock, agreed.ptime_ms) == (101, 8000, 40)


@pytest.mark.parametrize(("caps", "event"), [(WIDE, (101, 48000)), (CAPS, (99, 8000))])
def test_telephone_event_has_the_clock_of_the_format(caps, event):
    agreed = choose(LINPHONE, caps)
    assert (agreed.telephone_event, agreed.telephone_event_clock) == event
    assert f"a=rtpmap:{event[0]} telephone-event/{event[1]}\r\n" in make_answer(agreed, LOCAL).decode()


def test_no_telephone_event_where_none_fits_or_none_is_wanted():
    only_wide = sdp("m=audio 4000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/48000")
    assert choose(only_wide, CAPS).telephone_event is None
    assert choose(BARESIP, dataclasses.replace(CAPS, telephone_event=False)).telephone_event is None


def test_the_answer_as_written():
    answer = make_answer(choose(BARESIP, CAPS), LOCAL)
    assert answer == (
        b"v=0\r\no=- 77 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
        b"m=audio 10000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
        b"a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    )


def test_opus_is_written_with_two_channels_and_avpf_is_echoed():
    answer = make_answer(choose(LINPHONE, WIDE), LOCAL).decode()
    assert "m=audio 10000 RTP/AVPF 96 101\r\n" in answer
    assert "a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n" in answer


def test_rtcp_is_said_where_it_is_not_the_next_port_and_mux_where_offered():
    elsewhere = dataclasses.replace(LOCAL, rtcp_port=10000)
    assert b"a=rtcp:10000\r\n" in make_answer(choose(BARESIP, CAPS), elsewhere)
    muxed = choose(sdp("m=audio 4000 RTP/AVP 0", "a=rtcp-mux", "a=rtcp:4001"), CAPS)
    assert muxed.rtcp_mux and muxed.remote_rtcp == ("198.51.100.7", 4000)
    answer = make_answer(muxed, elsewhere)
    assert b"a=rtcp-mux\r\n" in answer and b"a=rtcp:" not in answer


def test_ipv6():
    offer = sdp("m=audio 4000 RTP/AVP 0", "c=IN IP6 2001:db8::7", connection=None)
    agreed = choose(offer, CAPS)
    assert agreed.remote == ("2001:db8::7", 4000)
    answer = make_answer(agreed, dataclasses.replace(LOCAL, address="2001:db8::1"))
    assert answer.count(b"c=") == 1 and b"c=IN IP6 2001:db8::1\r\n" in answer and b"IN IP6 2001:db8::1\r\ns=" in answer


def test_other_streams_are_refused_in_their_place():
    offer = sdp("m=video 5000 RTP/AVP 31 34", "m=audio 6000 RTP/SAVP 0", "m=audio 0 RTP/AVP 0",
                "m=audio 4000 RTP/AVP 0", "m=image 54111 udptl t38")
    answer = SessionDescription.parse(make_answer(choose(offer, CAPS), LOCAL))
    assert [(m.kind, m.port, m.protocol, m.formats) for m in answer.media] == [
        ("video", 0, "RTP/AVP", ("31", "34")), ("audio", 0, "RTP/SAVP", ("0",)), ("audio", 0, "RTP/AVP", ("0",)),
        ("audio", 10000, "RTP/AVP", ("0",)), ("image", 0, "udptl", ("t38",)),
    ]


@pytest.mark.parametrize(("attribute", "connection", "ours", "remote"), [
    ((), "IN IP4 198.51.100.7", "sendrecv", True), (("a=sendonly",), "IN IP4 198.51.100.7", "recvonly", True),
    (("a=recvonly",), "IN IP4 198.51.100.7", "sendonly", True),
    (("a=inactive",), "IN IP4 198.51.100.7", "inactive", True),
    ((), "IN IP4 0.0.0.0", "recvonly", False), (("a=sendonly",), "IN IP4 0.0.0.0", "recvonly", False),
    (("a=recvonly",), "IN IP4 0.0.0.0", "inactive", False), ((), "IN IP6 ::", "recvonly", False),
    ((), "IN IP4 phone.example.com", "sendrecv", False),
])
def test_hold(attribute, connection, ours, remote):
    for offer in (sdp("m=audio 4000 RTP/AVP 0", *attribute, connection=connection),
                  sdp("m=audio 4000 RTP/AVP 0", connection=connection, session=attribute)):
        agreed = choose(offer, CAPS)
        assert agreed.direction == ours and (agreed.remote is not None) == remote
        assert f"a={ours}\r\n".encode() in make_answer(agreed, LOCAL)


@pytest.mark.parametrize(("offer", "status"), [
    (sdp("m=audio 4000 RTP/AVP 18"), 488), (sdp("m=video 4000 RTP/AVP 0"), 488), (sdp(), 488),
    (sdp("m=audio 0 RTP/AVP 0"), 488), (sdp("m=audio 4000 RTP/SAVP 0"), 488),
    (sdp("m=audio 9 UDP/TLS/RTP/SAVPF 0"), 488), (sdp("m=audio 4000 RTP/AVP 0", connection="IN IP4 239.1.1.1/1"), 488),
    (sdp("m=audio 4000 RTP/AVP 0", connection="IN IP4 255.255.255.255"), 488),
    (sdp("m=audio 4000 RTP/AVP 97", "a=rtpmap:97 PCMU/8000/2"), 488), (sdp("m=audio 4000 RTP/AVP 96"), 488),
    (sdp("m=audio 4000 RTP/AVP 300", "a=rtpmap:300 PCMU/8000"), 488),
    (sdp("m=audio 4000 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"), 488), (b"nonsense", 400), (b"", 400),
])
def test_refused_with_a_reason(offer, status):
    with pytest.raises(OfferError) as refused:
        choose(offer, CAPS)
    assert refused.value.status == status and refused.value.reason


@pytest.mark.parametrize(("ptime", "ms"), [("20", 20), ("5", 10), ("150", 60), ("30", 30), ("x", 20), ("", 20),
                                           ("20.0", 20), ("-20", 20), ("9" * 400, 20)])
def test_ptime_is_clamped(ptime, ms):
    assert choose(sdp("m=audio 4000 RTP/AVP 0", f"a=ptime:{ptime}"), CAPS).ptime_ms == ms


@pytest.mark.parametrize(("rtcp", "port"), [("a=rtcp:5555 IN IP4 203.0.113.9", 5555), ("a=rtcp:", 4001),
                                            ("a=rtcp:0", 4001), ("a=rtcp:99999", 4001), ("a=x", 4001)])
def test_rtcp_port(rtcp, port):
    assert choose(sdp("m=audio 4000 RTP/AVP 0", rtcp), CAPS).remote_rtcp == ("198.51.100.7", port)


def test_no_rtcp_port_above_the_last():
    assert choose(sdp("m=audio 65535 RTP/AVP 0"), CAPS).remote_rtcp is None


def test_our_offer_names_every_payload_type():
    offer = make_offer(WIDE, LOCAL)
    media = SessionDescription.parse(offer).media[0]
    assert media.formats == ("96", "9", "0", "8", "101", "110")
    for payload_type in media.formats:
        assert offer.count(f"a=rtpmap:{payload_type} ".encode()) == 1
    assert offer.count(b"\r\nc=") == 1 and b"a=sendrecv" in offer and b"a=rtcp-mux" in offer
    assert b"telephone-event/48000" not in make_offer(CAPS, LOCAL)
    assert b"a=sendonly" in make_offer(CAPS, LOCAL, "sendonly")
    with pytest.raises(MisuseError):
        make_offer(CAPS, LOCAL, "loud")


def test_our_event_type_steps_aside_for_a_format():
    caps = Capabilities((Format("L16", 8000, 101), PCMU))
    assert SessionDescription.parse(make_offer(caps, LOCAL)).media[0].formats == ("101", "0", "102")


def test_an_answer_is_read():
    offered = make_offer(WIDE, LOCAL)
    answer = sdp("m=audio 4000 RTP/AVP 0 96 101", "a=rtpmap:96 opus/48000/2", "a=rtpmap:101 telephone-event/8000")
    agreed = read_answer(WIDE, offered, answer)
    assert agreed.tx_format == PCMU and agreed.rx_formats == (PCMU, OPUS)
    assert (agreed.telephone_event, agreed.telephone_event_rx, agreed.rtcp_mux) == (101, 101, False)
    assert agreed.remote == ("198.51.100.7", 4000) and agreed.direction == "sendrecv"


def test_an_answer_with_payload_types_of_its_own():
    answer = sdp("m=audio 4000 RTP/AVP 120 121", "a=rtpmap:120 opus/48000/2", "a=rtpmap:121 telephone-event/48000")
    agreed = read_answer(WIDE, make_offer(WIDE, LOCAL), answer)
    assert agreed.tx_format == Format("opus", 48000, 120) and agreed.rx_formats == (OPUS,)
    assert (agreed.telephone_event, agreed.telephone_event_rx) == (121, 110)


def test_what_we_answer_can_be_read_as_an_answer():
    offered = make_offer(WIDE, LOCAL)
    agreed = read_answer(WIDE, offered, make_answer(choose(offered, CAPS), LOCAL))
    assert agreed.tx_format == PCMU and agreed.rtcp_mux and agreed.telephone_event == 101


@pytest.mark.parametrize(("offered", "answered", "ours"), [
    ("sendrecv", "sendrecv", "sendrecv"), ("sendrecv", "sendonly", "recvonly"), ("sendonly", "recvonly", "sendonly"),
    ("sendonly", "sendrecv", "sendonly"), ("recvonly", "sendrecv", "recvonly"), ("inactive", "sendrecv", "inactive"),
    ("sendonly", "sendonly", "inactive"),
])
def test_direction_is_no_wider_than_offered(offered, answered, ours):
    answer = sdp("m=audio 4000 RTP/AVP 0", f"a={answered}")
    assert read_answer(CAPS, make_offer(CAPS, LOCAL, offered), answer).direction == ours


@pytest.mark.parametrize("answer", [
    sdp(), sdp("m=audio 0 RTP/AVP 0"), sdp("m=audio 4000 RTP/AVP 18"), sdp("m=video 4000 RTP/AVP 0"),
    sdp("m=audio 4000 RTP/AVP 0", "m=video 0 RTP/AVP 31"), sdp("m=audio 4000 RTP/SAVP 0"), b"junk",
])
def test_an_answer_refused(answer):
    with pytest.raises(OfferError):
        read_answer(CAPS, make_offer(CAPS, LOCAL), answer)


# --- a running call --------------------------------------------------------------------------------------------------
def test_a_new_offer_may_change_everything():
    running = choose(sdp("m=audio 4000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000"), CAPS)
    moved = sdp("m=audio 4100 RTP/AVPF 8 0 97", "a=rtpmap:97 telephone-event/8000", connection="IN IP4 198.51.100.8")
    agreed = choose(moved, CAPS, running)
    assert (agreed.remote, agreed.remote_rtcp) == (("198.51.100.8", 4100), ("198.51.100.8", 4101))
    assert (agreed.tx_format, agreed.rx_formats, agreed.telephone_event_rx) == (PCMA, (PCMA,), 97)
    assert b"m=audio 10000 RTP/AVPF 8 97\r\n" in make_answer(agreed, LOCAL)


def test_a_stream_stopped_in_a_running_call_is_a_hold():
    """Port 0 (RFC 3264 section 8.2) is answered with port 0; the next offer takes it up again."""
    running = choose(sdp("m=audio 4000 RTP/AVP 0"), CAPS)
    stop = sdp("m=audio 0 RTP/AVP 0", "m=video 0 RTP/AVP 31")
    stopped = choose(stop, CAPS, running)
    assert (stopped.remote, stopped.remote_rtcp, stopped.direction) == (None, None, "inactive")
    answer = SessionDescription.parse(make_answer(stopped, LOCAL))
    assert [(m.kind, m.port) for m in answer.media] == [("audio", 0), ("video", 0)]
    again = choose(sdp("m=audio 4000 RTP/AVP 0", "m=video 0 RTP/AVP 31"), CAPS, stopped)
    assert again.remote == ("198.51.100.7", 4000) and again.direction == "sendrecv"


@pytest.mark.parametrize("offer", [
    sdp("m=audio 0 RTP/AVP 0", "m=image 5000 udptl t38"),  # a fax machine: refused, it goes on in the voice channel
    sdp("m=image 5000 udptl t38"), sdp(), sdp("m=video 0 RTP/AVP 31"), sdp("m=audio 4000 RTP/AVP 18"),
])
def test_an_offer_without_audio_is_refused_in_a_running_call_too(offer):
    with pytest.raises(OfferError):
        choose(offer, CAPS, choose(sdp("m=audio 4000 RTP/AVP 0"), CAPS))


def test_a_call_cannot_begin_with_a_stream_that_is_stopped():
    with pytest.raises(OfferError, match="no audio stream"):
        choose(sdp("m=audio 0 RTP/AVP 0"), CAPS)
