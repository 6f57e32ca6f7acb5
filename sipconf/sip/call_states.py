"""Where a call can be and what can happen to it: the rows and columns of call_table (RFC 3261 sections 9, 13 to 15)."""

from enum import Enum


class State(Enum):
    """Where a call is."""

    INVITED = "invited"  # theirs: no final answer yet
    ANSWERED = "answered"  # our 200 waits for its ACK
    LEAVING = "leaving"  # the same, and a BYE will follow
    CALLING = "calling"  # ours: nothing heard yet
    EARLY = "early"  # ours: a 1xx was heard
    GIVING_UP = "giving up"  # ours: to be cancelled as soon as a 1xx comes
    CANCELLED = "cancelled"  # ours: the CANCEL is out
    ACTIVE = "active"
    REINVITED = "re-invited"  # theirs: a re-INVITE waits for the floor above
    REANSWERED = "re-answered"  # our 200 to it waits for its ACK
    REOFFERING = "re-offering"  # our re-INVITE is out
    REFRESHING = "refreshing"  # our re-INVITE that changes nothing is out (RFC 4028)
    GLARE = "glare"  # our re-INVITE met theirs and will be tried again
    UPDATING = "updating"  # theirs: an UPDATE with an offer waits for the floor above
    ENDING = "ending"  # our BYE is out
    ENDED = "ended"


class Input(Enum):
    """What can happen to it: orders from above, the peer's requests, responses to ours, timers."""

    RING = "ring"
    ANSWER = "answer"
    REJECT = "reject"
    ANSWER_REOFFER = "answer re-offer"
    REFUSE_REOFFER = "refuse re-offer"
    REOFFER = "re-offer"
    HANG_UP = "hang up"
    CANCEL = "CANCEL"
    ACK = "ACK"
    BYE = "BYE"
    REINVITE = "re-INVITE"
    REINVITE_PROVES = "re-INVITE that proves our answer arrived"
    REINVITE_SAME = "re-INVITE that changes nothing"
    UPDATE = "UPDATE without an offer"
    UPDATE_OFFER = "UPDATE with an offer"
    UPDATE_SAME = "UPDATE whose offer changes nothing"
    PRACK = "PRACK"
    INFO = "INFO"
    REFER = "REFER"
    REPORT = "report of a referral"
    PROVISIONAL = "1xx"
    SUCCESS = "2xx"
    FAILURE = "refusal"
    CHALLENGED = "401/407 that we can answer"
    PENDING = "491"
    GONE = "refusal that ends the dialog"
    BRIEF = "422 that we can meet"
    NO_ANSWER = "timer B"
    NO_PATH = "transport error"
    PATH_LOST = "caller's connection lost"
    BYE_DONE = "BYE finished"
    BYE_CHALLENGED = "BYE challenged"
    RING_AGAIN = "timer: 180 again"
    RESEND = "timer: 200 again"
    NO_ACK = "timer: no ACK"
    RING_LIMIT = "timer: rang too long"
    LIMIT = "timer: no final answer"
    RETRY = "timer: re-offer again"
    RESEND_RINGING = "timer: reliable 180 again"
    NO_PRACK = "timer: no PRACK"
    REFRESH = "timer: refresh by re-INVITE"
    REFRESH_BY_UPDATE = "timer: refresh by UPDATE"
    EXPIRED = "timer: session expired"


CONFIRMED = frozenset(
    {State.ANSWERED, State.ACTIVE, State.REINVITED, State.REANSWERED, State.UPDATING, State.REOFFERING, State.GLARE,
     State.REFRESHING}
)
"""Where both sides know that there is a call, and neither has said that it ends."""
ENDS_DIALOG = frozenset({404, 408, 410, 416, 481, 482, 483, 484, 485, 502, 604})
"""Refusals of a request inside a dialog after which there is no dialog any more (RFC 5057 section 5.1)."""

IN_DIALOG = {
    "BYE": Input.BYE, "INFO": Input.INFO, "INVITE": Input.REINVITE, "PRACK": Input.PRACK, "REFER": Input.REFER,
    "UPDATE": Input.UPDATE,
}  # fmt: skip
"""What each request inside a dialog is."""
HALF_OPEN = frozenset({State.INVITED, State.ANSWERED, State.LEAVING})
"""Calls that their caller has not confirmed yet."""
