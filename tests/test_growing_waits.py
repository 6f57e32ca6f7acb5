"""Wrong passwords, whoever asks for them: waits that grow, end by themselves and are nobody else's."""

from sipconf.growing_waits import GrowingWaits, WaitLimits

LIAR, CLIENT = "203.0.113.66", "198.51.100.7"


def test_waits_grow_and_end_and_are_nobody_elses() -> None:
    waits = GrowingWaits(WaitLimits(free=3, first_wait=1.0, longest_wait=8.0, forget_after=100.0))
    now, given = 0.0, []
    for _ in range(9):
        given.append(waits.wrong(LIAR, now))
        assert waits.wait(LIAR, now) == given[-1] and waits.wait(CLIENT, now) == 0.0
        now += given[-1]
        assert waits.wait(LIAR, now) == 0.0, "a ban ends by itself"
    assert given == [0, 0, 0, 1, 2, 4, 8, 8, 8]


def test_right_and_time_forgive() -> None:
    waits = GrowingWaits(WaitLimits(free=1, forget_after=100.0))
    for forgiven_at in (0.0, 300.0):
        assert [waits.wrong(LIAR, forgiven_at) for _ in range(3)] == [0, 1, 2]
        waits.right(LIAR)
        assert waits.wait(LIAR, forgiven_at) == 0.0
        assert [waits.wrong(LIAR, forgiven_at) for _ in range(3)] == [0, 1, 2], "counted from the start"
        assert waits.wrong(LIAR, forgiven_at + 99.0) == 4.0
        assert waits.wait(LIAR, forgiven_at + 199.0) == 0.0 and len(waits) == 0


def test_memory_is_bounded_and_no_number_grows_without_end() -> None:
    waits = GrowingWaits(WaitLimits(remembered=10, free=0))
    for number in range(1000):
        waits.wrong(f"192.0.2.{number % 250}", 0.0)
    assert len(waits) == 10
    for _ in range(5000):
        longest = waits.wrong(LIAR, 0.0)
    assert longest == WaitLimits().longest_wait
