"""All calls between two people, found by either of their calls, and what becomes of the two when one of them has the
other put through to a third person.

What does not live here: how such a call goes from state to state (calls, transfer) and conferences (room).
"""

from collections.abc import Callable

from sipconf.conference import calls, events, transfer
from sipconf.conference.agenda import Agenda
from sipconf.conference.calls import PrivateCall
from sipconf.conference.commands import HangUp, LeaveRoom, Outbox, ReportReferral
from sipconf.conference.directory import UserSpec
from sipconf.conference.events import Caller
from sipconf.conference.participant import Carriage
from sipconf.conference.transfer import Transfer

TRANSFERRED = "the call was transferred"


class PrivateCalls:
    """new_id(prefix): a fresh name. ring_limit: seconds a telephone rings."""

    def __init__(self, outbox: Outbox, agenda: Agenda, new_id: Callable[[str], str], ring_limit: float) -> None:
        self._outbox = outbox
        self._agenda = agenda
        self._new_id = new_id
        self._ring_limit = ring_limit
        self._calls: dict[str, PrivateCall | Transfer] = {}
        self._carriages: dict[str, Carriage] = {}
        self._parting: set[str] = set()  # told to hang up, of no call between two people any more

    def __len__(self) -> int:
        return len(self._calls) + len(self._parting)

    def __contains__(self, call: str) -> bool:
        return call in self._calls or call in self._parting

    def begin(self, call: str, who: Caller, user: UserSpec, now: float) -> None:
        """Somebody has dialled a user."""
        private = PrivateCall(call, self._new_id("out-"), self._new_id("private-"), user, self._outbox, self._agenda)
        self._calls[private.caller] = self._calls[private.called] = private
        private.begin(who, self._ring_limit, now)

    def receive(self, event: events.Event) -> bool:
        """Take what happened to a call; False where it is none of ours."""
        if isinstance(event, events.CallOver):
            self._carriages.pop(event.call, None)
        elif isinstance(event, events.HoldChanged):
            self.carriage(event.call).held = event.held
        if event.call in self._parting:
            if isinstance(event, events.CallOver):
                self._parting.discard(event.call)
            return True
        private = self._calls.get(event.call)
        if isinstance(private, PrivateCall):
            self._hear(private, event)
        elif private is not None:
            private.hear(event)
            if isinstance(event, events.CallOver):
                del self._calls[event.call]
            self._settle(private)
        return private is not None

    def timed_out(self, call: str) -> bool:
        """A call's deadline has come; False where it is none of ours."""
        private = self._calls.get(call)
        if isinstance(private, PrivateCall):
            private.timed_out(call)
            self._drop_ended(private)
        elif private is not None:
            private.receive(transfer.Input.TIMEOUT)
            self._settle(private)
        return private is not None

    def talker(self, call: str) -> Caller | None:
        """Who is at this end of a call whose two people talk; None where it is no such call."""
        private = self._calls.get(call)
        if isinstance(private, PrivateCall) and private.state is calls.State.TALKING:
            return private.people[call]
        return None

    def partner(self, call: str) -> tuple[str, Caller]:
        """Whom this one of two who talk is talking with, and by which call."""
        private = self._calls[call]
        assert isinstance(private, PrivateCall)
        other = private.other(call)
        return other, private.people[other]

    def carriage(self, call: str) -> Carriage:
        """How one of these calls is carried, to be noted there; of any other call it is forgotten at once."""
        return self._carriages.setdefault(call, Carriage()) if call in self._calls else Carriage()

    def are_one(self, call: str, other: str) -> bool:
        """Are these the two ends of one call?"""
        return self._calls.get(call) is self._calls.get(other)

    # --- somebody is put through ---------------------------------------------------------------------------------
    def transfer(self, call: str, referral: str, user: UserSpec, now: float) -> None:
        """Of two who talk, `call` wants the other to talk to this user instead."""
        private = self._calls[call]
        assert isinstance(private, PrivateCall)
        moved = Transfer(private, call, self._new_id("out-"), referral, user, self._outbox, self._agenda)
        self._calls[moved.transferor] = self._calls[moved.other] = self._calls[moved.third] = moved
        moved.begin(self._ring_limit, now)

    def release(self, call: str) -> tuple[str, Caller, Carriage]:
        """Take two who talk apart: this call is to end, the other, with its person and how it is carried, is somebody
        else's from now on."""
        private = self._calls[call]
        assert isinstance(private, PrivateCall)
        other = private.other(call)
        del self._calls[call], self._calls[other]
        self._parting.add(call)
        self._outbox.add(LeaveRoom(other))
        return other, private.people[other], self._carriages.pop(other, Carriage())

    def join(self, call: str, other: str, referral: str) -> None:
        """The same user talks to two people by these calls: let those two talk to each other."""
        (one, one_is, one_by), (two, two_is, two_by) = self.release(call), self.release(other)
        self._carriages |= {one: one_by, two: two_by}
        self._outbox.add(ReportReferral(call, referral, 200))
        joined = PrivateCall.between((one, one_is), (two, two_is), self._new_id("private-"), self._outbox, self._agenda)
        self._calls[one] = self._calls[two] = joined
        joined.connect()
        for parted in (call, other):
            self._outbox.add(HangUp(parted, TRANSFERRED))

    # --- what becomes of them ------------------------------------------------------------------------------------
    def _hear(self, private: PrivateCall, event: events.Event) -> None:
        if isinstance(event, events.OutgoingFailed):
            private.failed(event.status, event.why)
        elif isinstance(event, events.CallOver):
            by_caller = event.call == private.caller
            private.receive(calls.Input.CALLER_OVER if by_caller else calls.Input.CALLED_OVER)
        elif isinstance(event, events.OutgoingRinging):
            private.receive(calls.Input.RINGING)
        elif isinstance(event, events.OutgoingAnswered):
            private.receive(calls.Input.ANSWERED)
        elif isinstance(event, events.CallConnected):
            private.receive(calls.Input.CONNECTED)
        self._drop_ended(private)

    def _drop_ended(self, private: PrivateCall) -> None:
        for call in {private.caller, private.called} - private.alive:
            if self._calls.get(call) is private:
                del self._calls[call]

    def _settle(self, moved: Transfer) -> None:
        """A transfer that has come to its end leaves two who talk, or nobody; who was told to go is gone."""
        outcome = moved.outcome
        if outcome is None:
            return
        for call in (moved.transferor, moved.other, moved.third):
            self._calls.pop(call, None)
        self._parting |= outcome.parting
        if outcome.talking is not None:
            (one, one_is), (two, two_is) = outcome.talking
            private = PrivateCall.between((one, one_is), (two, two_is), moved.room, self._outbox, self._agenda)
            self._calls[one] = self._calls[two] = private
        elif outcome.back:
            private = moved.before
            self._calls[private.caller] = self._calls[private.called] = private
