"""The tables by which a line is found: by call, SIP session or media leg, and the rooms' numbers in the media plane.

What a line is: `line`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sipconf.line import Line, Stage
from sipconf.sip.flow import Flow


@dataclass(slots=True)
class _Room:
    """number: the media plane's. lines: that are for this room; inside: those of them in its mix."""

    number: int
    lines: int = 0
    inside: int = 0


class Lines:
    """All lines, found by call, SIP session or media leg, and the media plane's numbers for the rooms they are in."""

    def __init__(self) -> None:
        self._by_call: dict[str, Line] = {}
        self._by_session: dict[str, Line] = {}
        self._by_leg: dict[int, Line] = {}
        self._rooms: dict[str, _Room] = {}
        self._last_leg = 0
        self._last_room = 0

    def __len__(self) -> int:
        return len(self._by_call)

    def __iter__(self) -> Iterator[Line]:
        """Over those there are now: they may end on the way."""
        return iter(list(self._by_call.values()))

    def of_call(self, call: str) -> Line | None:
        return self._by_call.get(call)

    def of_session(self, session: str) -> Line | None:
        return self._by_session.get(session)

    def of_leg(self, leg: int) -> Line | None:
        return self._by_leg.get(leg)

    def open(self, call: str, stage: Stage, flow: Flow, call_id: str, now: float = 0.0) -> Line:
        """A new line with a leg number of its own and no session yet."""
        self._last_leg += 1
        line = Line(call, self._last_leg, stage, {}, flow, call_id, now)
        self._by_call[call] = self._by_leg[line.leg] = line
        return line

    def close(self, line: Line) -> None:
        """Nothing finds this line any more."""
        del self._by_call[line.call], self._by_leg[line.leg]
        self._cancel(line)
        for session in list(line.sessions):
            self.remove_session(line, session)

    def add_session(self, line: Line, session: str, flow: Flow) -> None:
        """A SIP session stands for this line."""
        line.sessions[session] = flow
        self._by_session[session] = line

    def remove_session(self, line: Line, session: str) -> Flow:
        """A SIP session is of no more interest; the flow it went by."""
        del self._by_session[session]
        return line.sessions.pop(session)

    def room(self, name: str) -> int | None:
        """The plane's number of a room with lines in its mix."""
        room = self._rooms.get(name)
        return room.number if room is not None and room.inside else None

    def number(self, name: str) -> int:
        """The plane's number of a room, or where no line is for it the one that it will get."""
        room = self._rooms.get(name)
        return self._last_room + 1 if room is None else room.number

    def book(self, line: Line, name: str) -> int:
        """Note which room a line is for; the room's number, the same until the last such line closes."""
        if line.room != name:
            self._cancel(line)
            if name not in self._rooms:
                self._last_room += 1
                self._rooms[name] = _Room(self._last_room)
            line.room = name
            self._rooms[name].lines += 1
        return self._rooms[name].number

    def enter(self, line: Line, name: str) -> int:
        """Put a line in a room's mix; the room's number."""
        number = self.book(line, name)
        if not line.inside:
            line.inside = True
            self._rooms[name].inside += 1
        return number

    def leave(self, line: Line) -> None:
        """Take a line out of its room's mix. The room stays its own: it may come back."""
        if line.inside and line.room is not None:
            line.inside = False
            self._rooms[line.room].inside -= 1

    def _cancel(self, line: Line) -> None:
        """The line is for no room any more; a room's number goes with its last line."""
        self.leave(line)
        name, line.room = line.room, None
        if name is None:
            return
        self._rooms[name].lines -= 1
        if not self._rooms[name].lines:
            del self._rooms[name]

    def leftovers(self) -> int:
        """How much is still remembered; nothing once every line is closed."""
        return len(self._by_call) + len(self._by_session) + len(self._by_leg) + len(self._rooms)
