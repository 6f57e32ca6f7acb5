"""A line's offers and answers, and the tables by which lines are found."""

import random
from dataclasses import replace

import pytest

from sipconf.errors import MisuseError
from sipconf.line import Line, Stage
from sipconf.lines import Lines
from sipconf.sip.flow import Flow
from sipconf.sip.offer import Capabilities, Credentials, Format, LocalMedia, OfferError, Protection, WebRtc

FLOW = Flow("udp", ("198.51.100.1", 5062), ("192.0.2.1", 5060))
OTHER = Flow("udp", ("198.51.100.2", 5062), ("192.0.2.1", 5060))
CAPABILITIES = Capabilities((Format("PCMU", 8000, 0), Format("PCMA", 8000, 8), Format("L16", 16000, 97)))

RNG = random.Random(1)


def sdp(formats: str, *attributes: str, host: str = "198.51.100.1") -> bytes:
    lines = ["v=0", "o=- 1 1 IN IP4 198.51.100.1", "s=-", f"c=IN IP4 {host}", "t=0 0"]
    lines.append(f"m=audio 4000 RTP/AVP {formats}")
    return "".join(f"{line}\r\n" for line in (*lines, *attributes)).encode()


@pytest.fixture
def line() -> Line:
    line = Lines().open("call", Stage.OPENING, FLOW, "id")
    line.local = LocalMedia("192.0.2.1", 10000, 10001, 7, 1)
    return line


def version(description: bytes) -> int:
    return int(description.split(b"o=- ")[1].split()[1])


def test_an_offer_becomes_an_answer_and_a_connection(line: Line) -> None:
    line.read_offer(sdp("8 101", "a=rtpmap:101 telephone-event/8000", "a=sendonly"), CAPABILITIES)
    answer = line.write_answer(RNG)
    assert b"m=audio 10000 RTP/AVP 8 101\r\n" in answer and b"a=recvonly\r\n" in answer
    terms = line.connection()
    assert (terms.leg, terms.remote, terms.signalling_host) == (line.leg, ("198.51.100.1", 4000), "198.51.100.1")
    assert (terms.telephone_event, terms.direction, terms.tx_format.encoding) == (101, "recvonly", "PCMA")
    assert line.codec == "PCMA"


def test_digits_arrive_under_the_type_of_our_offer_whatever_the_answer_calls_them(line: Line) -> None:
    line.describe_offer(CAPABILITIES, RNG)
    line.take_answer(sdp("0 120", "a=rtpmap:120 telephone-event/8000"), CAPABILITIES)
    assert line.connection().telephone_event == 101


def test_without_digits_there_is_no_type_of_digits(line: Line) -> None:
    line.describe_offer(CAPABILITIES, RNG)
    line.take_answer(sdp("0"), CAPABILITIES)
    assert line.connection().telephone_event is None


def test_the_codec_names_its_rate_where_it_is_not_the_telephones(line: Line) -> None:
    assert line.codec == ""
    line.read_offer(sdp("97", "a=rtpmap:97 L16/16000"), CAPABILITIES)
    assert line.codec == "L16/16000"


def test_versions_count_what_was_said_and_not_what_was_refused(line: Line) -> None:
    line.read_offer(sdp("0"), CAPABILITIES)
    assert version(line.write_answer(RNG)) == 1
    before = line.negotiated
    with pytest.raises(OfferError):
        line.answer_again(sdp("18"), CAPABILITIES, RNG)
    assert line.negotiated is before
    assert version(line.answer_again(sdp("0"), CAPABILITIES, RNG)) == 2
    assert version(line.answer_again(None, CAPABILITIES, RNG)) == 3
    assert line.made_offer is not None
    line.take_answer(sdp("8"), CAPABILITIES)
    assert line.made_offer is None and line.codec == "PCMA"


def test_a_broken_answer_leaves_the_offer_open(line: Line) -> None:
    line.describe_offer(CAPABILITIES, RNG)
    with pytest.raises(OfferError):
        line.take_answer(b"hello", CAPABILITIES)
    assert line.made_offer is not None and line.negotiated is None


@pytest.mark.parametrize(
    ("failures", "told"),
    [
        ([(408, ""), (486, "Busy")], 486),
        ([(486, "Busy"), (408, "")], 486),
        ([(480, ""), (603, "Decline")], 603),
        ([(404, ""), (408, "")], 404),
        ([(500, ""), (480, "")], 480),
    ],
)
def test_the_most_telling_failure_of_several_telephones(line: Line, failures: list[tuple[int, str]], told: int) -> None:
    line.failures = failures
    assert line.failure[0] == told


