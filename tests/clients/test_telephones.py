"""The main job with real telephones: register, key the code, hear everyone but oneself, without gaps.

Four telephones of different make call a real `sipconf serve` on loopback. Each speaks with a tone of its own; what each
records is judged by those tones.
"""

import time
from pathlib import Path

import numpy as np
import pytest

from tests.clients.conftest import TRUNK_ADDRESS, Server
from tests.clients.pyvoip_phone import PyVoip
from tests.clients.sipp import Sipp
from tests.clients.telephones import Baresip, Linphone, Telephone, in_use, wait_for
from tests.clients.tones import VOICES, judge, judge_best

FIRST, SECOND, THIRD, FOURTH = list(VOICES.values())[:4]
TALK = 7.0
"""Seconds that the people of a room talk in a test."""
LONGEST_GAP_MS = 75.0
"""Three windows of the judge. The telephones' own buffers (pyVoIP's clock is 0.8 % off) may cost one packet."""
UNHEARD_DB = -45.0
UNDER_WAY = 1.5
"""Seconds after which what was said before is not still on its way."""


def hears(phone: Telephone, frequency: float, seconds: float = 4.0, since: float = 0.0,
          longest_gap_ms: float = LONGEST_GAP_MS) -> None:
    """Assert that a telephone's recording, from `since` seconds on, holds a voice for so long, loud enough and without
    gaps."""
    samples, rate = phone.heard()
    hearing = judge_best(samples[int(since * rate):], rate, frequency, seconds)
    who = f"{type(phone).__name__} {phone.extension} and {frequency:.0f} Hz: {hearing}"
    assert hearing.level_db > -30, who
    assert hearing.longest_gap_ms <= longest_gap_ms, who


def hears_not(phone: Telephone, frequency: float, since: float = 0.0, until: float | None = None) -> None:
    """Assert that a voice is not in a telephone's recording, or between these seconds of it."""
    samples, rate = phone.heard()
    piece = samples[int(since * rate): None if until is None else int(until * rate)]
    hearing = judge(piece, rate, frequency)
    who = f"{type(phone).__name__} {phone.extension}, {frequency:.0f} Hz: {hearing}"
    assert len(piece) > rate and hearing.level_db < UNHEARD_DB, who


def test_four_makes_meet_in_one_room(server: Server, tmp_path: Path) -> None:
    phones: list[Telephone] = [
        Linphone(tmp_path, server.address, "101", "secret-101", FIRST),
        Baresip(tmp_path, server.address, "102", "secret-102", SECOND),
        PyVoip(tmp_path, server.address, "103", "secret-103", THIRD),
        Sipp(tmp_path, server.address, "104", "secret-104", FOURTH),
    ]
    with in_use(*phones):
        for phone in phones:
            phone.call("2001")
            server.wait_state("2001", phone.extension, "prompting")
            phone.press("4321#")
            server.wait_state("2001", phone.extension, "talking")
        time.sleep(TALK)
        people = server.people("2001")
        assert {number: person["name"] for number, person in people.items()} == {
            "101": "Alice Martin", "102": "Bruno Petit", "103": "Carla Rossi", "104": "Dirk Janssens"}
        wait_for("all to be seen speaking", lambda: all(who["speaking"] for who in server.people("2001").values()))
    for listener in phones:
        for talker in phones:
            if talker is listener:
                hears_not(listener, talker.tone_hz)
            else:
                hears(listener, talker.tone_hz)


def test_wrong_code_three_times_is_a_goodbye(server: Server, tmp_path: Path) -> None:
    phone = Sipp(tmp_path, server.address, "104", "secret-104", FOURTH)
    with in_use(phone):
        phone.call_until_they_hang_up("2001")
        server.wait_state("2001", "104", "prompting")
        for _ in range(3):
            phone.press("1111#")
            time.sleep(2.5)
        phone.wait_ended()
    server.wait_empty("2001")
    samples, rate = phone.heard()
    goodbye = samples[-2 * rate:]
    assert np.sqrt(np.mean(goodbye**2)) > 0.005, "no goodbye was heard"


def test_code_in_the_dialled_number(server: Server, tmp_path: Path) -> None:
    phone = Sipp(tmp_path, server.address, "104", "secret-104", FOURTH)
    with in_use(phone):
        phone.call("2001*4321", seconds=5)
        server.wait_state("2001", "104", "talking")
        phone.wait_ended()
        server.wait_empty("2001")
    assert "4321" not in server.log.read_text()


class InBand(Sipp):
    """A line behind an old gateway: it knows no telephone-event, its keys are heard."""

    in_band = True


