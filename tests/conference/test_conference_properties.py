"""Whatever people do, in whatever order: what must hold in every conference at every moment."""

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sipconf.conference import events as fact
from sipconf.conference.directory import ConferenceSpec
from sipconf.conference.participant import State

CODE, ADMINISTRATOR_CODE, WRONG = "743219", "798765", "755555"
SECRETS = (CODE, ADMINISTRATOR_CODE, WRONG)
SPECS = (
    ConferenceSpec("Board", "2001", CODE, "101", ADMINISTRATOR_CODE, True, "wait", max_participants=3),
    ConferenceSpec("Council", "2002", None, "102", ADMINISTRATOR_CODE, True, "end"),
    ConferenceSpec("Lobby", "2003", CODE, "103", None, False, "continue"),
)
DIALLED = ("2001", "2002", "2003", f"2001*{CODE}", f"2001,,{ADMINISTRATOR_CODE}", f"2003*{WRONG}", "101", "102",
           "+3225551234", "nobody")
ROOMS = ("2001", "2002", "2003")
KEYS = (f"{CODE}#", f"{ADMINISTRATOR_CODE}#", f"{WRONG}#", "7", "*", "#", CODE)
CALLS = tuple(f"c{number}" for number in range(7))

call = st.sampled_from(CALLS)
step = st.one_of(
    st.tuples(st.just("visit"), call, st.sampled_from(ROOMS), st.integers(0, 5), st.sampled_from(KEYS)),
    st.tuples(st.just("visit"), call, st.sampled_from(ROOMS), st.integers(0, 5), st.sampled_from(KEYS)),
    st.tuples(st.just("dial"), call, st.sampled_from(DIALLED), st.integers(0, 5)),
    st.tuples(st.just("connect"), call),
    st.tuples(st.just("connect"), call),
    st.tuples(st.just("key"), call, st.sampled_from(KEYS)),
    st.tuples(st.just("key"), call, st.sampled_from(KEYS)),
    st.tuples(st.just("hear_out"), call),
    st.tuples(st.just("leave"), call),
    st.tuples(st.just("wait"), st.sampled_from((0.5, 3.0, 9.0, 16.0, 70.0, 400.0))),
    st.tuples(st.just("ring"), st.integers(0, 3)),
    st.tuples(st.just("answer"), st.integers(0, 3)),
    st.tuples(st.just("fail"), st.integers(0, 3), st.sampled_from((408, 480, 486, 603))),
    st.tuples(st.just("speak"), call, st.booleans()),
    st.tuples(st.just("hold"), call, st.booleans()),
    st.tuples(st.just("console"), st.sampled_from(("mute", "unmute", "kick", "lock", "unlock")), st.integers(0, 6)),
    st.tuples(st.just("late"), call),
)
edit = st.tuples(st.just("edit"), st.sampled_from(("remove", "unguard", "restore", "no-code")))


