"""Every cell of the conference floor's five tables is visited, and every absent cell refused.

The grids are written out a second time here, so that a change of a table is a change of two places.
"""

import pytest

from sipconf.conference import calls, participant, receptionist, room, transfer
from sipconf.conference.agenda import Agenda
from sipconf.conference.commands import Outbox
from sipconf.conference.directory import ConferenceSpec, UserSpec
from sipconf.conference.events import Caller
from sipconf.conference.receptionist import Judgement, Verdict
from sipconf.errors import MisuseError

CALLER = Caller("101", "Alice", "101", None, "192.0.2.1")


def grid(text: str, states, inputs) -> dict:
    """Lines of "STATE: INPUT>NEXT ..." as {(state, input): next}."""
    cells = {}
    for line in text.strip().splitlines():
        state, moves = line.split(":")
        for move in moves.split():
            name, following = move.split(">")
            cells[states[state.strip()], inputs[name]] = states[following]
    return cells


def everything(states, inputs):
    return [pytest.param(s, i, id=f"{s.name}-{i.name}") for s in states for i in inputs]


def new_person() -> participant.Participant:
    return participant.Participant("c", "p-1", "2001", CALLER, participant.Desk(Outbox(), Agenda(), 12.0))


PARTICIPANT = grid("""
    RINGING: ANSWER>ARRIVING DISMISS>CLEARING TIMEOUT>CLEARING OVER>OVER
    ARRIVING: ASK>PROMPTING WAIT>WAITING TALK>TALKING DISMISS>LEAVING OVER>OVER
    PROMPTING: WAIT>WAITING TALK>TALKING DISMISS>LEAVING OVER>OVER
    WAITING: TALK>TALKING DISMISS>LEAVING PLAYED>WAITING OVER>OVER
    TALKING: WAIT>WAITING DISMISS>LEAVING PLAYED>TALKING OVER>OVER
    LEAVING: PLAYED>CLEARING TIMEOUT>CLEARING OVER>OVER
    CLEARING: OVER>OVER
""", participant.State.__members__, participant.Step.__members__)


@pytest.mark.parametrize("state, step", everything(participant.State, participant.Step))
def test_participant(state, step):
    person = new_person()
    person.state = state
    if (state, step) in PARTICIPANT:
        person.move(step, 1.0, ("clip",))
        assert person.state is PARTICIPANT[state, step]
    else:
        with pytest.raises(MisuseError):
            person.move(step, 1.0, ("clip",))
        assert person.state is state and person.desk.outbox.take() == []


RECEPTIONIST = grid("""
    IDLE: CONNECTED>ASKING CONNECTED_WITH_CODE>WEIGHING
    ASKING: DIGIT>COLLECTING POUND>ASKING STAR>ASKING PLAYED>LISTENING SILENCE>ASKING SILENCE_TOO_OFTEN>DONE
    LISTENING: DIGIT>COLLECTING POUND>LISTENING STAR>LISTENING SILENCE>ASKING SILENCE_TOO_OFTEN>DONE
    COLLECTING: DIGIT>COLLECTING POUND>WEIGHING STAR>LISTENING SILENCE>ASKING SILENCE_TOO_OFTEN>DONE
    COLLECTING: ENTRY_COMPLETE>WEIGHING
    WEIGHING: RIGHT>DONE WRONG>ASKING WRONG_TOO_OFTEN>DONE
""", receptionist.State.__members__, receptionist.Input.__members__)


@pytest.mark.parametrize("state, event", everything(receptionist.State, receptionist.Input))
def test_receptionist(state, event):
    person = new_person()
    slow = Judgement(Verdict.WRONG, 5.0)
    desk = receptionist.Receptionist(
        person, lambda code, now: slow, lambda: {4}, receptionist.ReceptionSettings(), slow)
    desk.state = state
    if (state, event) in RECEPTIONIST:
        desk._handle(event, 1.0)
        assert desk.state is RECEPTIONIST[state, event]
        assert (desk.outcome is not None) == (desk.state is receptionist.State.DONE)
        assert desk.outcome is not None or person.desk.agenda.next() is not None or event in (
            receptionist.Input.POUND, receptionist.Input.STAR), "a state without a way out"
    else:
        with pytest.raises(MisuseError):
            desk._handle(event, 1.0)
        assert desk.state is state and person.desk.outbox.take() == []