# --- tables ----------------------------------------------------------------------------------------------------------
def test_a_line_is_found_until_it_is_closed() -> None:
    lines = Lines()
    one, two = lines.open("one", Stage.ARRIVED, FLOW, "1"), lines.open("two", Stage.CALLING, OTHER, "2")
    lines.add_session(one, "s1", FLOW)
    for session in ("s2", "s3"):
        lines.add_session(two, session, OTHER)
    assert one.leg != two.leg and list(lines) == [one, two] and len(lines) == 2
    assert (lines.of_call("one"), lines.of_session("s3"), lines.of_leg(two.leg)) == (one, two, two)
    assert lines.remove_session(two, "s2") == OTHER
    assert list(two.sessions) == ["s3"] and lines.of_session("s2") is None and two.session == "s3"
    for line in lines:
        lines.close(line)
    assert (lines.of_call("one"), lines.of_session("s3"), lines.of_leg(two.leg)) == (None, None, None)
    assert lines.leftovers() == 0


def test_a_room_keeps_its_number_while_somebody_is_in_it() -> None:
    lines = Lines()
    one, two = [lines.open(call, Stage.CONNECTED, FLOW, call) for call in ("one", "two")]
    number = lines.enter(one, "2001")
    assert lines.enter(one, "2001") == number, "who enters the room he is in stays there"
    assert lines.enter(two, "2001") == number == lines.room("2001")
    assert lines.enter(two, "2002") not in (number, None)
    lines.leave(one)
    assert lines.room("2001") is None and lines.room("2002") is not None
    lines.close(two)
    assert lines.room("2002") is None
    lines.leave(one)  # is in none
    lines.close(one)
    assert lines.leftovers() == 0


# --- keys ------------------------------------------------------------------------------------------------------------
KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
OTHER_KEY = KEY.replace("d0Rm", "d0Rn")


def secure(key: str, suite: str = "AES_CM_128_HMAC_SHA1_80", tag: int = 1) -> bytes:
    return sdp("0", f"a=crypto:{tag} {suite} inline:{key}").replace(b"RTP/AVP", b"RTP/SAVP")


@pytest.fixture
def srtp(line: Line) -> Line:
    line.protection = Protection(sdes=True)
    line.read_offer(secure(KEY), CAPABILITIES)
    line.write_answer(RNG)
    return line


def test_our_key_goes_on_with_theirs_under_whatever_tag(srtp: Line) -> None:
    before = srtp.connection().srtp
    assert b"a=crypto:5 AES_CM_128_HMAC_SHA1_80 " in srtp.answer_again(secure(KEY, tag=5), CAPABILITIES, RNG)
    assert srtp.connection().srtp == before
    srtp.answer_again(secure(OTHER_KEY), CAPABILITIES, RNG)
    after = srtp.connection().srtp
    assert after is not None and before is not None and after.rx != before.rx and after.tx != before.tx
    srtp.answer_again(secure(OTHER_KEY, "AES_CM_128_HMAC_SHA1_32"), CAPABILITIES, RNG)
    assert srtp.connection().srtp.profile == "AES_CM_128_HMAC_SHA1_32"


def test_an_offer_of_ours_in_an_srtp_call_has_the_key_that_it_had(srtp: Line) -> None:
    before = srtp.connection().srtp
    offer = srtp.answer_again(None, CAPABILITIES, RNG)
    assert b"RTP/SAVP" in offer and offer.count(b"a=crypto:") == 1
    srtp.take_answer(secure(KEY), CAPABILITIES)
    assert srtp.connection().srtp == before


def test_an_answer_to_a_refresh_keeps_to_its_suite(srtp: Line) -> None:
    before = srtp.connection()
    with pytest.raises(OfferError, match="another SRTP suite"):
        srtp.take_answer(secure(KEY, "AES_CM_128_HMAC_SHA1_32"), CAPABILITIES)
    assert srtp.connection() == before
    srtp.take_answer(secure(OTHER_KEY), CAPABILITIES)
    assert srtp.connection().srtp.tx == before.srtp.tx  # it was said already


def test_no_encrypted_call_is_connected_in_the_clear(srtp: Line) -> None:
    srtp.negotiated = replace(srtp.negotiated, crypto=None, webrtc=WebRtc(Credentials("u", "p"), (), "passive", True))
    with pytest.raises(MisuseError, match="neither keys"):
        srtp.connection()


def test_no_repr_of_a_line_or_its_terms_shows_a_key(srtp: Line) -> None:
    shown = repr(srtp) + repr(srtp.connection())
    assert KEY not in shown and repr(srtp.connection().srtp.tx)[2:-1] not in shown


def test_what_was_agreed_may_arrive_and_be_sent_back(line: Line) -> None:
    line.describe_offer(CAPABILITIES, RNG)
    line.take_answer(sdp("97 0 8", "a=rtpmap:97 L16/16000"), CAPABILITIES)
    assert [each.encoding for each in line.connection().rx_formats] == ["L16", "PCMU", "PCMA"]
    assert [each.payload_type for each in line.connection().tx_formats] == [97, 0, 8]
