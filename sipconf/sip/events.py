"""What the SIP user agent tells the floor above (calls) and the edge (bytes). Frozen facts; no behaviour."""

from dataclasses import dataclass, field
from typing import Literal

from sipconf.sip.flow import Flow


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request is from, as proven: a user by digest (name: extension) or a trunk by source address. A visitor of
    the join page has proven nothing."""

    kind: Literal["user", "trunk", "visitor"]
    name: str


# Neither messages nor session descriptions are in any repr: passwords' proofs and SRTP keys stand in them.
# --- to the edge -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Send:
    """Bytes of one message for one peer. A stream flow without a connection is opened by the edge."""

    flow: Flow
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CloseFlow:
    """A stream whose framing is lost, or that is of no more use."""

    flow: Flow
    reason: str


# --- to the switchboard ----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class IncomingCall:
    """A new INVITE, already authenticated. offer is None for an offerless INVITE. caller_number is the user part of
    From (of P-Asserted-Identity, where a trunk sends it); for a user it is the extension. dialled may hold an access
    code: it is left out of repr."""

    session: str
    call_id: str
    identity: Identity
    dialled: str = field(repr=False)
    caller_number: str
    caller_name: str
    offer: bytes | None = field(repr=False)
    flow: Flow


@dataclass(frozen=True, slots=True)
class CallCancelled:
    """The caller gave up before our final answer, which is already sent, or we did for him. reason: ours, with the
    protocol and cause of his (RFC 3326) where he gives one: "cancelled by the caller (SIP 200)"."""

    session: str
    reason: str = "cancelled by the caller"


@dataclass(frozen=True, slots=True)
class CallConfirmed:
    """The ACK of our 200 arrived, or our 200 to an UPDATE is sent, which has none; answer holds its SDP where we made
    the offer (offerless INVITE or re-INVITE)."""

    session: str
    answer: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reoffered:
    """A re-INVITE or UPDATE wants new media (hold, resume, address change). Answer with `answer_reoffer` or
    `refuse_reoffer`. offer is None for an offerless re-INVITE (then the answer is ours to offer)."""

    session: str
    offer: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class InfoReceived:
    """A SIP INFO inside a call; 200 is already sent. content_type is lower case without parameters; body may hold a
    digit: it is left out of repr."""

    session: str
    content_type: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Referred:
    """The peer asks, inside its call, for somebody else to be called (REFER). Say how it fares with
    `report_referral`, for the first time at once. target: the user part that it names, perhaps "" beside replaces: the
    dialog, as `session_of` takes it, of the call that the new one is to take over, None for a plain wish."""

    session: str
    referral: str
    target: str = field(repr=False)
    replaces: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class CallProgress:
    """A provisional response (180, 183) to our INVITE."""

    session: str
    status: int
    reason: str
    answer: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """A 200 to our INVITE; the ACK is already sent. answer is its SDP."""

    session: str
    answer: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class CallFailed:
    """Our INVITE got a final refusal, or nothing (status 408), or the transport failed (503)."""

    session: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class CallEnded:
    """An established (or answered) call is over: BYE either way, no ACK, a dead dialog, a session that nobody
    refreshed. by_peer: they hung up; then reason has their protocol and cause as in CallCancelled."""

    session: str
    reason: str
    by_peer: bool


@dataclass(frozen=True, slots=True)
class ReofferFailed:
    """Our re-INVITE was refused, or had to give way to an offer of theirs or a refresh of ours (491); the call goes on
    as it was."""

    session: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class MediaRestated:
    """The peer described its media again, and nobody need answer: an offer of what is agreed already (a refresh of its
    own, which has had its answer), or another answer to a refresh of ours. Media may have to find its way anew."""

    session: str
    answer: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Registered:
    """Our own REGISTER was accepted for this many seconds (0: removed)."""

    registration: str
    expires: int


@dataclass(frozen=True, slots=True)
class RegisterFailed:
    """Our own REGISTER was refused, unanswered (408) or could not be sent (503)."""

    registration: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class RegistrationChanged:
    """An extension has now this many contacts."""

    extension: str
    contacts: int


@dataclass(frozen=True, slots=True)
class Counted:
    """Something worth a counter and nothing else: a malformed request, a stray response."""

    metric: str


CallEvent = (
    IncomingCall | CallCancelled | CallConfirmed | Reoffered | InfoReceived | Referred | CallProgress | CallAnswered
    | CallFailed | CallEnded | ReofferFailed | MediaRestated | Registered | RegisterFailed | RegistrationChanged
    | Counted
)
Output = Send | CloseFlow | CallEvent
