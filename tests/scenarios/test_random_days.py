"""Anything in any order: telephones that dial, key, hold, cancel, die and hang up at random over a bad line, while the
console switches, the media worker dies and the server starts again. Nothing may raise, in the end nothing may be left,
and whoever had registered is still registered.

`make days` lives through a thousand of them; SIPCONF_DAYS says how many, SIPCONF_FIRST_DAY which is the first.
"""

import os
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from sipconf.conference.directory import ConferenceSpec
from tests.sim.house import NUMBER, ROUGH_RTP, ROUGH_SIP, TRUNK_HOST, USERS, House
from tests.sim.network import CLEAR, STORM
from tests.sim.rtp_phone import RtpPhone

ROOMS = (
    ConferenceSpec("Weekly", "2001", access_code="4321", administrator="101", administrator_code="9876",
                   wait_for_administrator=True, when_administrator_leaves="wait"),
    ConferenceSpec("Open", "2002", max_participants=2, when_administrator_leaves="end", administrator="102"),
)  # fmt: skip
NUMBERS = ("2001", "2001*4321", "2001,,9876", "2001*1", "2002", "2002", "101", "102", "103", "999", NUMBER)
FIRST_DAY, DAYS = int(os.environ.get("SIPCONF_FIRST_DAY", "0")), int(os.environ.get("SIPCONF_DAYS", "30"))
DAY = 12.0
PAUSE = 0.15
WEATHERS = ((STORM, ROUGH_RTP), (STORM, ROUGH_RTP), (ROUGH_SIP, ROUGH_RTP), (CLEAR, CLEAR))


def on_the_telephone(house: House, phone: RtpPhone, rng: random.Random) -> None:
    """One thing that somebody does with a telephone, in the state that it is in."""
    if not phone.in_call:
        if rng.random() < 0.5:
            phone.talks = rng.random() < 0.9
            phone.mode, phone.shown_host = "sendrecv", phone.address[0]
            phone.invite(rng.choice(NUMBERS), house.now, rng.random() < 0.8)
        elif phone._invite_text and rng.random() < 0.3:
            phone.cancel(house.now)
        return
    phone.cseq = max(phone.cseq, 100)  # whoever was called has not counted yet
    actions: list[Callable[[], object]] = [
        lambda: phone.press(rng.choice(["4321#", "9876#", "11#", "*", "#", "5"])),
        lambda: phone.info("Signal=4\r\nDuration=100\r\n", house.now),
        lambda: phone.reinvite(rng.choice(["sendonly", "inactive", "sendrecv"]), house.now,
                               offer=rng.random() < 0.7),
        lambda: phone.bye(house.now),
        lambda: None,
    ]  # fmt: skip
    rng.choice(actions)()


def at_the_console(house: House, rng: random.Random) -> None:
    """One thing that an administrator does."""
    conferences = house.conferences
    extensions = [room["extension"] for room in conferences.conferences()]
    if not extensions or rng.random() < 0.3:
        rooms = [replace(room, access_code=rng.choice(["4321", None])) for room in ROOMS if rng.random() < 0.8]
        house.console(conferences.replace_directory, house.directory(*rooms))
        return
    extension = rng.choice(extensions)
    people = [person["id"] for person in conferences.participants(extension)]
    if not people or rng.random() < 0.3:
        house.console(conferences.lock, extension, rng.random() < 0.5)
    elif rng.random() < 0.5:
        house.console(conferences.mute, extension, rng.choice(people), rng.random() < 0.5)
    else:
        house.console(conferences.kick, extension, rng.choice(people))


def in_the_cellar(house: House, rng: random.Random) -> None:
    """Something goes wrong below, or somebody installs a new version."""
    if rng.random() < 0.5:
        house.kill_worker()
    else:
        house.restart(house.directory(*ROOMS), rng.choice([None, 0.0, 1.6]))


@pytest.mark.parametrize("seed", range(FIRST_DAY, FIRST_DAY + DAYS))
def test_a_random_day(seed: int) -> None:
    rng = random.Random(seed)
    sip, rtp = WEATHERS[seed % len(WEATHERS)]
    with House(*ROOMS, seed=seed, sip=sip, rtp=rtp, silence_timeout=4.0, pairs=6) as house:
        phones = [house.phone(name) for name in (*USERS[:3], "102")] + [house.phone("+32475000001", TRUNK_HOST)]
        for phone in phones[1:4]:
            phone.register(house.now)
        for phone in phones:
            phone.pickup = rng.choice([None, 0.0, 0.5])
            phone.final_status = rng.choice([200, 200, 200, 486])
        end = house.now + DAY
        while house.now < end:
            on_the_telephone(house, rng.choice(phones), rng)
            if rng.random() < 0.15:
                at_the_console(house, rng)
            if rng.random() < 0.02:
                in_the_cellar(house, rng)
            house.run(rng.uniform(0, 2 * PAUSE))
        house.switchboard.hang_up_all("the day is over", house.now)
        for phone in phones:
            phone.pickup = None
        for room in house.conferences.conferences():
            house.console(house.conferences.lock, room["extension"], False)  # a lock outlives an empty room
        house.settle()
