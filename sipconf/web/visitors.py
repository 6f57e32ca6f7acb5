"""The visitors of the join page: their calls by token, how many one address may have, and what each is told.

A visitor is told of its own call and, once it talks, of those who talk with it: names and who is heard, never numbers,
levels or addresses. What lives here: limits, tokens, feeds, the end of a page that is gone. What does not: HTTP (join)
and how a call gets on (web_calls, conference).
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sipconf.growing_waits import GrowingWaits, WaitLimits
from sipconf.sip.flow import Flow, network_of
from sipconf.sip.sources import Buckets, Rate
from sipconf.web.events import EventFeed, render
from sipconf.web.problems import Problem
from sipconf.web_calls import Answered, Output, Refused

SAME_STATUS = frozenset({400, 403, 404, 503})
HTTP_STATUS = {480: 409, 486: 409, 488: 422}
"""SIP statuses that HTTP has not, or uses for something else; whatever else is 503."""
GONE = "the page is gone"


@dataclass(frozen=True, slots=True)
class VisitorLimits:
    """calls, waiting: of one source (an IPv4 address or an IPv6 network of 64 bits), in all and not yet answered;
    all_calls, all_waiting: of all sources; offers: how fast one source may make them. guesses: of numbers that are no
    conference, by source. Seconds: answer_within, of ours; connect_within, until the page has its answer and comes for
    its events; absence, until a page that does not listen to its events any more counts as gone. streams: of one
    call's events; remembered: sources."""

    calls: int = 100
    waiting: int = 10
    all_calls: int = 4000
    all_waiting: int = 100
    offers: Rate = Rate(2.0, 40)
    guesses: WaitLimits = WaitLimits(free=10)
    answer_within: float = 10.0
    connect_within: float = 30.0
    absence: float = 20.0
    streams: int = 2
    backlog: int = 256
    remembered: int = 10_000


class Calls(Protocol):
    """What visitors may ask of the server; every method returns at once. session: a word of ours for one call."""

    def arrive(self, session: str, extension: str, name: str, offer: bytes, flow: Flow) -> None: ...
    def confirm(self, session: str) -> None: ...
    def leave(self, session: str, reason: str) -> None: ...
    def participant_of(self, session: str) -> str | None: ...
    def conference_name(self, extension: str) -> str: ...
    def participants(self, extension: str) -> list[dict[str, Any]]: ...


class Timer(Protocol):
    def cancel(self) -> None: ...


Later = Callable[[float, Callable[[], None]], Timer]
"""Runs something after so many seconds, unless cancelled."""


@dataclass(slots=True, eq=False)
class Visit:
    """One visitor's call. token: knows it whoever may listen to it and end it; never in a log. answer: our SDP, or the
    Problem it met."""

    session: str
    token: str = field(repr=False)
    extension: str
    source: str
    feed: EventFeed
    answer: "asyncio.Future[bytes]"
    participant: str = ""               # its id in the conference
    shown: Mapping[str, Any] = field(default_factory=dict)  # its state as last told
    streams: int = 0
    timer: Timer | None = None

    @property
    def inside(self) -> bool:
        return self.shown.get("state") == "talking"


@dataclass(slots=True)
class Room:
    """A conference with visitors: their calls by participant, and who may be on a list that one of them has seen."""

    visits: dict[str, Visit] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)


LEAVING = {"state": "leaving"}
"""What somebody is told for whom the conference is over, while the reason is being said."""


