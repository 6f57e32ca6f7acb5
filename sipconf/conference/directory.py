"""Who can be dialled: users, conferences and incoming numbers, and what a dialled string means to a given caller.

Frozen facts from the configuration. Nothing here knows a running call.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from sipconf.conference.events import Caller

MAX_DIALLED = 128
"""Characters of a dialled string that are looked at; more is nobody's number."""
MIN_NATIONAL_DIGITS = 7
"""A number in national form ("02 555 12 34") must leave this many digits to be matched by its end."""

NOT_IN_SERVICE = "This number is not in service"
NO_SUCH_EXTENSION = "There is no such extension here"

# The number itself holds neither "*" nor ",".
_WITH_CODE = re.compile(r"([^*,]+)(?:\*|,+)([0-9A-D]*)", re.ASCII)
_SEPARATORS = re.compile(r"[ .\-()/]+")
_DIGITS = re.compile(r"[0-9]+", re.ASCII)

WhenAdministratorLeaves = Literal["continue", "wait", "end"]


@dataclass(frozen=True, slots=True)
class UserSpec:
    """A person's extension."""

    extension: str
    name: str


@dataclass(frozen=True, slots=True)
class ConferenceSpec:
    """A conference as configured. administrator is the extension of the user who manages the call; encrypted: calls in
    the clear are refused; the codes are kept out of repr."""

    name: str
    extension: str
    access_code: str | None = field(default=None, repr=False)
    administrator: str | None = None
    administrator_code: str | None = field(default=None, repr=False)
    wait_for_administrator: bool = False
    when_administrator_leaves: WhenAdministratorLeaves = "continue"
    max_participants: int | None = None
    tones: bool = True
    announce_alone: bool = True
    level_matching: bool = True
    guards: bool = True
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class IncomingNumberSpec:
    """A telephone number, in any usual form, and the extension of the conference that it reaches."""

    number: str
    conference: str


@dataclass(frozen=True, slots=True)
class ToConference:
    """The call is for a conference; code was dialled along with the number ("2001*4321"), else None."""

    conference: ConferenceSpec
    code: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ToUser:
    """The call is for another user's telephones."""

    user: UserSpec


@dataclass(frozen=True, slots=True)
class Refusal:
    """The call is for nobody: the SIP status and a reason for the person."""

    status: int
    reason: str


Destination = ToConference | ToUser | Refusal


def bare_number(text: str) -> str | None:
    """The digits of a telephone number without its international prefix: "+32 2 555", "0032-2-555" and "32.2.555"
    are one number. None for what is no number."""
    compact = _SEPARATORS.sub("", text)
    digits = compact.removeprefix("+") if compact.startswith("+") else compact.removeprefix("00")
    return digits if _DIGITS.fullmatch(digits) else None


class Directory:
    """What can be dialled. A later entry of the same extension or number wins; the configuration refuses
    doubles."""

    def __init__(
        self,
        users: Sequence[UserSpec] = (),
        conferences: Sequence[ConferenceSpec] = (),
        incoming_numbers: Sequence[IncomingNumberSpec] = (),
    ) -> None:
        self.users = {user.extension: user for user in users}
        self.conferences = {conference.extension: conference for conference in conferences}
        self._incoming: dict[str, ConferenceSpec] = {}
        for incoming in incoming_numbers:
            bare = bare_number(incoming.number)
            conference = self.conferences.get(incoming.conference)
            if bare is not None and conference is not None:
                self._incoming[bare] = conference

    def resolve(self, dialled: str, caller: Caller) -> Destination:
        """What `dialled` (a user part, percent-decoded) is for this caller.

        Users, and the callers of a peer trunk, reach extensions and incoming numbers; other trunks' callers reach
        incoming numbers only; anybody else reaches nothing.
        """
        if caller.user is None and caller.trunk is None:
            return Refusal(403, "Please register before calling")
        extensions = caller.user is not None or caller.peer
        unknown = Refusal(404, NO_SUCH_EXTENSION if extensions else NOT_IN_SERVICE)
        if len(dialled) > MAX_DIALLED:
            return unknown
        dialled = dialled.removesuffix("#")  # some telephones send the key that ends the dialling along
        whole = self._look_up(dialled, None, extensions)
        if whole is not None:
            return whole
        parts = _WITH_CODE.fullmatch(dialled)
        found = self._look_up(parts[1], parts[2] or None, extensions) if parts else None
        # A code belongs to a conference: "102*4321" is no way to call a person.
        return found if isinstance(found, ToConference) else unknown

    def _look_up(self, number: str, code: str | None, extensions: bool) -> ToConference | ToUser | None:
        if extensions:
            extension = _SEPARATORS.sub("", number)
            if extension in self.conferences:
                return ToConference(self.conferences[extension], code)
            if extension in self.users:
                return ToUser(self.users[extension])
        conference = self._by_incoming_number(number)
        return ToConference(conference, code) if conference else None

    def _by_incoming_number(self, number: str) -> ConferenceSpec | None:
        bare = bare_number(number)
        if bare is None:
            return None
        if bare in self._incoming:
            return self._incoming[bare]
        # National form: one trunk zero in place of the country's code. Only where it can mean one number.
        national = bare.removeprefix("0")
        if national == bare or len(national) < MIN_NATIONAL_DIGITS:
            return None
        matches = [own for own in self._incoming if own.endswith(national)]
        return self._incoming[matches[0]] if len(matches) == 1 else None
