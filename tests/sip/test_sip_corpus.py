"""The torture tests of RFC 4475, messages of real phones and session descriptions, against their stored verdicts."""

import csv
from pathlib import Path

import pytest

from sipconf.sip.framing import StreamFramer
from sipconf.sip.message import Request
from sipconf.sip.offer import Capabilities, Format, LocalMedia, OfferError, choose, make_answer
from sipconf.sip.parser import parse_message
from sipconf.sip.sdp import SessionDescription
from sipconf.sip.tokens import MalformedMessage

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpora"
HERE = (CORPUS / "index.tsv").is_file()
pytestmark = pytest.mark.skipif(not HERE, reason="the corpora are not beside the repository")

# Where the verdict leaves room or another floor decides: file -> why it parses although its class is "invalid".
PARSED_ANYWAY = {
    "badaspec": "blanks inside the angle brackets mean nothing else (verdict allows POLICY)",
    "baddn": "a comma in an unquoted From or To name cannot be a list (POLICY); a datagram may lack the empty line",
    "baddn_terminated": "as baddn",
    "baddate": "nobody here reads Date (verdict: 400, or ignore it)",
    "escruri": "headers in the Request-URI are kept and never obeyed; a real Polycom sends them (POLICY)",
    "snom105_register_auth_folded": "the fault is in Authorization: whoever reads the credentials answers 401",
}
# Faults that this floor leaves to the user agent: file -> status that the agent gives.
ACTED_ON_ABOVE = {"bext01": 420, "invut": 415, "regaut01": 401, "sdp01": 406, "unksm2": 400}
REFUSED = {"insuf": 400, "unkscm": 416, "novelsc": 416, "multi01": 400, "mcl01": 400}
# Their fault stands in a header that the answer must copy as it came.
ECHOED = {"badinv01", "badvers", "insuf", "quotbal", "scalar02"}
DISCARDED = {"bigcode", "scalarlg"}
CAPS = Capabilities((Format("PCMU", 8000, 0), Format("PCMA", 8000, 8), Format("opus", 48000, 96)))
LOCAL = LocalMedia("192.0.2.1", 10000, 10001, 1, 1)
ANSWERED_SDP = {
    "aiortc_audio_rtcp_without_port", "sdptransform_simulcast", "sipsorcery_sdpfixtures_127",
    "sipsorcery_sdpfixtures_147", "sipsorcery_sdpfixtures_91", "sipsorcery_sdpparsingregressionunittest_97",
    "sipsorcery_sdpunittests_1121", "sipsorcery_sdpunittests_168", "sipsorcery_sdpunittests_342",
    "sipsorcery_sdpunittests_861", "sipsorcery_sdpunittests_895", "sipsorcery_sdpunittests_937",
}


def rows(corpus: str) -> list[pytest.param]:
    if not HERE:
        return [pytest.param({}, id="absent")]
    with (CORPUS / "index.tsv").open(encoding="utf-8", newline="") as index:
        found = [row for row in csv.DictReader(index, delimiter="\t", quoting=csv.QUOTE_NONE)
                 if row["corpus"] == corpus]
    return [pytest.param(row, id=Path(row["file"]).stem) for row in found]


def data_of(row: dict) -> bytes:
    return (CORPUS / row["file"]).read_bytes()


def read(name: str) -> Request:
    return parse_message((CORPUS / name).read_bytes())


@pytest.mark.parametrize("row", rows("rfc4475") + rows("phones"))
def test_message(row):
    name, kind, data = Path(row["file"]).stem, row["class"], data_of(row)
    if kind == "unreferenced":
        with pytest.raises(MalformedMessage):
            parse_message(data)
    elif name in DISCARDED:
        with pytest.raises(MalformedMessage) as bad:
            parse_message(data)
        assert bad.value.salvage is None
    elif name in REFUSED or (kind == "invalid" and name not in PARSED_ANYWAY):
        with pytest.raises(MalformedMessage) as bad:
            parse_message(data)
        assert str(bad.value.status) in row["allowed_responses"].split(",")
        assert bad.value.status == REFUSED.get(name, bad.value.status)
        answer = bad.value.salvage.response(bad.value.status, to_tag="t").encode()
        assert parse_or_fault(answer) == ("fault" if name in ECHOED else "response")
    else:
        assert kind in ("valid", "response") or name in PARSED_ANYWAY or name in ACTED_ON_ABOVE
        message = parse_message(data)
        again = parse_message(message.encode())
        assert again.body == message.body and again.vias == message.vias and again.from_ == message.from_
        message.headers.remove("Content-Length")
        again.headers.remove("Content-Length")
        assert list(again.headers.items()) == list(message.headers.items())
        if isinstance(message, Request) and message.method != "ACK":
            answer = parse_message(message.response(200, to_tag="t").encode())
            assert answer.vias == message.vias and answer.cseq == message.cseq and answer.to.tag is not None