ROOM = grid("""
    OPEN: GUEST_ENTERS>OPEN ADMINISTRATOR_ENTERS>OPEN PERSON_LEAVES>OPEN EMPTIED>OPEN EMPTIED_GUARDED>CLOSED
    OPEN: ADMINISTRATOR_LEAVES_WAIT>CLOSED ADMINISTRATOR_LEAVES_END>OPEN
    CLOSED: GUEST_ENTERS>CLOSED ADMINISTRATOR_ENTERS>OPEN PERSON_LEAVES>CLOSED EMPTIED>OPEN EMPTIED_GUARDED>CLOSED
    CLOSED: UNGUARDED>OPEN REMOVED>CLOSED
""", room.Doors.__members__, room.Input.__members__)


@pytest.mark.parametrize("doors, event", everything(room.Doors, room.Input))
def test_room(doors, event):
    place = room.Room(ConferenceSpec("Stand-up", "2001"), Outbox())
    place.doors = doors
    person = new_person()
    entering = event in (room.Input.GUEST_ENTERS, room.Input.ADMINISTRATOR_ENTERS)
    if entering:
        place.inside[person.id] = person
    if (doors, event) in ROOM:
        place._handle(event, person if entering else None, 1.0)
        assert place.doors is ROOM[doors, event]
        if entering:
            talking = place.doors is room.Doors.OPEN
            assert person.state is (participant.State.TALKING if talking else participant.State.WAITING)
    else:
        with pytest.raises(MisuseError):
            place._handle(event, person, 1.0)
        assert place.doors is doors and person.state is participant.State.ARRIVING


PRIVATE = grid("""
    CALLING: ANSWERED>ANSWERED FAILED>OVER CALLED_OVER>OVER CALLER_OVER>CLEARING TIMEOUT>CLEARING
    CALLING: RINGING>RINGING NO_WORD>RINGING
    RINGING: ANSWERED>ANSWERED FAILED>OVER CALLED_OVER>OVER CALLER_OVER>CLEARING TIMEOUT>CLEARING RINGING>RINGING
    ANSWERED: CONNECTED>TALKING CALLER_OVER>CLEARING CALLED_OVER>CLEARING RINGING>ANSWERED
    TALKING: CALLER_OVER>CLEARING CALLED_OVER>CLEARING RINGING>TALKING
    CLEARING: RINGING>CLEARING ANSWERED>CLEARING CONNECTED>CLEARING FAILED>OVER CALLER_OVER>OVER CALLED_OVER>OVER
""", calls.State.__members__, calls.Input.__members__)


@pytest.mark.parametrize("state, event", everything(calls.State, calls.Input))
def test_private_call(state, event):
    outbox = Outbox()
    call = calls.PrivateCall("a", "b", "private-1", UserSpec("102", "Bob"), outbox, Agenda())
    call.state = state
    if (state, event) in PRIVATE:
        call.receive(event)
        assert call.state is PRIVATE[state, event]
    else:
        with pytest.raises(MisuseError):
            call.receive(event)
        assert call.state is state and outbox.take() == [] and call.alive == {"a", "b"}


TRANSFER = grid("""
    RINGING: RINGS>RINGING ANSWERED>OVER FAILED>OVER TRANSFEROR_OVER>WAITING OTHER_OVER>OVER TIMEOUT>OVER
    WAITING: RINGS>WAITING ANSWERED>OVER FAILED>OVER OTHER_OVER>OVER TIMEOUT>OVER
""", transfer.State.__members__, transfer.Input.__members__)


@pytest.mark.parametrize("state, event", everything(transfer.State, transfer.Input))
def test_transfer(state, event):
    outbox, agenda = Outbox(), Agenda()
    bob = Caller("102", "Bob", "102", None, "")
    before = calls.PrivateCall.between(("a", CALLER), ("b", bob), "private-1", outbox, agenda)
    moved = transfer.Transfer(before, "a", "c", "refer", UserSpec("103", "Carol"), outbox, agenda)
    moved.state = state
    if (state, event) in TRANSFER:
        moved.receive(event)
        assert moved.state is TRANSFER[state, event]
        assert (moved.outcome is not None) == (moved.state is transfer.State.OVER)
    else:
        with pytest.raises(MisuseError):
            moved.receive(event)
        assert moved.state is state and outbox.take() == []


@pytest.mark.parametrize("module, grid_here", [
    (participant, PARTICIPANT), (receptionist, RECEPTIONIST), (room, ROOM), (calls, PRIVATE), (transfer, TRANSFER),
], ids=["participant", "receptionist", "room", "calls", "transfer"])
def test_the_grids_here_are_the_tables(module, grid_here):
    assert {cell: following for cell, (_, following) in module.TABLE.items()} == grid_here
