"""Guessing access codes (docs/trust.md): a thousand by keys, by INFO and dialled along, call after call and many at
once, from one address or number and from many.

Whatever the way, few guesses are looked at; then the right code is no help either, and the room's own people come in as
ever. No code and no guess is in any log line, event, record, answer of the API or figure.
"""

import itertools
import logging
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipconf.conference.directory import ConferenceSpec
from sipconf.conference.lockouts import LockoutSettings
from sipconf.meters import MeteredAgent, Meters
from sipconf.store import LockoutStore, Store
from tests.sim.house import NUMBER, SERVER, TRUNK_HOSTS, House
from tests.sim.rtp_phone import RtpPhone
from tests.sim.siege import Stranger, running_call, status_of

CODE = "83927461"
ROOM = ConferenceSpec("Weekly", "2001", access_code=CODE, administrator_code="64738291")
OTHER = ConferenceSpec("Other", "2002", access_code="4321")
LIMITS = LockoutSettings()
GUESSES = 1000
BESIDE_A_CALL = 100
"""So many of them while others talk; the rest in spells with a first lock-out's time between them."""
LINES = 50
"""Telephones that an attacker with many addresses or numbers uses at once."""
PATIENCE = 0.6
"""Seconds that an attacker waits for a verdict before the next guess, in this call or another."""
WAYS = ["dialled", "rfc4733", "info"]


