"""Every target by its name."""

from tests.fuzz.config_text import ConfigText
from tests.fuzz.driver import Target
from tests.fuzz.dtls_handshake import DtlsHandshake
from tests.fuzz.media_plane import Plane
from tests.fuzz.opus_packets import OpusPackets
from tests.fuzz.rtcp_compound import RtcpCompound
from tests.fuzz.rtp_block import RtpBlock
from tests.fuzz.sdp_offer import SdpOffer
from tests.fuzz.sip_address import SipAddress
from tests.fuzz.sip_agent import SipAgent
from tests.fuzz.sip_digest import SipDigest
from tests.fuzz.sip_parser import SipParser
from tests.fuzz.sip_stream import SipStream
from tests.fuzz.stun_checks import StunChecks
from tests.fuzz.websocket import WebSocketFrames

TARGETS: dict[str, type[Target]] = {
    each.name: each
    for each in (
        SipParser, SipAgent, SipStream, WebSocketFrames, SipAddress, SipDigest, SdpOffer, RtpBlock, RtcpCompound, Plane,
        OpusPackets, DtlsHandshake, StunChecks, ConfigText,
    )
}
