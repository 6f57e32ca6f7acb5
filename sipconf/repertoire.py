"""What we speak, in the file's order: the codecs' names made into formats that offers and answers are written with."""

from sipconf.config import Config
from sipconf.sip.offer import Capabilities, Format

FORMATS = {
    # RFC 7587 section 7: we mend losses by FEC, and take packets from 10 ms on.
    "opus": Format("opus", 48000, 111, "minptime=10;useinbandfec=1"),
    "G722": Format("G722", 8000, 9),  # RFC 3551 section 4.5.2: called 8000 by an old mistake, it is 16000
    "PCMU": Format("PCMU", 8000, 0),
    "PCMA": Format("PCMA", 8000, 8),
}
UNCOMPRESSED = (Format("L16", 48000, 96), Format("L16", 16000, 97), Format("L16", 8000, 98))
"""What is understood last: measuring instruments speak it, hardly a telephone."""


def capabilities_of(config: Config) -> Capabilities:
    """Our order decides, not the telephones': many name G.711 before what sounds better."""
    named = tuple(FORMATS[name] for name in config.rtp.codecs)
    return Capabilities(formats=named + UNCOMPRESSED, prefer_ours=True)
