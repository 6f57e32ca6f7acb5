"""A line: one call as its two halves, the SIP session(s) and the media leg, and how the one is told of the other.

What lives here: offers read, answers written, the leg opened and connected to what was agreed, and the tables by which
a line is found. What does not: who may call and what happens in a room (conference/), and which event goes where
(switchboard).
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from sipconf.conference.commands import CallOut
from sipconf.media import protocol as media
from sipconf.media.keypress import KeyPresses
from sipconf.sip import offer as sdp_offer
from sipconf.sip.flow import Flow

log = logging.getLogger(__name__)

_FOUND = {"hold music": "hold music", "echo": "an echo of the others"}
_NUMBER = re.compile(r"\+?[0-9]{1,24}", re.ASCII)


class Stage(Enum):
    """How far a line has come."""

    ARRIVED = auto()    # an INVITE waits for the conference's decision
    OPENING = auto()    # answered by the conference; the media leg is being opened
    CALLING = auto()    # we ring somebody
    ANSWERED = auto()   # 200 sent or received, not yet confirmed to the conference
    CONNECTED = auto()  # the conference has been told


@dataclass(slots=True)
class Line:
    """One call. `sessions` are the SIP sessions that stand for it, each with the flow it goes by: one, or while
    ringing one per telephone rung; in their order, so that the same events have the same effects. `flow`: the one that
    media follows. `call_id`: how log lines name it."""

    call: str
    leg: int
    stage: Stage
    sessions: dict[str, Flow]
    flow: Flow
    call_id: str = ""
    began: float = 0.0                  # monotonic seconds
    negotiated: sdp_offer.Negotiated | None = None
    local: sdp_offer.LocalMedia | None = None
    made_offer: bytes | None = None     # ours, waiting for its answer
    opened: bool = False                # the media plane knows the leg
    held: bool = False
    trunk: bool = False                 # it came from a trunk, whose media may be anywhere
    talking: bool = False
    calling: CallOut | None = None      # whom an outgoing call rings
    room: str | None = None             # the one it is for, from the opening of its leg on
    inside: bool = False                # it is in that room's mix
    failures: list[tuple[int, str]] = field(default_factory=list)
    presses: KeyPresses = field(default_factory=KeyPresses)

    def log_end(self, reason: str, now: float) -> None:
        """One line about the call's end; reason is of our own words."""
        answered = "" if self.stage in (Stage.ANSWERED, Stage.CONNECTED) else ", not answered"
        log.info("call over after %.1f s%s: %s", now - self.began, answered, reason, extra={"call": self.call_id})

    def log_guard(self, reason: str | None) -> None:
        """One line about a voice that a guard takes out of the room, or lets be heard again."""
        if reason is None:
            log.info("heard in the room again", extra={"call": self.call_id})
        else:
            log.info("taken out of the room's sound: the line plays %s into it", _FOUND[reason],
                     extra={"call": self.call_id})

    @property
    def session(self) -> str:
        """The one session of an answered or incoming call."""
        (session,) = self.sessions
        return session

    @property
    def codec(self) -> str:
        """What we send, for people: "PCMU", "L16/16000"."""
        if self.negotiated is None:
            return ""
        sent = self.negotiated.tx_format
        return sent.encoding if sent.clock_rate == 8000 else f"{sent.encoding}/{sent.clock_rate}"

    @property
    def failure(self) -> tuple[int, str]:
        """The most telling answer of several telephones: a person's refusal over a machine's (RFC 3261 section 16.7
        step 6)."""
        return max(self.failures, key=lambda failure: (failure[0] >= 600, failure[0] in (486, 480), failure[0] != 408))

    def describe_offer(self, capabilities: sdp_offer.Capabilities) -> bytes:
        """Write our own offer for the opened leg, and remember it for the answer."""
        assert self.local is not None
        self.made_offer = sdp_offer.make_offer(capabilities, self.local)
        return self.made_offer

    def read_offer(self, offer: bytes, capabilities: sdp_offer.Capabilities) -> None:
        """Choose from a peer's offer. Raises OfferError (488, 400); then all is as before."""
        self.negotiated = sdp_offer.choose(offer, capabilities, self.negotiated)

    def write_answer(self) -> bytes:
        """The answer to the offer that was read."""
        assert self.local is not None and self.negotiated is not None
        return sdp_offer.make_answer(self.negotiated, self.local)

    def take_answer(self, answer: bytes, capabilities: sdp_offer.Capabilities) -> None:
        """Read the answer to our own offer; to one that offered what is agreed (a refresh) it is read like an offer,
        under whose payload types we agreed. Raises OfferError."""
        if self.made_offer is None:
            self.read_offer(answer, capabilities)
            return
        self.negotiated = sdp_offer.read_answer(capabilities, self.made_offer, answer)
        self.made_offer = None

    def answer_again(self, offer: bytes | None, capabilities: sdp_offer.Capabilities) -> bytes:
        """What to say to a peer's new offer, or to its wish for one of ours (None), in a running call. Raises
        OfferError; then all is as before."""
        if offer is not None:
            self.read_offer(offer, capabilities)
        assert self.local is not None
        self.local = replace(self.local, version=self.local.version + 1)  # RFC 3264 section 8
        return self.describe_offer(capabilities) if offer is None else self.write_answer()

    def connection(self) -> media.ConnectLeg:
        """The command that tells the media leg what was agreed."""
        agreed = self.negotiated
        assert agreed is not None

        def rtp_format(chosen: sdp_offer.Format) -> media.RtpFormat:
            return media.RtpFormat(chosen.encoding, chosen.clock_rate, chosen.payload_type)

        return media.ConnectLeg(
            leg=self.leg,
            remote=agreed.remote,
            remote_rtcp=agreed.remote_rtcp,
            signalling_host=self.flow.remote[0],
            rx_formats=tuple(rtp_format(each) for each in agreed.rx_formats),
            tx_format=rtp_format(agreed.tx_format),
            telephone_event=agreed.telephone_event_rx,
            rtcp_mux=agreed.rtcp_mux,
            direction=agreed.direction,
            ptime_ms=20,
            trusted=self.trunk,
        )


