"""A switchboard in miniature: carries commands out on pretended calls, and minds that they make sense."""

import random

import pytest

from sipconf.conference import commands as do
from sipconf.conference import events as fact
from sipconf.conference.directory import ConferenceSpec, Directory, IncomingNumberSpec, UserSpec
from sipconf.conference.lockouts import MemoryLockoutStore
from sipconf.conference.service import ConferenceService, ConferenceSettings

USERS = (UserSpec("101", "Alice"), UserSpec("102", "Bob"), UserSpec("103", "Carol"), UserSpec("104", "Dan"))
NUMBER = "+3225551234"
EPOCH = 1_700_000_000.0
LOBBY = ConferenceSpec("Lobby", "2001")
GUARDED = ConferenceSpec("Board", "2001", administrator="101", administrator_code="9876", wait_for_administrator=True)


def user(extension: str) -> fact.Caller:
    """A registered user's call."""
    return fact.Caller(extension, f"User {extension}", extension, None, "192.0.2.1")


def outsider(number: str = "+32477000001", peer: bool = False) -> fact.Caller:
    """A trunk's caller."""
    return fact.Caller(number, "", None, "provider", "198.51.100.7", peer)


class House:
    """Drives a ConferenceService. Every pretended call has a stage: arrived, answered, up, out, ending,
    over."""

    def __init__(self, *conferences: ConferenceSpec, settings: ConferenceSettings | None = None, store=None,
                 auto_connect: bool = True, prompt_ends: bool = True) -> None:
        self.now = 1000.0
        self.store = store or MemoryLockoutStore()
        self.directory = self.directory_of(*conferences)
        self.service = ConferenceService(self.directory, settings or ConferenceSettings(), random.Random(7), self.store,
                                         wall_time=lambda now: now + EPOCH)
        self.auto_connect = auto_connect
        self.prompt_ends = prompt_ends  # else the end of a call that was hung up is told by `tell_ends`
        self.stage: dict[str, str] = {}
        self.room: dict[str, str | None] = {}
        self.playing: dict[str, do.Play | None] = {}
        self.heard: dict[str, list[str]] = {}
        self.to_room: list[tuple[str, str]] = []
        self.rejected: dict[str, do.Reject] = {}
        self.ended: dict[str, str] = {}
        self.muted: dict[str, bool] = {}
        self.treated: dict[str, tuple[bool, ...]] = {}
        self.called_out: list[do.CallOut] = []
        self.news: list[tuple[str, str, int, str | None]] = []
        self.in_the_clear: set[str] = set()
        self.far: set[str] = set()  # whose media live in another worker than any conference
        self.published: list[do.Publish] = []
        self.ringing: set[str] = set()

    @staticmethod
    def directory_of(*conferences: ConferenceSpec) -> Directory:
        numbers = [IncomingNumberSpec(NUMBER, conferences[0].extension)] if conferences else []
        return Directory(USERS, conferences, numbers)

    # --- what people do ----------------------------------------------------------------------------------------------
    def dial(self, call: str, dialled: str, caller: fact.Caller) -> None:
        self.stage[call] = "arrived"
        self.tell(fact.CallArrived(call, dialled, caller))
        if self.auto_connect and self.stage[call] == "answered":
            self.connect(call)

    def connect(self, call: str) -> None:
        self.stage[call] = "up"
        self.tell(fact.CallConnected(call))

    def key(self, call: str, digits: str) -> None:
        for digit in digits:
            self.tell(fact.DigitPressed(call, digit))

    def hear_out(self, call: str) -> None:
        """The playback of this call comes to its end."""
        play = self.playing[call]
        assert play is not None and not play.loop
        self.playing[call] = None
        self.tell(fact.PlaybackFinished(call, play.playback))

    def leave(self, call: str) -> None:
        self.stage[call] = "over"
        self.room[call] = None
        self.tell(fact.CallOver(call, "hung up"))

    def tell_ends(self) -> None:
        """Report the end of every call that was hung up."""
        for call in [call for call, stage in self.stage.items() if stage == "ending"]:
            self.leave(call)

    def tell(self, event: fact.Event) -> None:
        self.service.receive(event, self.now)
        self.pump()

    def wait(self, seconds: float) -> None:
        """Let virtual time pass, timers on time."""
        until = self.now + seconds
        while (due := self.service.next_timer()) is not None and due <= until:
            assert due >= self.now - 1e-9, "a timer was left behind"
            self.now = max(self.now, due)
            self.service.handle_timer(self.now)
            self.pump()
        self.now = until

    # --- what the service wants --------------------------------------------------------------------------------------
    def pump(self) -> None:
        while commands := self.service.take_outputs():
            for command in commands:
                self.obey(command)

    def obey(self, command: do.Command) -> None:
        if isinstance(command, do.Publish):
            self.published.append(command)
        elif isinstance(command, do.PlayToRoom):
            assert command.room in self.room.values(), "played to an empty room"
            self.to_room += [(command.room, clip) for clip in command.clips]
        elif isinstance(command, do.CallOut):
            assert command.call not in self.stage
            self.stage[command.call] = "out"
            self.called_out.append(command)
        elif isinstance(command, do.ReportReferral):  # of a call that is over nobody is told
            if self.stage.get(command.call, "over") not in ("over", "ending"):
                self.news.append((command.call, command.referral, command.status, command.reason))
        else:
            self.carry_out(command)

    def carry_out(self, command: do.Command) -> None:
        call = command.call
        assert self.stage.get(call, "over") not in ("over", "ending"), f"{command} for a call that is over"
        match command:
            case do.Ring():
                assert self.stage[call] == "arrived"
                self.ringing.add(call)
            case do.Answer():
                assert self.stage[call] == "arrived"
                self.stage[call] = "answered"
            case do.Reject():
                assert self.stage[call] == "arrived" and command.reason
                self.stage[call] = "over"
                self.rejected[call] = command
            case do.HangUp():
                self.ended[call] = command.reason
                self.stage[call] = "ending"
                self.room[call] = None
                # As the switchboard does it: the end is reported at once, what follows from it comes in its turn.
                if self.prompt_ends:
                    self.stage[call] = "over"
                    self.service.receive(fact.CallOver(call, command.reason), self.now)
            case do.Play():
                assert self.stage[call] == "up"
                self.playing[call] = command
                self.heard.setdefault(call, []).extend(command.clips)
            case do.StopPlaying():
                assert self.playing[call] is not None, "nothing to stop"
                self.playing[call] = None
            case do.EnterRoom(room=room):
                assert self.stage[call] == "up" and self.room.get(call) is None
                self.room[call] = room
            case do.MoveCall():
                assert self.stage[call] == "up" and self.room[call] is not None
                self.move(command)
            case do.LeaveRoom():
                assert self.room[call] is not None
                self.room[call] = None
            case do.SetMuted(muted=muted):
                self.muted[call] = muted
            case do.Treat(level_matching=level_matching, guards=guards):
                assert self.room[call] is not None
                self.treated[call] = (level_matching, guards)

    def move(self, command: do.MoveCall) -> None:
        """As the switchboard does it: at once, or who asked is told why not."""
        asked = command.asked
        if command.encrypted and command.call in self.in_the_clear:
            self.news.append((asked.call, asked.referral, 488, "not encrypted"))
        elif command.call in self.far:
            self.news.append((asked.call, asked.referral, 503, "far away"))
        else:
            self.service.receive(fact.CallMoved(command.call, command.room, asked), self.now)

    # --- what can be seen --------------------------------------------------------------------------------------------
    def clip(self, call: str) -> tuple[str, ...]:
        play = self.playing.get(call)
        return play.clips if play else ()

    def events(self, name: str) -> list[do.Publish]:
        return [publish for publish in self.published if publish.event == name]

    def states(self, conference: str = "2001") -> dict[str, str]:
        return {person["number"]: person["state"] for person in self.service.participants(conference)}

    def id_of(self, number: str, conference: str = "2001") -> str:
        return next(p["id"] for p in self.service.participants(conference) if p["number"] == number)


@pytest.fixture
def house():
    """House(...) and the callers' makers, for tests that cannot import this file by name."""
    return House


@pytest.fixture
def callers():
    """user(extension) and outsider(number, peer)."""
    return user, outsider


@pytest.fixture
def meet(house, callers):
    """meet(spec, "101", ...) is a house where these users have called 2001, each by a call of the same name."""
    def make(spec=LOBBY, *users, **options):
        place = house(spec, **options)
        place.user, place.outsider = callers
        for extension in users:
            place.dial(extension, "2001", place.user(extension))
        return place
    return make