class Visitors:
    """Everybody who came by the join page."""

    def __init__(self, calls: Calls, limits: VisitorLimits = VisitorLimits(), later: Later | None = None) -> None:
        """later: the event loop's own, where none is given."""
        self._calls = calls
        self._limits = limits
        self._later = later
        self._by_token: dict[str, Visit] = {}
        self._by_session: dict[str, Visit] = {}
        self._rooms: dict[str, Room] = {}  # by extension
        self._of_source: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()
        self._offers = Buckets(limits.offers, limits.remembered)
        self._guesses = GrowingWaits(limits.guesses)

    def __len__(self) -> int:
        return len(self._by_session)

    # --- from the page -----------------------------------------------------------------------------------------------
    async def offer(self, extension: str, name: str, sdp: bytes, flow: Flow, now: float) -> Visit:
        """Take an offer; the visit's answer is there. Raises Problem with a reason for the visitor."""
        source = network_of(flow.remote[0])
        self._check(source, now)
        visit = Visit(
            f"web-{secrets.token_hex(6)}", secrets.token_urlsafe(24), extension, source,
            EventFeed(ring=0, backlog=self._limits.backlog, max_listeners=self._limits.streams),
            asyncio.get_running_loop().create_future())
        self._by_token[visit.token] = self._by_session[visit.session] = visit
        self._of_source[source] += 1
        self._waiting[source] += 1
        try:
            self._calls.arrive(visit.session, extension, name, sdp, flow)
            async with asyncio.timeout(self._limits.answer_within):
                await visit.answer
        except TimeoutError:
            self._leave(visit, "no answer of ours in time")
            raise Problem(503, "The server is too busy to answer; please try again in a moment.",
                          headers={"Retry-After": "10"}) from None
        except Problem as problem:
            self._drop(visit)
            if problem.status == 404:
                self._guesses.wrong(source, now)
            raise
        except BaseException:
            self._leave(visit, GONE)
            raise
        finally:
            self._waiting[source] -= 1
            self._waiting += Counter()  # forgets who has none
        self._expect(visit, self._limits.connect_within)
        return visit

    def find(self, extension: str, token: str) -> Visit:
        """The visit of this token. Raises Problem."""
        visit = self._by_token.get(token)
        if visit is None or visit.extension != extension:
            raise Problem(404, "This call is over.")
        return visit

    def leave(self, visit: Visit) -> None:
        """The visitor hangs up."""
        self._leave(visit, "the visitor hung up")

    def listening(self, visit: Visit) -> None:
        """The page has come for its events: it has our answer, and hears us from now on."""
        visit.streams += 1
        self._expect(visit, None)
        self._calls.confirm(visit.session)

    def deaf(self, visit: Visit) -> None:
        """One of the page's event streams has ended."""
        visit.streams -= 1
        if not visit.streams and visit.session in self._by_session:
            self._expect(visit, self._limits.absence)

    def greeting(self, visit: Visit) -> bytes:
        """What a stream begins with: all that has been told before."""
        if not visit.shown:
            return render("state", {"state": "connecting"}, None)
        state = render("state", visit.shown, None)
        return state + render("participants", self._roster(visit), None) if visit.inside else state

    # --- from the server ---------------------------------------------------------------------------------------------
    def hear(self, outputs: Iterable[Output]) -> None:
        """Take what the calls have come to."""
        for output in outputs:
            visit = self._by_session.get(output.session)
            if visit is None:
                continue
            if isinstance(output, Answered):
                visit.participant = self._calls.participant_of(visit.session) or ""
                self._rooms.setdefault(visit.extension, Room()).visits[visit.participant] = visit
                if not visit.answer.done():
                    visit.answer.set_result(output.answer)
            elif isinstance(output, Refused):
                if not visit.answer.done():
                    visit.answer.set_exception(_problem(output))
            else:
                visit.feed.publish("over", {"reason": output.reason})
                self._drop(visit)

    def publish(self, event: str, data: Mapping[str, Any]) -> None:
        """Something happened in a conference: tell its visitors what is theirs to know."""
        room, person = self._rooms.get(data.get("conference", "")), data.get("participant")
        if room is None or person is None:
            return
        visit = room.visits.get(person["id"])
        if event == "left":
            if visit is not None:
                self._forget(visit)
                visit.feed.publish("state", LEAVING)
        elif visit is not None:
            self._tell_own(visit, event, person)
        if event != "left" and person["state"] == "talking":
            room.seen.add(person["id"])
            _tell_inside(room, "participant", seen(person))
        elif person["id"] in room.seen:
            room.seen.discard(person["id"])
            _tell_inside(room, "left", {"id": person["id"]})

    def _tell_own(self, visit: Visit, event: str, person: Mapping[str, Any]) -> None:
        if event == "digit-refused":
            visit.feed.publish("code-refused", {})
            return
        was_inside = visit.inside
        shown = {"state": person["state"], "id": person["id"], "administrator": person["administrator"],
                 "muted": person["muted"], "guard": person["guard"],
                 "conference": "" if person["state"] == "prompting" else self._calls.conference_name(visit.extension)}
        if shown != visit.shown:
            visit.shown = shown
            visit.feed.publish("state", shown)
        if visit.inside and not was_inside:
            visit.feed.publish("participants", self._roster(visit))

    def _roster(self, visit: Visit) -> dict[str, Any]:
        people = [each for each in self._calls.participants(visit.extension) if each["state"] == "talking"]
        self._rooms[visit.extension].seen.update(each["id"] for each in people)
        return {"participants": [seen(each) for each in people]}

    # --- limits and ends ---------------------------------------------------------------------------------------------
    def _check(self, source: str, now: float) -> None:
        """Raises Problem where this source has enough."""
        limits = self._limits
        wait = max(self._guesses.wait(source, now), self._offers.wait(source, now))
        if wait > 0:
            raise Problem(429, "Too many attempts came from your network; please try again later.",
                          headers={"Retry-After": str(int(wait) + 1)})
        self._offers.take(source, now)
        if self._of_source[source] >= limits.calls or self._waiting[source] >= limits.waiting:
            raise Problem(429, "There are as many calls from your network as this server takes.",
                          headers={"Retry-After": "30"})
        if len(self) >= limits.all_calls:
            raise Problem(503, "No more calls are taken from the web page now; call by telephone, or try again later.",
                          headers={"Retry-After": "30"})
        if self._waiting.total() >= limits.all_waiting:
            raise Problem(503, "The server is busy, please try again in a moment.", headers={"Retry-After": "10"})

    def _expect(self, visit: Visit, seconds: float | None) -> None:
        """The page is to be heard of within so many seconds; None: it is there."""
        if visit.timer is not None:
            visit.timer.cancel()
        later = self._later or asyncio.get_running_loop().call_later
        visit.timer = None if seconds is None else later(seconds, lambda: self._leave(visit, GONE))

    def _leave(self, visit: Visit, reason: str) -> None:
        self._drop(visit)
        self._calls.leave(visit.session, reason)

    def _drop(self, visit: Visit) -> None:
        """The call is over, or never began."""
        if self._by_session.pop(visit.session, None) is None:
            return
        del self._by_token[visit.token]
        self._forget(visit)
        self._of_source[visit.source] -= 1
        if not self._of_source[visit.source]:
            del self._of_source[visit.source]
        self._expect(visit, None)
        visit.feed.close()

    def _forget(self, visit: Visit) -> None:
        """It is to hear no more of its conference."""
        visit.shown = LEAVING
        room = self._rooms.get(visit.extension)
        if room is not None and room.visits.get(visit.participant) is visit:
            del room.visits[visit.participant]
            if not room.visits:
                del self._rooms[visit.extension]


def _tell_inside(room: Room, event: str, data: Mapping[str, Any]) -> None:
    for visit in room.visits.values():
        if visit.inside:
            visit.feed.publish(event, data)


def _problem(refused: Refused) -> Problem:
    status = refused.status if refused.status in SAME_STATUS else HTTP_STATUS.get(refused.status, 503)
    headers = {} if refused.retry_after is None else {"Retry-After": str(refused.retry_after)}
    return Problem(status, f"{refused.reason}.", headers=headers)


def seen(person: Mapping[str, Any]) -> dict[str, Any]:
    """What one participant may know of another. A telephone number is nobody's business: it shows its last digits."""
    number, name = person["number"], person["name"]
    if name and not _is_telephone_number(name):
        ending = ""
    elif _is_telephone_number(number):
        name, ending = "", number[-2:]
    else:
        name, ending = number, ""
    return {"id": person["id"], "name": name, "number_ending": ending, "speaking": person["speaking"],
            "muted": person["muted"], "administrator": person["administrator"], "guest": person["guest"],
            "held": person["held"]}


def _is_telephone_number(text: str) -> bool:
    return len(text) > 5 and all(each in "+0123456789 -/()." for each in text)
