"""Wrong codes counted across calls."""

import pytest

from sipconf.conference.directory import ConferenceSpec
from sipconf.conference.events import Caller
from sipconf.conference.lockouts import (
    DAY,
    LockoutRecord,
    Lockouts,
    LockoutSettings,
    MemoryLockoutStore,
    keys_of,
)

KEY = ("user:102",)
ROOM = ConferenceSpec("Stand-up", "2001", access_code="4321", administrator_code="9876")


def fail(ledger: Lockouts, times: int, wall: float = 0.0) -> list[float]:
    return [ledger.failed(KEY, wall) for _ in range(times)]


# --- the ledger ------------------------------------------------------------------------------------------------------
def test_delays_grow_and_the_tenth_failure_locks():
    ledger = Lockouts(MemoryLockoutStore(), LockoutSettings())
    assert fail(ledger, 9) == [0.0, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0]
    assert ledger.locked_for(KEY, 0.0) == 0.0
    fail(ledger, 1)
    assert ledger.locked_for(KEY, 0.0) == 300.0 and ledger.locked_for(KEY, 299.0) == 1.0
    assert ledger.locked_for(KEY, 301.0) == 0.0 and ledger.locked_for(("user:103",), 0.0) == 0.0


def test_locks_double_up_to_an_hour():
    ledger = Lockouts(MemoryLockoutStore(), LockoutSettings())
    locks, wall = [], 0.0
    for _ in range(60):
        fail(ledger, 10, wall)
        locks.append(ledger.locked_for(KEY, wall))
        wall += locks[-1]
    assert locks[:6] == [300.0, 600.0, 1200.0, 2400.0, 3600.0, 3600.0] and locks[-1] == 3600.0


def test_a_success_forgives_but_not_for_ever():
    """Who knows a room's code could else guess its administrator's twice a call without end."""
    store = MemoryLockoutStore()
    ledger = Lockouts(store, LockoutSettings(pardons_a_day=5))
    ledger.succeeded(KEY, 0.0)
    for _ in range(5):
        fail(ledger, 2)
        ledger.succeeded(KEY, 0.0)
        assert store.records == {}
    fail(ledger, 2)
    ledger.succeeded(KEY, DAY - 1.0)
    assert store.records[KEY[0]].failures == 2
    ledger.succeeded(KEY, DAY)
    assert store.records == {}


def test_time_forgives():
    store = MemoryLockoutStore()
    ledger = Lockouts(store, LockoutSettings())
    fail(ledger, 9)
    assert ledger.failed(KEY, DAY + 1.0) == 0.0 and store.records[KEY[0]].failures == 1


def test_records_outlive_the_process():
    store = MemoryLockoutStore()
    fail(Lockouts(store, LockoutSettings()), 10, 100.0)
    assert store.records == {"user:102": LockoutRecord(10, 100.0, 400.0)}
    again = Lockouts(store, LockoutSettings())
    assert again.locked_for(KEY, 150.0) == 250.0


def test_a_wall_clock_set_back_does_not_lock_for_years():
    store = MemoryLockoutStore()
    store.save(KEY[0], LockoutRecord(10, 2e9, 2e9 + 300.0))
    assert Lockouts(store, LockoutSettings()).locked_for(KEY, 1e9) <= 3600.0


def test_the_ledger_is_bounded_and_keeps_those_locked_out():
    store = MemoryLockoutStore()
    ledger = Lockouts(store, LockoutSettings(max_records=5))
    fail(ledger, 10)
    for number in range(50):
        ledger.failed((f"number:{number}",), 1.0 + number)
        ledger.succeeded((f"number:{number}",), 1.0 + number) if number % 2 else None
    assert len(store.records) <= 5 and KEY[0] in store.records and len(ledger._pardons) <= 5


def test_a_rooms_budget():
    ledger = Lockouts(MemoryLockoutStore(), LockoutSettings())
    for second in range(29):
        ledger.stranger_failed("2001", float(second))
    assert ledger.stranger_turn("2001", 29.0) == 0.0
    ledger.stranger_failed("2001", 29.0)
    assert ledger.stranger_turn("2001", 30.0) == 5.0 and ledger.stranger_turn("2002", 30.0) == 0.0
    assert ledger.stranger_turn("2001", 601.0) == 0.0 and ledger.stranger_turn("2001", 9999.0) == 0.0
    assert ledger._rooms == {} and ledger._turns == {}


def test_beyond_its_budget_a_room_answers_strangers_one_by_one():
    ledger = Lockouts(MemoryLockoutStore(), LockoutSettings())
    for _ in range(30):
        ledger.stranger_failed("2001", 0.0)
    turns = [ledger.stranger_turn("2001", 1.0) for _ in range(100)]
    assert turns[:12] == [5.0 * number for number in range(1, 13)] and set(turns[12:]) == {None}
    answered = 0
    for second in range(1, 600):
        answered += sum(ledger.stranger_turn("2001", float(second)) is not None for _ in range(50))
    assert answered <= 600 / 5