def test_keys_as_tones_in_the_voice(server: Server, tmp_path: Path) -> None:
    old = InBand(tmp_path, server.address, "104", "secret-104", FOURTH)
    other = Sipp(tmp_path, server.address, "103", "secret-103", THIRD)
    with in_use(old, other):
        other.call("2001*4321", seconds=12)
        old.call("2001", seconds=10)
        server.wait_state("2001", "104", "prompting")
        old.press("4321#")
        server.wait_state("2001", "104", "talking")
        assert "telephone-event" not in (old.folder / "call.messages").read_text()
        time.sleep(5)
    hears(old, THIRD, 2.5)
    hears(other, FOURTH, 2.5)
    assert "4321" not in server.log.read_text()


def test_waiting_for_the_administrator(server: Server, tmp_path: Path) -> None:
    guest = Sipp(tmp_path, server.address, "104", "secret-104", FOURTH)
    administrator = Linphone(tmp_path, server.address, "101", "secret-101", FIRST)
    with in_use(guest, administrator):
        guest.call("2002")
        server.wait_state("2002", "104", "prompting")
        guest.press("2468#")
        server.wait_state("2002", "104", "waiting")
        time.sleep(7)
        waited = guest.recorded()
        administrator.call("2002")
        server.wait_state("2002", "101", "prompting")
        administrator.press("2468#")
        entered = server.wait_state("2002", "101", "talking")
        assert entered["administrator"]
        server.wait_state("2002", "104", "talking")
        time.sleep(5)
    hears(guest, FIRST, 3.0, since=waited)
    hears(administrator, FOURTH, 3.0)
    # Before: a spoken prompt, then music, and never silence for long; the administrator's tone is not there.
    hears_not(guest, FIRST, until=waited)
    samples, rate = guest.heard()
    waiting = samples[int((waited - 5.0) * rate): int(waited * rate)]
    loud = np.sqrt(np.mean(waiting[: len(waiting) // rate * rate].reshape(-1, rate) ** 2, axis=1))
    assert len(loud) >= 4 and (loud > 10 ** (-50 / 20)).all(), loud


@pytest.mark.parametrize("make", [Linphone, Baresip])
def test_hold_and_resume(server: Server, tmp_path: Path, make: type[Telephone]) -> None:
    talker = Sipp(tmp_path, server.address, "104", "secret-104", FOURTH)
    holder = make(tmp_path, server.address, "102", "secret-102", SECOND)
    with in_use(talker, holder):
        holder.call("2000")
        talker.call("2000")
        server.wait_state("2000", "104", "talking")
        server.wait_state("2000", "102", "talking")
        time.sleep(4)
        before = talker.recorded()
        holder.hold()
        wait_for("the hold to be seen", lambda: server.people("2000")["102"]["held"])
        time.sleep(UNDER_WAY)
        held = talker.recorded()
        time.sleep(3)
        holder_is_back = talker.recorded()
        holder.resume()
        wait_for("the call to be taken back", lambda: not server.people("2000")["102"]["held"])
        time.sleep(4)
    hears_not(talker, SECOND, since=held, until=holder_is_back)
    hears(talker, SECOND, 2.0, since=holder_is_back)
    samples, rate = talker.heard()
    assert judge_best(samples[: int(before * rate)], rate, SECOND, 1.5).level_db > -30


def test_cancel_while_it_rings(server: Server, tmp_path: Path) -> None:
    called = Linphone(tmp_path, server.address, "101", "secret-101", FIRST)
    caller = Sipp(tmp_path, server.address, "104", "secret-104", FOURTH)
    with in_use(caller, called):
        caller.call_and_give_up("101")
        assert called.said("Receiving new incoming call"), "linphonec did not ring"
        wait_for("linphonec to hear that the caller has gone", lambda: called.said("ended"))


def test_a_user_calls_a_user(server: Server, tmp_path: Path) -> None:
    called = Linphone(tmp_path, server.address, "101", "secret-101", FIRST)
    caller = Sipp(tmp_path, server.address, "104", "secret-104", FOURTH)
    with in_use(called, caller):
        called.type("autoanswer enable")
        caller.call("101")
        time.sleep(5)
    hears(caller, FIRST, 3.0)
    hears(called, FOURTH, 2.0)
    assert called.said('incoming call from "Dirk Janssens"'), "the caller is who the directory says"


def test_an_extension_that_is_not_there(server: Server, tmp_path: Path) -> None:
    caller = Sipp(tmp_path, server.address, "104", "secret-104", FOURTH)
    with in_use(caller):
        assert caller.call_and_be_refused("2999", 404).startswith("SIP/2.0 404 ")
        assert "No telephone of Bruno Petit is connected" in caller.call_and_be_refused("102", 480)


class Outside(Sipp):
    """A caller behind the provider's address: no registration, no password, a telephone number."""

    def start(self) -> None:
        super().start()
        self.local_address = TRUNK_ADDRESS


@pytest.mark.parametrize("form", ["+3225551234", "003225551234", "3225551234"])
def test_a_trunk_reaches_an_incoming_number(server: Server, tmp_path: Path, form: str) -> None:
    caller = Outside(tmp_path, server.address, "0475112233", "", FOURTH)
    inside = Baresip(tmp_path, server.address, "102", "secret-102", SECOND)
    with in_use(caller, inside):
        caller.call(form)
        server.wait_state("2001", "0475112233", "prompting")
        caller.press("4321#")
        server.wait_state("2001", "0475112233", "talking")
        inside.call("2001*4321")
        server.wait_state("2001", "102", "talking")
        time.sleep(4)
    hears(caller, SECOND, 2.0)
    hears(inside, FOURTH, 2.0)


def test_a_trunk_reaches_nothing_else(server: Server, tmp_path: Path) -> None:
    caller = Outside(tmp_path, server.address, "0475112233", "", FOURTH)
    with in_use(caller):
        for number in ("2001", "101", "+32475999888"):
            assert caller.call_and_be_refused(number, 401).startswith("SIP/2.0 401 ")


def test_a_stranger_is_challenged(server: Server, tmp_path: Path) -> None:
    caller = Sipp(tmp_path, server.address, "104", "", FOURTH)
    with in_use(caller):
        assert caller.call_and_be_refused("2000", 401).startswith("SIP/2.0 401 ")


def test_an_edit_of_the_file_during_a_call(server: Server, tmp_path: Path) -> None:
    stays = Sipp(tmp_path, server.address, "104", "secret-104", FOURTH)
    comes = Sipp(tmp_path, server.address, "103", "secret-103", THIRD)
    with in_use(stays, comes):
        stays.call("2001*4321")
        server.wait_state("2001", "104", "talking")
        text = server.config.read_text()
        server.config.write_text(text.replace('"4321"', '"5555"') + "\nthis is no TOML\n")
        wait_for("the broken file to be reported", lambda: f"{server.config}:" in server.log.read_text())
        assert server.people("2001")["104"]["state"] == "talking"
        server.config.write_text(text.replace('"4321"', '"5555"'))
        wait_for("the new file to be used", lambda: "conference 2001 changed" in server.log.read_text())
        comes.call("2001*5555")
        server.wait_state("2001", "103", "talking")
        time.sleep(5)
        assert server.people("2001")["104"]["state"] == "talking"
    hears(stays, THIRD, 2.5)
    hears(comes, FOURTH, 2.5)


def test_the_console_mutes_kicks_and_locks(server: Server, tmp_path: Path) -> None:
    first = Sipp(tmp_path, server.address, "104", "secret-104", FOURTH)
    second = Sipp(tmp_path, server.address, "103", "secret-103", THIRD)
    with in_use(second, first):
        first.call_until_they_hang_up("2000")
        second.call("2000")
        server.wait_state("2000", "103", "talking")
        identity = server.wait_state("2000", "104", "talking")["id"]
        time.sleep(3)
        heard_until = second.recorded()
        server.ask("PATCH", f"/api/conferences/2000/participants/{identity}", {"muted": True})
        time.sleep(UNDER_WAY)
        muted = second.recorded()
        time.sleep(3)
        muted_until = second.recorded()
        server.ask("PATCH", "/api/conferences/2000", {"locked": True})
        third = Sipp(tmp_path, server.address, "102", "secret-102", SECOND)
        third.start()
        assert "locked" in third.call_and_be_refused("2000", 403)
        server.ask("DELETE", f"/api/conferences/2000/participants/{identity}")
        first.wait_ended()
    hears_not(second, FOURTH, since=muted, until=muted_until)
    samples, rate = second.heard()
    assert judge_best(samples[: int(heard_until * rate)], rate, FOURTH, 2.0).level_db > -30


def test_sigterm_says_bye(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start()
    phone = Sipp(tmp_path, server.address, "104", "secret-104", FOURTH)
    with in_use(phone):
        phone.call_until_they_hang_up("2000")
        server.wait_state("2000", "104", "talking")
        server.stop()
        phone.wait_ended()
    assert "stopping: SIGTERM; 1 calls are told" in server.log.read_text()


def test_bindings_survive_a_restart(server: Server, tmp_path: Path) -> None:
    called = Linphone(tmp_path, server.address, "101", "secret-101", FIRST)
    caller = Sipp(tmp_path, server.address, "104", "secret-104", FOURTH)
    with in_use(caller, called):
        called.type("autoanswer enable")
        server.stop()
        server.start()
        caller.call("101", seconds=5)
        caller.wait_ended()
    assert called.said("Receiving new incoming call"), "linphonec registered once, before the restart"