class Play:
    """Runs steps in a House, leaving out those that the world could not do, and checks after each."""

    def __init__(self, at, callers) -> None:
        self.at = at
        user, outsider = callers
        self.callers = (user("101"), user("102"), user("103"), user("104"), outsider(), outsider("+32499", peer=True))

    def run(self, steps, check_guard: bool = True) -> None:
        for name, *arguments in steps:
            getattr(self, name)(*arguments)
            self.at.pump()
            self.check(check_guard)
        for name in [name for name, stage in self.at.stage.items() if stage != "over"]:
            if self.at.stage[name] != "over":
                self.at.leave(name)
        service = self.at.service
        assert service.guests._guests == {} and not service.private and service.next_timer() is None
        assert all(room.locked and not room.inside for room in service._rooms.values())

    def dial(self, name, dialled, who):
        if self.at.stage.get(name, "over") == "over":
            self.at.playing[name] = self.at.room[name] = None
            self.at.dial(name, dialled, self.callers[who])

    def visit(self, name, dialled, who, keys):
        self.dial(name, dialled, who)
        self.connect(name)
        self.key(name, keys)

    def connect(self, name):
        if self.at.stage.get(name) == "answered":
            self.at.connect(name)

    def key(self, name, keys):
        if self.at.stage.get(name) == "up":
            self.at.key(name, keys)

    def hear_out(self, name):
        play = self.at.playing.get(name)
        if self.at.stage.get(name) == "up" and play is not None and not play.loop:
            self.at.hear_out(name)

    def leave(self, name):
        if self.at.stage.get(name, "over") != "over":
            self.at.leave(name)

    def wait(self, seconds):
        self.at.wait(seconds)

    def outgoing(self, index):
        ringing = [out.call for out in self.at.called_out if self.at.stage[out.call] == "out"]
        return ringing[index] if index < len(ringing) else None

    def ring(self, index):
        """Also one that has answered: its 180 was on the way."""
        if index < len(self.at.called_out):
            self.at.tell(fact.OutgoingRinging(self.at.called_out[index].call))

    def answer(self, index):
        if (name := self.outgoing(index)) is not None:
            self.at.stage[name] = "up"
            self.at.tell(fact.OutgoingAnswered(name))

    def fail(self, index, status):
        if (name := self.outgoing(index)) is not None:
            self.at.stage[name] = "over"
            self.at.tell(fact.OutgoingFailed(name, status))

    def speak(self, name, speaking):
        self.at.tell(fact.SpeakingChanged(name, speaking, -30.0))

    def hold(self, name, held):
        if self.at.stage.get(name) in ("answered", "up"):
            self.at.tell(fact.HoldChanged(name, held))

    def console(self, verb, index):
        service, now = self.at.service, self.at.now
        extension = SPECS[index % 3].extension
        people = service.participants(extension) if extension in service._rooms else []
        if verb in ("lock", "unlock"):
            if extension in service._rooms or extension in service._directory.conferences:
                service.lock(extension, verb == "lock", now)
        elif people:
            someone = people[index % len(people)]["id"]
            if verb == "kick":
                service.kick(extension, someone, now)
            else:
                service.mute(extension, someone, verb == "mute", now)

    def late(self, name):
        """Words of media that were on their way when a call ended, or before it is connected."""
        for playback in range(1, 40):
            current = self.at.playing.get(name)
            if current is None or playback != current.playback or self.at.stage[name] in ("ending", "over"):
                self.at.tell(fact.PlaybackFinished(name, playback))
        self.at.tell(fact.DigitPressed(name, "1"))
        self.at.tell_ends()

    def edit(self, what):
        specs = {
            "remove": SPECS[1:], "restore": SPECS,
            "unguard": tuple(replace(spec, wait_for_administrator=False) for spec in SPECS),
            "no-code": tuple(replace(spec, access_code=None) for spec in SPECS),
        }[what]
        self.at.service.replace_directory(self.at.directory_of(*specs), self.at.now)

    def check(self, check_guard: bool) -> None:
        at, service = self.at, self.at.service
        for name, guest in service.guests._guests.items():
            person, room = guest.person, guest.room
            assert (person.id in room.inside) == (person.state in (State.WAITING, State.TALKING))
            assert (person.id in room.callers) == (person.state in (State.ARRIVING, State.PROMPTING))
            assert at.room.get(name) == (person.room if person.state is State.TALKING else None)
            assert at.stage[name] != "over"
            assert (at.stage[name] == "ending") == (person.state is State.CLEARING)
        for room in service._rooms.values():
            talking = [person for person in room.inside.values() if person.state is State.TALKING]
            assert room.doors.name == "OPEN" or not talking
            assert all(service.guests._guests[person.call].person is person for person in room.inside.values())
            if check_guard and talking and room.guarded:
                assert any(person.administrator for person in talking), "talking without the administrator"
        due = service.next_timer()
        assert due is None or due >= at.now
        self.check_published()

    def check_published(self) -> None:
        shown: dict[str, set[str]] = {}
        for publish in self.at.published:
            people = shown.setdefault(publish.data["conference"], set())
            if publish.event in ("prompting", "waiting", "joined"):
                people.add(publish.data["participant"]["id"])
            elif publish.event == "left":
                people.remove(publish.data["participant"]["id"])
        for room in self.at.service._rooms.values():
            assert shown.get(room.spec.extension, set()) == {person.id for person in room.people()}
        words = repr(self.at.published)
        assert not any(secret in words for secret in SECRETS)


hard_work = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@hard_work
@given(steps=st.lists(step, min_size=15, max_size=60))
def test_whatever_people_do(house, callers, steps):
    at = house(*SPECS, auto_connect=False, prompt_ends=len(steps) % 2 == 0)
    Play(at, callers).run(steps)


@hard_work
@given(steps=st.lists(st.one_of(step, step, step, edit), min_size=15, max_size=60))
def test_whatever_people_do_while_the_file_is_edited(house, callers, steps):
    at = house(*SPECS, auto_connect=False, prompt_ends=len(steps) % 2 == 0)
    Play(at, callers).run(steps, check_guard=False)


def test_events_do_not_show_digits_or_codes(callers):
    words = repr(fact.CallArrived("c", f"2001*{CODE}", callers[0]("101"))) + repr(fact.DigitPressed("c", "7"))
    assert CODE not in words and "7" not in words