class Besieged(House):
    """A house with a store on disk, a metrics page and a log of whose lines nothing has been hidden yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "sipconf.db")
        super().__init__(ROOM, OTHER, max_calls=1000, lockouts=LockoutStore(self.store))
        self.meters = Meters({}, {"calls": lambda: self.agent.calls})
        self.network.attach(SERVER, MeteredAgent(self.agent, self.meters.metrics), self._hear)
        self.logged: list[str] = []
        self._handler = logging.Handler(logging.DEBUG)
        self._handler.emit = lambda record: self.logged.append(record.getMessage())

    def _hear(self, event: object, now: float) -> None:
        self.meters.hear_sip([event])
        self.switchboard.receive_sip([event], now)

    def __enter__(self) -> "Besieged":
        ours = logging.getLogger("sipconf")
        self._level = ours.level
        ours.setLevel(logging.DEBUG)
        ours.addHandler(self._handler)
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        ours = logging.getLogger("sipconf")
        ours.removeHandler(self._handler)
        ours.setLevel(self._level)
        self.store.close()
        super().__exit__(*error)

    def told(self) -> str:
        """Everything that anybody could read afterwards."""
        assert self.store.flush()
        kept = b"".join(path.read_bytes() for path in self.folder.iterdir())
        rooms = self.conferences
        api = [rooms.conferences(), *(rooms.participants(number) for number in ("2001", "2002"))]
        shown = repr([self.published, api, self.switchboard.counters])
        page = self.meters.page() + kept
        assert self.logged and self.published and b"INVITE" in page and b"lockouts" in page
        return "\n".join([*self.logged, shown, page.decode("latin-1")])

    @property
    def looked_at(self) -> int:
        """Guesses that were compared with the codes."""
        return len(self.events("digit-refused"))


class Thief:
    """Guesses through all its telephones at once. names: who each call is from."""

    def __init__(self, house: Besieged, way: str, lines: list[RtpPhone], number: str, names: Iterator[str]) -> None:
        self.house, self.way, self.lines, self.number, self.names = house, way, lines, number, names
        self.used: list[str] = []
        self._rng = random.Random(3)

    def besiege(self) -> None:
        """A thousand guesses: dialled, keyed, or given up because nobody answers any more."""
        with running_call(self.house, dialled="2002"):
            self._guess_until(BESIDE_A_CALL)
        for spell in range(1, 4):
            self.house.network.run(LIMITS.first_lock)
            self._guess_until(BESIDE_A_CALL + spell * (GUESSES - BESIDE_A_CALL) // 3)
        assert len(self.used) >= GUESSES
        assert not [each for each in self.house.states().values() if each != "prompting"], "nobody came in"

    def _guess_until(self, count: int) -> None:
        while len(self.used) < count:
            self._call()

    def _next_code(self) -> str:
        self.used.append(f"{self._rng.randrange(10**9, 8 * 10**9)}")
        return self.used[-1]

    def _call(self) -> None:
        """All telephones call, say up to three guesses each and hang up."""
        house = self.house
        for phone in self.lines:
            phone.name = next(self.names)
            along = f"*{self._next_code()}" if self.way == "dialled" else ""
            phone.invite(self.number + along, house.now)
        house.run(0.1)
        if self.way != "dialled":
            self.used += [self._next_code() for phone in self.lines if not phone.in_call]
            for _ in range(3):
                self._key([phone for phone in self.lines if phone.in_call])
        for phone in self.lines:
            if phone.in_call:
                phone.bye(house.now)
        house.run(0.06)

    def _key(self, phones: list[RtpPhone]) -> None:
        house, before = self.house, self.house.looked_at
        entries = {phone: self._next_code() + "#" for phone in phones}
        if self.way == "rfc4733":
            house.until(lambda: all(house.trusted(phone) or not phone.in_call for phone in phones), "believed")
            for phone, entry in entries.items():
                phone.press(entry)
            house.until(lambda: not any(phone.pressing and phone.in_call for phone in phones), "said")
        else:
            for place in range(len(next(iter(entries.values()), ""))):
                for phone in phones:
                    if phone.in_call:
                        phone.info(f"Signal={entries[phone][place]}\r\nDuration=100\r\n", house.now)
                house.run(0.02)
        end = house.now + PATIENCE
        while house.now < end and house.looked_at - before < sum(phone.in_call for phone in phones):
            house.tick()


@pytest.mark.parametrize(("way", "addresses"), [*((way, 1) for way in WAYS), ("dialled", LINES)])
def test_users_stolen_passwords(way: str, addresses: int, tmp_path: Path) -> None:
    """One, or two of them from fifty addresses."""
    with Besieged(tmp_path) as house:
        users = ["104", "103"][: min(addresses, 2)]
        lines = [house.phone(user) for user, _ in zip(itertools.cycle(users), range(addresses), strict=False)]
        thief = Thief(house, way, lines, "2001", itertools.cycle(phone.name for phone in lines))
        began = house.now
        thief.besiege()
        locks = 1 + (house.now - began) // LIMITS.first_lock
        assert LIMITS.failures_to_lock <= house.looked_at <= LIMITS.failures_to_lock * locks * len(users)
        lines[0].invite(f"2001*{CODE}", house.now)
        house.run(1.0)
        assert "104" not in house.states() and lines[0].log[-1] == "403 INVITE", "right, too late"
        for name in ("101", "102"):
            house.dial(house.phone(name), f"2001*{CODE}")
        house.until(lambda: house.states() == {"101": "talking", "102": "talking"}, "the room's own are in", 1.0)
        told = house.told()
        assert not [code for code in [*thief.used, CODE] if code in told]


@pytest.mark.parametrize(("way", "numbers"), [*((way, 1) for way in WAYS), ("dialled", LINES), ("dialled", 10_000)])
def test_an_outsider_by_the_trunk(way: str, numbers: int, tmp_path: Path) -> None:
    """With one number, or another in every call: providers let their customers choose it."""
    with Besieged(tmp_path) as house:
        lines = [house.phone(host=host) for host in TRUNK_HOSTS[: min(numbers, LINES)]]
        names = itertools.cycle(f"+3247{number:07}" for number in range(numbers))
        thief = Thief(house, way, lines, NUMBER, names)
        began = house.now
        thief.besiege()
        seconds = house.now - began
        most = LIMITS.room_budget + LIMITS.longest_turn / LIMITS.room_delay + seconds / LIMITS.room_delay
        if numbers == 1:
            most = LIMITS.failures_to_lock * (1 + seconds // LIMITS.first_lock)
        assert LIMITS.failures_to_lock <= house.looked_at <= most
        lines[0].name = next(names)
        lines[0].invite(f"{NUMBER}*{CODE}", house.now)
        house.run(1.0)
        assert "talking" not in house.states().values(), "right, too late, or after all the others"
        house.dial(house.phone("101"), f"2001*{CODE}")
        house.until(lambda: house.states().get("101") == "talking", "users do not wait", 1.0)
        told = house.told()
        assert not [code for code in [*thief.used, CODE] if code in told]


@pytest.mark.parametrize("number", ["2001", "2002", "2009", "2001*83927461", "2001,,1", "101", "9", "a" * 50, "%00"])
def test_without_a_password_no_room_is_there(number: str) -> None:
    with House(ROOM, OTHER) as house:
        stranger = Stranger(house)
        (answer,) = stranger.ask(stranger.request("INVITE", f"sip:{number}@example.test", body="v=0\r\n"))
        assert status_of(answer) == 401 and house.agent.idle()
