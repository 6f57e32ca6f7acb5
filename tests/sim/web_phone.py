"""A visitor of the join page in the simulation: calls by WebCalls, speaks and listens as an RtpPhone does.

Over "https" nothing but WebRTC passes (tests/web, tests/browsers); what the rooms make of a visitor is shown with plain
RTP, for which the flow has to call itself something else.
"""

from typing import Any

from sipconf import web_calls
from sipconf.sip.flow import Address, Flow
from tests.sim.rtp_phone import RtpPhone

SERVER_SIDE = ("192.0.2.1", 8443)


class WebPhone(RtpPhone):
    """log: what it was told, "answered", "403 This conference is locked" or "over: ..."."""

    def __init__(self, address: Address, house: Any, name: str, pitch: int) -> None:
        super().__init__(address, SERVER_SIDE, name, "", pitch, house.wire, pitch=pitch)
        self._house = house
        self.session = f"web-{pitch}-{name}"
        self.comes_for_events = True

    def offer(self, extension: str) -> None:
        flow = Flow("ws", self.address, SERVER_SIDE)
        self._house.web_calls.arrive(self.session, extension, self.name, self.sdp().encode(), flow)
        self._house.pump()

    def hear(self, output: web_calls.Output) -> None:
        if isinstance(output, web_calls.Answered):
            self.log.append("answered")
            self._read(output.answer.decode())
            self.in_call = True
            if self.comes_for_events:
                self._house.web_calls.confirm(self.session)
        elif isinstance(output, web_calls.Refused):
            self.log.append(f"{output.status} {output.reason}")
        else:
            self.in_call = False
            self.log.append(f"over: {output.reason}")

    def bye(self, now: float) -> None:
        self.in_call = False
        self._house.web_calls.leave(self.session, "the visitor hung up")
        self._house.pump()
