"""SIPp as a telephone: its own SIP from a scenario, its voice and ears an `RtpLine` on the port that its SDP names."""

import re
import subprocess
from pathlib import Path

import numpy as np

from tests.clients.rtp_line import RtpLine
from tests.clients.telephones import PATIENCE, Telephone, free_port, wait_for
from tests.clients.tones import voice

_HEAD = '<?xml version="1.0" encoding="ISO-8859-1" ?>\n<scenario name="telephone">\n'

REGISTER = """  <send retrans="500"><![CDATA[
    REGISTER sip:[remote_ip]:[remote_port] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
    From: <sip:{extension}@[remote_ip]>;tag=[call_number]r
    To: <sip:{extension}@[remote_ip]>
    Call-ID: [call_id]
    CSeq: {cseq} REGISTER
    Contact: <sip:{extension}@[local_ip]:[local_port]>
    Max-Forwards: 70
    Expires: 300
    {authorization}
    Content-Length: 0

  ]]></send>
"""

INVITE = """  <send retrans="500"><![CDATA[
    INVITE sip:{number}@[remote_ip]:[remote_port] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
    From: "{name}" <sip:{extension}@[remote_ip]>;tag=[call_number]i
    To: <sip:{number}@[remote_ip]:[remote_port]>
    Call-ID: [call_id]
    CSeq: {cseq} INVITE
    Contact: <sip:{extension}@[local_ip]:[local_port]>
    Max-Forwards: 70
    {authorization}
    Content-Type: application/sdp
    Content-Length: [len]

    v=0
    o=sipp 1 1 IN IP[local_ip_type] [local_ip]
    s=-
    c=IN IP[local_ip_type] [local_ip]
    t=0 0
    m=audio {rtp} RTP/AVP {formats}
    a=rtpmap:0 PCMU/8000
    {events}
    a=sendrecv
  ]]></send>
"""

EVENTS = "a=rtpmap:101 telephone-event/8000\n    a=fmtp:101 0-15"

ACK_REFUSAL = """  <send><![CDATA[
    ACK sip:{number}@[remote_ip]:[remote_port] SIP/2.0
    [last_Via:]
    [last_From:]
    [last_To:]
    [last_Call-ID:]
    CSeq: {cseq} ACK
    Max-Forwards: 70
    Content-Length: 0

  ]]></send>
"""

ACK = """  <send><![CDATA[
    ACK [next_url] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
    [last_From:]
    [last_To:]
    [last_Call-ID:]
    CSeq: {cseq} ACK
    Max-Forwards: 70
    Content-Length: 0

  ]]></send>
"""

REQUEST = """  <send retrans="500"><![CDATA[
    {method} {target} SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch{branch}];rport
    From: "{name}" <sip:{extension}@[remote_ip]>;tag=[call_number]i
    To: <sip:{number}@[remote_ip]:[remote_port]>[peer_tag_param]
    Call-ID: [call_id]
    CSeq: {cseq} {method}
    Max-Forwards: 70
    Content-Length: 0

  ]]></send>
"""

RINGING = '  <recv response="100" optional="true"></recv>\n  <recv response="180" optional="true"></recv>\n'
ANSWERED = '  <recv response="200" rrs="true"></recv>\n'
CHALLENGED = '  <recv response="401" auth="true"></recv>\n'
PEER_HANGS_UP = """  <recv request="BYE"></recv>
  <send><![CDATA[
    SIP/2.0 200 OK
    [last_Via:]
    [last_From:]
    [last_To:]
    [last_Call-ID:]
    [last_CSeq:]
    Content-Length: 0

  ]]></send>
"""


