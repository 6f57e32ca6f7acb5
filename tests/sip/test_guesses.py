"""Wrong passwords: what they cost the guesser, and nobody else."""

from sipconf.sip.guesses import Guesses, GuessLimits
from sipconf.sip.sources import Rate

LIMITS = GuessLimits(
    free=3, first_wait=1.0, longest_wait=60.0, forget_after=600.0, per_source=Rate(0.1, 8), remembered=50
)


def guess(guesses: Guesses, source: str, account: str, now: float) -> bool:
    """False where the guess is not even looked at."""
    if guesses.wait(source, account, now) > 0.0:
        return False
    guesses.wrong(source, account, now)
    return True


def test_waits_are_of_one_source_for_one_account() -> None:
    guesses = Guesses(GuessLimits(free=3, longest_wait=60.0, per_source=Rate(100.0, 1000)))
    now, waits = 0.0, []
    for _ in range(12):
        guesses.wrong("a", "101", now)
        waits.append(guesses.wait("a", "101", now))
        now += waits[-1]
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert guesses.wait("a", "102", now) == guesses.wait("b", "101", now) == 0.0


def test_what_is_tried_while_waiting_prolongs_nothing() -> None:
    guesses = Guesses(LIMITS)
    looked_at = [now / 10 for now in range(1000) if guess(guesses, "a", "101", now / 10)]
    assert len(looked_at) <= 10 and guesses.wait("a", "101", 100.0 + LIMITS.longest_wait) == 0.0


def test_a_source_that_tries_many_accounts_is_slowed() -> None:
    guesses = Guesses(LIMITS)
    looked_at = sum(guess(guesses, "a", str(number), number / 100) for number in range(900))
    assert looked_at == 8
    assert guesses.wait("a", "new", 10.0) <= 10.0, "one more each ten seconds"
    assert guesses.wait("b", "5", 10.0) == 0.0, "the person whose name was tried is not waiting"


def test_a_few_telephones_with_old_passwords_lock_nobody_out() -> None:
    guesses = Guesses(GuessLimits())
    for minute in range(600):
        for extension in ("101", "102", "103"):
            guess(guesses, "office", extension, 60.0 * minute)
        assert guesses.wait("office", "104", 60.0 * minute + 1.0) <= 60.0
    assert guesses.wait("office", "104", 36_000.0) == 0.0


def test_right_and_time_forgive() -> None:
    guesses = Guesses(LIMITS)
    for _ in range(4):
        guesses.wrong("a", "101", 0.0)
    guesses.right("a", "101")
    assert guesses.wait("a", "101", 0.0) == 0.0
    for _ in range(4):
        guesses.wrong("a", "102", 0.0)
    assert guesses.wait("a", "102", 0.0) > 0.0
    assert guesses.wait("a", "102", 600.0) == 0.0
    guesses.wrong("a", "102", 600.0)
    assert guesses.wait("a", "102", 600.0) == 0.0, "counted from the start"


def test_memory_is_bounded() -> None:
    guesses = Guesses(LIMITS)
    for number in range(10_000):
        guesses.wrong(f"source {number % 997}", f"account {number}", number)
    assert len(guesses) <= 2 * LIMITS.remembered
    for _ in range(5000):
        guesses.wrong("a", "101", 0.0)  # no number grows without end either
    assert guesses.wait("a", "102", 1e6) == 0.0