@dataclass(slots=True)
class _Room:
    """number: the media plane's. lines: that are for this room; inside: those of them in its mix."""

    number: int
    lines: int = 0
    inside: int = 0


class Lines:
    """All lines, found by call, SIP session or media leg, and the media plane's numbers for the rooms they are in."""

    def __init__(self) -> None:
        self._by_call: dict[str, Line] = {}
        self._by_session: dict[str, Line] = {}
        self._by_leg: dict[int, Line] = {}
        self._rooms: dict[str, _Room] = {}
        self._last_leg = 0
        self._last_room = 0

    def __len__(self) -> int:
        return len(self._by_call)

    def __iter__(self) -> Iterator[Line]:
        """Over those there are now: they may end on the way."""
        return iter(list(self._by_call.values()))

    def of_call(self, call: str) -> Line | None:
        return self._by_call.get(call)

    def of_session(self, session: str) -> Line | None:
        return self._by_session.get(session)

    def of_leg(self, leg: int) -> Line | None:
        return self._by_leg.get(leg)

    def open(self, call: str, stage: Stage, flow: Flow, call_id: str, now: float = 0.0) -> Line:
        """A new line with a leg number of its own and no session yet."""
        self._last_leg += 1
        line = Line(call, self._last_leg, stage, {}, flow, call_id, now)
        self._by_call[call] = self._by_leg[line.leg] = line
        return line

    def close(self, line: Line) -> None:
        """Nothing finds this line any more."""
        del self._by_call[line.call], self._by_leg[line.leg]
        self._cancel(line)
        for session in list(line.sessions):
            self.remove_session(line, session)

    def add_session(self, line: Line, session: str, flow: Flow) -> None:
        """A SIP session stands for this line."""
        line.sessions[session] = flow
        self._by_session[session] = line

    def remove_session(self, line: Line, session: str) -> Flow:
        """A SIP session is of no more interest; the flow it went by."""
        del self._by_session[session]
        return line.sessions.pop(session)

    def room(self, name: str) -> int | None:
        """The plane's number of a room with lines in its mix."""
        room = self._rooms.get(name)
        return room.number if room is not None and room.inside else None

    def book(self, line: Line, name: str) -> int:
        """Note which room a line is for; the room's number, the same until the last such line closes."""
        if line.room != name:
            self._cancel(line)
            if name not in self._rooms:
                self._last_room += 1
                self._rooms[name] = _Room(self._last_room)
            line.room = name
            self._rooms[name].lines += 1
        return self._rooms[name].number

    def enter(self, line: Line, name: str) -> int:
        """Put a line in a room's mix; the room's number."""
        number = self.book(line, name)
        if not line.inside:
            line.inside = True
            self._rooms[name].inside += 1
        return number

    def leave(self, line: Line) -> None:
        """Take a line out of its room's mix. The room stays its own: it may come back."""
        if line.inside and line.room is not None:
            line.inside = False
            self._rooms[line.room].inside -= 1

    def _cancel(self, line: Line) -> None:
        """The line is for no room any more; a room's number goes with its last line."""
        self.leave(line)
        name, line.room = line.room, None
        if name is None:
            return
        self._rooms[name].lines -= 1
        if not self._rooms[name].lines:
            del self._rooms[name]

    def leftovers(self) -> int:
        """How much is still remembered; nothing once every line is closed."""
        return len(self._by_call) + len(self._by_session) + len(self._by_leg) + len(self._rooms)


def number_for_log(dialled: str) -> str:
    """What was dialled as far as it can be no access code: the number in front; the rest is only hinted at."""
    number = _NUMBER.match(dialled)
    shown = number[0] if number else ""
    return shown if shown == dialled else shown + "..."