@pytest.mark.parametrize("caller, keys", [
    (Caller("101", "", "101", None, "192.0.2.1"), ("user:101",)),
    (Caller("+32 477", "", None, "provider", "192.0.2.1"), ("number:32477",)),
    (Caller("0032477", "", None, "provider", "192.0.2.1"), ("number:32477",)),
    (Caller("anonymous", "", None, "provider", "192.0.2.1"), ("withheld:provider:2001",)),
    (Caller("32477", "", None, None, "192.0.2.1"), ("claimed:32477", "source:192.0.2.1")),
    (Caller("", "", None, None, "192.0.2.1"), ("source:192.0.2.1",)),
])
def test_who_is_counted(caller, keys):
    assert keys_of(caller, "2001") == keys


# --- in calls --------------------------------------------------------------------------------------------------------
@pytest.fixture
def at(house, callers):
    place = house(ROOM)
    place.user, place.outsider = callers
    return place


def guess(at, call: str, dialled: str, caller: Caller, times: int = 3) -> None:
    """Key wrong codes until the call is sent away or `times` are used up."""
    at.dial(call, dialled, caller)
    for _ in range(times):
        if at.stage[call] == "up":
            at.key(call, "0000#")
            at.wait(60.0 if at.clip(call) == ("too-many-tries",) else 9.0)
    if at.stage[call] == "up":
        at.wait(20.0)


def lock_out(at, dialled: str, caller: Caller) -> None:
    for number in range(4):
        guess(at, f"{caller.number}/{number}", dialled, caller)


def test_ten_wrong_codes_across_calls_lock_a_user_out(at):
    lock_out(at, "2001", at.user("102"))
    assert len(at.events("digit-refused")) == 10, "the fourth call was ended at its first wrong code"
    at.dial("late", "2001*4321", at.user("102"))
    reject = at.rejected["late"]
    assert reject.status == 403 and reject.reason.startswith("Too many wrong access codes; try again in ")
    assert 0 < reject.retry_after <= 300
    at.dial("other", "2001*4321", at.user("103"))
    assert at.room["other"] == "2001", "another user from the same address is not concerned"
    at.wait(300.0)
    at.dial("later", "2001*4321", at.user("102"))
    assert at.room["later"] == "2001"


def test_the_right_code_does_not_help_in_a_second_call_once_locked_out(at):
    at.dial("second", "2001", at.user("102"))
    for number in range(10):
        at.dial(f"n{number}", "2001*0000", at.user("102"))
        at.leave(f"n{number}")
    at.key("second", "4321#")
    assert at.clip("second") == ("too-many-tries",)


def test_hanging_up_before_the_answer_does_not_make_a_try_free(at):
    at.auto_connect = False
    for number in range(10):
        at.dial(f"n{number}", "2001*0000", at.user("102"))
        at.leave(f"n{number}")
    at.dial("late", "2001", at.user("102"))
    assert at.rejected["late"].status == 403


def test_a_trunks_callers_are_told_apart_by_number(at):
    lock_out(at, "+3225551234", at.outsider("+32477000001"))
    at.dial("same", "+3225551234*4321", at.outsider("0032 477 000001"))
    assert at.rejected["same"].status == 403
    at.dial("other", "+3225551234*4321", at.outsider("+32477000002"))
    assert at.room["other"] == "2001"


def test_a_room_without_a_code_is_open_to_who_is_locked_out_of_another(house, callers):
    at = house(ROOM, ConferenceSpec("Lobby", "2002"))
    at.user, at.outsider = callers
    lock_out(at, "2001", at.user("102"))
    at.dial("free", "2002", at.user("102"))
    assert at.room["free"] == "2002"


def test_strangers_wait_when_the_rooms_budget_is_used_up_and_users_do_not(at):
    for number in range(15):
        caller = at.outsider(f"+3247700{number:04}")
        for turn in range(2):
            at.dial(f"t{number}/{turn}", "+3225551234*0000", caller)
            at.leave(f"t{number}/{turn}")
    at.dial("user", "2001*4321", at.user("103"))
    assert at.room["user"] == "2001"
    at.dial("stranger", "+3225551234*4321", at.outsider("+32499"))
    at.wait(4.9)
    assert at.room.get("stranger") is None, "right or wrong, the answer is slow"
    at.wait(0.2)
    assert at.room["stranger"] == "2001"
    at.wait(600.0)
    at.dial("next", "+3225551234*4321", at.outsider("+32498"))
    assert at.room["next"] == "2001"


def test_a_success_forgives_across_calls(at):
    guess(at, "first", "2001", at.user("102"))
    at.dial("then", "2001*4321", at.user("102"))
    assert at.room["then"] == "2001" and at.store.records == {}
