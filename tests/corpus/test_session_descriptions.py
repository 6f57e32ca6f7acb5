"""Session descriptions of browsers, servers and telephones as offers: read, and answered section for section."""

import re

import pytest

from sipconf.sip.offer import LocalMedia, OfferError, choose, make_answer
from sipconf.sip.sdp import SessionDescription
from sipconf.sip.tokens import MalformedMessage
from tests.corpus.fields import listed
from tests.corpus.index import Row, rows
from tests.sim.house import CAPABILITIES

LOCAL = LocalMedia("192.0.2.1", 10000, 10001, 1, 1)
PLAIN = ("RTP/AVP", "RTP/AVPF")
SHARED = {"0", "8"}
"""Payload types that mean a codec of ours without further words."""
OURS = {"PCMU/8000", "PCMA/8000", "L16/8000", "L16/16000", "L16/48000"}


def offers_us_something(description: SessionDescription) -> bool:
    """Whether a plain, open audio section has a codec of ours, judged by its own lines."""
    for media in description.media:
        maps = {re.sub(r"\s*/\s*", "/", value.strip()).upper().partition(" ")[2].strip()
                for name, value in media.attributes if name == "rtpmap" and value}
        open_and_plain = media.kind == "audio" and media.port and media.protocol in PLAIN
        if open_and_plain and (SHARED & set(media.formats) or OURS & maps):
            return True
    return False


@pytest.mark.parametrize("row", rows("sdp"))
def test_session_description(row: Row) -> None:
    if row.kind == "invalid":
        with pytest.raises(OfferError) as refused:
            choose(row.data, CAPABILITIES)
        assert refused.value.status in row.allowed
        return
    description = SessionDescription.parse(row.data)
    assert listed(description) == row.fields.removeprefix("sdp.m=").replace("/2 ", " ")
    assert SessionDescription.parse(description.encode()) == description
    if not offers_us_something(description):  # secure media only, no codec of ours, or no audio
        with pytest.raises(OfferError) as refused:
            choose(row.data, CAPABILITIES)
        assert refused.value.status == 488
        return
    answer = SessionDescription.parse(make_answer(choose(row.data, CAPABILITIES), LOCAL))
    assert [(m.kind, m.protocol) for m in answer.media] == [(m.kind, m.protocol) for m in description.media]
    assert sum(media.port > 0 for media in answer.media) == 1
    for mine, theirs in zip(answer.media, description.media, strict=True):
        assert set(mine.formats) <= set(theirs.formats)


@pytest.mark.parametrize("row", rows("sdp"))
def test_every_cut_of_it_is_read_or_refused(row: Row) -> None:
    """A datagram may end anywhere."""
    data = row.data
    for end in range(0, len(data), max(1, len(data) // 200)):
        try:
            SessionDescription.parse(data[:end])
        except MalformedMessage as fault:
            assert fault.status == 400
