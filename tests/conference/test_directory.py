"""What a dialled string means to whom."""

import pytest

from sipconf.conference.directory import (
    MAX_DIALLED,
    ConferenceSpec,
    Directory,
    IncomingNumberSpec,
    Refusal,
    ToConference,
    ToUser,
    UserSpec,
    bare_number,
)
from sipconf.conference.events import Caller

ROOM = ConferenceSpec("Stand-up", "2001", access_code="4321", administrator_code="9876")
OPEN_ROOM = ConferenceSpec("Lobby", "2002")
BOB = UserSpec("102", "Bob")
NUMBERS = [IncomingNumberSpec("+32 2 555.12-34", "2001")]
DIRECTORY = Directory([UserSpec("101", "Alice"), BOB], [ROOM, OPEN_ROOM], NUMBERS)

ALICE = Caller("101", "Alice", "101", None, "192.0.2.1")
TRUNK = Caller("+32477", "", None, "provider", "192.0.2.2")
PEER = Caller("55", "", None, "pbx", "192.0.2.3", peer=True)
NOBODY = Caller("101", "", None, None, "192.0.2.4")


@pytest.mark.parametrize("dialled, code", [
    ("2001", None), ("2001*4321", "4321"), ("2001,,4321", "4321"), ("2001,4321", "4321"), ("2001*4321#", "4321"),
    ("2001,,,4321#", "4321"), ("2001*", None), ("2001,,", None), ("20 01", None),
    ("2001#", None), ("2001*#", None),
])
def test_an_extension_with_and_without_a_code(dialled, code):
    for caller in (ALICE, PEER):
        assert DIRECTORY.resolve(dialled, caller) == ToConference(ROOM, code)


@pytest.mark.parametrize("dialled", [
    "+3225551234", "003225551234", "3225551234", "+32 2 555 12 34", "0032-2-555-12-34", "+32.2.555.12.34",
    "+32(2)5551234", "025551234", "02 555 12 34",
])
def test_a_telephone_number_in_many_forms(dialled):
    for caller in (TRUNK, PEER, ALICE):
        assert DIRECTORY.resolve(dialled, caller) == ToConference(ROOM, None)
        assert DIRECTORY.resolve(dialled + "*4321", caller) == ToConference(ROOM, "4321")


@pytest.mark.parametrize("dialled", [
    "", "*", "#", ",,", "2003", "2001*43x1", "2001*4321*1", "2001;4321", "+32", "555123", "5551234", "005551234", "+",
    "+3225551235", "102*4321", "2001\r\n", "2001##", "2001#4321", "#2001",
    "２００１", "2001*４３２１", "٢٠٠١", "2001&102", "2" * (MAX_DIALLED + 1),
])
def test_what_is_nobodys_number(dialled):
    answer = DIRECTORY.resolve(dialled, ALICE)
    assert isinstance(answer, Refusal) and answer.status == 404 and "extension" in answer.reason


def test_who_reaches_whom():
    assert DIRECTORY.resolve("102", ALICE) == ToUser(BOB)
    assert DIRECTORY.resolve("102", PEER) == ToUser(BOB)
    for extension in ("102", "2001", "2001*4321"):
        answer = DIRECTORY.resolve(extension, TRUNK)
        assert isinstance(answer, Refusal) and answer.status == 404
    answer = DIRECTORY.resolve("2002", NOBODY)
    assert isinstance(answer, Refusal) and answer.status == 403


def test_a_national_number_that_could_mean_two_is_refused():
    two = Directory([], [ROOM], [IncomingNumberSpec("+3225551234", "2001"), IncomingNumberSpec("+3325551234", "2001")])
    assert isinstance(two.resolve("025551234", TRUNK), Refusal)
    assert isinstance(two.resolve("+3325551234", TRUNK), ToConference)


def test_an_incoming_number_of_no_conference_reaches_nobody():
    stale = Directory([], [], [IncomingNumberSpec("+3225551234", "2001")])
    assert isinstance(stale.resolve("+3225551234", TRUNK), Refusal)


def test_codes_are_not_shown():
    for thing in (ROOM, ToConference(ROOM, "4321"), DIRECTORY.resolve("2001*4321", ALICE)):
        assert "4321" not in repr(thing) and "9876" not in repr(thing)


@pytest.mark.parametrize("text, bare", [
    ("+32 2", "322"), ("0032", "32"), ("00", None), ("", None), ("anonymous", None), ("+0032", "0032"),
    ("1-2.3", "123"),
])
def test_bare_numbers(text, bare):
    assert bare_number(text) == bare