class Sipp(Telephone):
    """One SIPp process per call; it trusts nobody's parser but its own. in_band: it offers no telephone-event, its keys
    are tones in the voice."""

    program = "sipp"
    line: RtpLine | None = None
    in_band = False

    def start(self) -> None:
        """Register, and be ready to dial."""
        self.local_address = "127.0.0.1"
        self.sip_port = free_port()
        if self.password:
            words = self._words(cseq=1)
            scenario = (REGISTER.format(**words, authorization="") + CHALLENGED
                        + REGISTER.format(**{**words, "cseq": 2}, authorization=self._authorization) + ANSWERED)
            assert self._sipp("register", scenario).wait(PATIENCE) == 0, self._complaint("register")

    def wait_registered(self) -> None:
        """`start` has waited already."""

    @property
    def _authorization(self) -> str:
        return f"[authentication username={self.extension} password={self.password}]"

    def _words(self, **more: object) -> dict[str, object]:
        return {"extension": self.extension, "name": f"Telephone {self.extension}", **more}

    def _sipp(self, name: str, body: str) -> subprocess.Popen:
        scenario = self.folder / f"{name}.xml"
        scenario.write_text(_HEAD + re.sub(r"^ +\n", "", body, flags=re.MULTILINE) + "</scenario>\n")
        return self.run(
            "sipp", f"{self.server[0]}:{self.server[1]}", "-sf", str(scenario), "-m", "1", "-i", self.local_address,
             "-p", str(self.sip_port), "-mp", str(free_port()), "-nostdin", "-timeout", "120", "-timeout_error",
             "-trace_msg", "-message_file", str(self.folder / f"{name}.messages"), "-trace_err", "-error_file",
             str(self.folder / f"{name}.errors"))

    def _complaint(self, name: str) -> str:
        path = self.folder / f"{name}.errors"
        return path.read_text(errors="replace")[-2000:] if path.exists() else "sipp left no error file"

    def _invite(self, number: str, rtp: int) -> tuple[str, dict[str, object]]:
        formats, events = ("0", "") if self.in_band else ("0 101", EVENTS)
        words = self._words(number=number, rtp=rtp, cseq=1, formats=formats, events=events)
        if not self.password:
            return INVITE.format(**words, authorization=""), words
        first = INVITE.format(**words, authorization="") + RINGING.splitlines(keepends=True)[0] + CHALLENGED
        first += ACK_REFUSAL.format(**words)
        words["cseq"] = 2
        return first + INVITE.format(**words, authorization=self._authorization), words

    def call(self, number: str, seconds: float = 75.0) -> None:
        """Dial, wait for the answer, talk; hang up after so many seconds, or be stopped before."""
        rtp = free_port()
        self.line = RtpLine(rtp, voice(self.tone_hz, 60.0), self.local_address, in_band=self.in_band)
        invite, words = self._invite(number, rtp)
        words["cseq"] = int(words["cseq"]) + 1
        bye = REQUEST.format(method="BYE", target="[next_url]", branch="", **words)
        ack = ACK.format(**{**words, "cseq": words["cseq"] - 1})
        pause = f'  <pause milliseconds="{int(seconds * 1000)}"/>\n'
        self.process = self._sipp("call", invite + RINGING + ANSWERED + ack + pause + bye
                                  + '  <recv response="200"></recv>\n')
        self.line.start(("127.0.0.1", self._answered_port("call")))

    def call_until_they_hang_up(self, number: str) -> None:
        """Dial, wait for the answer, talk, and expect the other end's BYE."""
        rtp = free_port()
        self.line = RtpLine(rtp, voice(self.tone_hz, 60.0), self.local_address, in_band=self.in_band)
        invite, words = self._invite(number, rtp)
        self.process = self._sipp("call", invite + RINGING + ANSWERED + ACK.format(**words) + PEER_HANGS_UP)
        self.line.start(("127.0.0.1", self._answered_port("call")))

    def call_and_be_refused(self, number: str, status: int) -> str:
        """Dial and expect this refusal; returns its status line."""
        invite, words = self._invite(number, free_port())
        process = self._sipp("refused", invite + RINGING + f'  <recv response="{status}"></recv>\n'
                             + ACK_REFUSAL.format(**words))
        assert process.wait(PATIENCE) == 0, self._complaint("refused")
        lines = re.findall(rf"^SIP/2\.0 {status} .*$", (self.folder / "refused.messages").read_text(), re.MULTILINE)
        return lines[-1].strip()

    def call_and_give_up(self, number: str) -> None:
        """Dial, let it ring for two seconds, and cancel; expects 487."""
        invite, words = self._invite(number, free_port())
        cancel = REQUEST.format(method="CANCEL", target=f"sip:{number}@[remote_ip]:[remote_port]", branch="-4",
                                **words).replace("[peer_tag_param]", "")
        rings = RINGING.replace('180" optional="true"', '180"') + '  <pause milliseconds="2000"/>\n'
        process = self._sipp("cancel", invite + rings + cancel + '  <recv response="200"></recv>\n'
                             '  <recv response="487"></recv>\n' + ACK_REFUSAL.format(**words))
        assert process.wait(PATIENCE) == 0, self._complaint("cancel")

    def _answered_port(self, name: str) -> int:
        messages: Path = self.folder / f"{name}.messages"

        def port() -> int | None:
            if not messages.exists():
                return None
            found = re.search(r"SIP/2\.0 200 OK.*?^m=audio (\d+) ", messages.read_text(), re.DOTALL | re.MULTILINE)
            return int(found[1]) if found else None

        return int(wait_for("SIPp's call to be answered", port))  # type: ignore[call-overload]

    def press(self, digits: str) -> None:
        """Key digits."""
        assert self.line is not None
        self.line.press(digits)

    def wait_ended(self) -> None:
        """Wait until the scenario has run to its end, and judge it."""
        assert self.process is not None
        assert self.process.wait(PATIENCE) == 0, self._complaint("call")

    def stop(self) -> None:
        if self.line is not None:
            self.line.stop()
        super().stop()

    def heard(self) -> tuple[np.ndarray, int]:
        """Everything until now."""
        assert self.line is not None
        return self.line.heard()

    def recorded(self) -> float:
        """Seconds of what it has heard until now."""
        samples, rate = self.heard()
        return len(samples) / rate