def parse_or_fault(data: bytes) -> str:
    try:
        parse_message(data)
    except MalformedMessage:
        return "fault"
    return "response"


@pytest.mark.parametrize("row", rows("rfc4475") + rows("phones"))
def test_stream_verdict_equals_datagram_verdict(row):
    """A message that a stream can cut is read the same; one octet at a time changes nothing."""
    data = data_of(row)
    outcomes = []
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        framer, framed = StreamFramer(), []
        try:
            for piece in pieces:
                framed += framer.feed(piece)
        except MalformedMessage as fault:
            outcomes.append((framed, fault.status))
        else:
            outcomes.append((framed, None))
    # One block delivers what stands in front of a fault first, so only the messages are compared then.
    assert outcomes[0][0] == outcomes[1][0]
    if outcomes[0][0]:
        assert parse_or_fault(outcomes[0][0][0]) == parse_or_fault(data)


def test_values_of_wsinv():
    request = read("rfc4475/wsinv.dat")
    assert (request.to.tag, request.from_.tag) == ("1918181833n", "98asjd8")
    assert request.from_.display_name == 'J Rosenberg \\"'
    assert (request.cseq.number, request.max_forwards, len(request.vias)) == (9, 68, 3)
    assert [via.branch for via in request.vias] == ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]
    assert request.contacts[0].display_name == 'Quoted string ""' and request.contacts[0].param("q") == "0.33"
    assert request.routes[0].uri.param("unknownwith") == "value"


def test_values_of_others():
    assert read("rfc4475/esc01.dat").uri.user == "sips:user@example.com"
    assert read("rfc4475/semiuri.dat").uri.user == "user;par=u@example.net"
    assert len(read("rfc4475/semiuri.dat").headers.get_all("Accept")) == 6
    assert len(read("rfc4475/longreq.dat").response(200).vias) == 34
    assert read("rfc4475/dblreq.dat").body == b"" and read("rfc4475/dblreq.dat").method == "REGISTER"
    assert len(read("rfc4475/mpart01.dat").body) == 553
    assert read("rfc4475/esc02.dat").method == "RE%47IST%45R" and len(read("rfc4475/esc02.dat").contacts) == 2
    assert [via.transport for via in read("rfc4475/transports.dat").vias] == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]
    assert len({contact.uri.user for contact in read("rfc4475/escnull.dat").contacts}) == 2
    assert read("rfc4475/cparam01.dat").contacts[0].uri.params == ()
    assert read("rfc4475/cparam02.dat").contacts[0].uri.has_param("unknownparam")
    assert read("rfc4475/regescrt.dat").contacts[0].uri.headers == "Route=%3Csip:sip.example.com%3E"
    assert read("rfc4475/inv2543.dat").via.branch is None and len(read("rfc4475/inv2543.dat").body) == 105
    assert "\x00" in read("rfc4475/intmeth.dat").to.display_name
    assert read("phones/linphone_desktop_message_sha256_ipv6.sip").via.host == "2001:db8:278:9f60:7a23:c334:1651:2503"


@pytest.mark.parametrize("row", rows("sdp"))
def test_session_description(row):
    data = data_of(row)
    description = SessionDescription.parse(data)
    listed = " | ".join(f"{m.kind} {m.port} {m.protocol} {' '.join(m.formats)}" for m in description.media)
    wanted = row["fields_to_check"].removeprefix("sdp.m=").replace("/2 ", " ")
    assert listed == wanted
    assert SessionDescription.parse(description.encode()) == description
    if Path(row["file"]).stem not in ANSWERED_SDP:  # secure media, or no audio codec of ours
        with pytest.raises(OfferError):
            choose(data, CAPS)
        return
    answer = SessionDescription.parse(make_answer(choose(data, CAPS), LOCAL))
    assert [(m.kind, m.protocol) for m in answer.media] == [(m.kind, m.protocol) for m in description.media]
    assert sum(m.port > 0 for m in answer.media) == 1


@pytest.mark.parametrize("row", rows("phones"))
def test_every_phones_plain_offer_gets_an_answer(row):
    message = parse_message(data_of(row))
    if message.content_type != "application/sdp":
        return
    if "SAVP" in row["fields_to_check"]:
        with pytest.raises(OfferError, match="SAVPF is not supported"):
            choose(message.body, CAPS)
        return
    text = make_answer(choose(message.body, CAPS), LOCAL)
    offered, answered = SessionDescription.parse(message.body).media, SessionDescription.parse(text).media
    assert len(offered) == len(answered) and text.count(b"\r\nc=") == 1
    for payload_type in answered[0].formats:
        assert payload_type in offered[0].formats and text.count(f"a=rtpmap:{payload_type} ".encode()) == 1
