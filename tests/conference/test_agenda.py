"""Deadlines of calls: one each, the earliest at hand."""

from sipconf.conference.agenda import Agenda


def test_one_deadline_a_call_earliest_first():
    agenda = Agenda()
    assert agenda.next() is None and agenda.take_due(1e9) is None
    agenda.set("a", 5.0)
    agenda.set("b", 3.0)
    agenda.set("a", 1.0)
    assert agenda.next() == 1.0
    agenda.set("a", None)
    agenda.set("nobody", None)
    assert agenda.next() == 3.0 and agenda.take_due(2.9) is None
    assert agenda.take_due(3.0) == "b" and agenda.next() is None
    agenda.set("b", 3.0)
    agenda.set("b", 7.0)
    assert agenda.take_due(6.0) is None and agenda.take_due(7.0) == "b" and agenda.take_due(9.0) is None
    assert agenda._when == {}


def test_a_deadline_moved_for_ever_takes_no_room():
    agenda = Agenda()
    for second in range(10_000):
        agenda.set("a", 1.0 + second)
    assert len(agenda._heap) < 100 and agenda.next() == 10_000.0
