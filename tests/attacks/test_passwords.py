"""Passwords: who exists is not told, guessing is slow and costs the guesser alone, no answer is good twice
(docs/trust.md)."""

import random
import re

import pytest

from sipconf.sip import digest
from sipconf.sip.flow import Flow
from sipconf.sip.guesses import GuessLimits
from tests.sim.desk import SERVER, Desk, header, request
from tests.sim.house import DOMAIN, USERS, House
from tests.sim.siege import ROOM, Stranger, proof, running_call, status_of

LIMITS = GuessLimits()
REGISTRAR = f"sip:{DOMAIN}"
SDP = "v=0\r\n"


def masked(answer: str) -> str:
    """An answer without what differs from one request to the next in any case."""
    answer = re.sub(r'nonce="\w+"|;tag=\w+|branch=\w+|Call-ID: \S+', "*", answer)
    return re.sub(r"(From|To): <[^>]*>", r"\1", answer)


def challenge_of(stranger: Stranger, method: str = "REGISTER", uri: str = REGISTRAR) -> str:
    (answer,) = stranger.ask(stranger.request(method, uri, body=SDP if method == "INVITE" else ""))
    assert status_of(answer) == 401
    return re.search(r"WWW-Authenticate: (.*)\r", answer)[1]


def guess(stranger: Stranger, user: str, password: str, *, method: str = "REGISTER", seconds: float = 0.1) -> list[str]:
    """One try with a fresh nonce; what is answered."""
    uri = REGISTRAR if method == "REGISTER" else f"sip:2001@{DOMAIN}"
    answers = stranger.ask(stranger.request(method, uri, body=SDP if method == "INVITE" else ""), seconds / 2)
    found = re.search(r"WWW-Authenticate: (.*)\r", answers[0]) if answers else None
    if found is None:
        return answers
    extra = proof(found[1], user, password, method, uri)
    to = f"<sip:{user}@{DOMAIN}>"
    return stranger.ask(stranger.request(method, uri, to=to, extra=extra, cseq="2"), seconds / 2)


@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "OPTIONS", "SUBSCRIBE", "MESSAGE", "BYE"])
@pytest.mark.parametrize("with_password", [False, True], ids=["bare", "wrong password"])
def test_answers_for_known_and_unknown_users_are_the_same_to_the_byte(method: str, with_password: bool) -> None:
    """200 names, six of them users. Each from a host of its own, or the limits would make all answers alike."""
    rng = random.Random(7)
    names = [*USERS, "2001", "2002", "+3225551234", *(f"{rng.randrange(200, 999)}{n}" for n in range(191))]
    with House(ROOM) as house:
        answers = set()
        for number, name in enumerate(names):
            stranger = Stranger(house, (f"203.0.113.{number + 10}", 5060))
            uri = f"sip:{name}@{DOMAIN}"
            extra = ""
            if with_password:
                extra = proof(challenge_of(stranger), name, "wrong", method, uri)
            got = stranger.ask(stranger.request(method, uri, sender=uri, extra=extra, cseq="2"), 0.04)
            text = "\n".join(got).replace(stranger.address[0], "*")
            answers.add(masked(text))
            del house.network._endpoints[stranger.address]
        assert len(answers) == 1, answers


def test_a_thousand_passwords_from_one_host_are_slow_and_the_user_does_not_notice() -> None:
    """The attacker has a host of its own; the person attacked calls and registers from another all the while."""
    with House(ROOM) as house:
        stranger, owner = Stranger(house), house.phone("101")
        with running_call(house):
            tried = 0
            for number in range(1000):
                if any(status_of(answer) == 401 for answer in guess(stranger, "101", f"guess-{number}", seconds=0.08)):
                    tried += 1
                if number % 250 == 100:
                    owner.register(house.now)
                    house.run(0.1)
            assert tried <= 20
            assert owner.log.count("200 REGISTER") == 4
            told = [text for answer in stranger.heard if status_of(answer) == 403 for text in answer.split("\r\n")[:1]]
            assert told and all("Too many wrong passwords" in text for text in told)
            assert guess(stranger, "101", "secret-101") == [] or status_of(stranger.heard[-1]) == 403, "right, too late"
            assert not house.registrar.bindings("101", house.now)[1:]
        house.network.run(LIMITS.longest_wait)
        assert status_of(guess(stranger, "101", "secret-101")[-1]) == 200, "the wait ends by itself"


def test_many_names_from_one_host_are_slow_too() -> None:
    with House(ROOM) as house:
        stranger = Stranger(house)
        answers = [guess(stranger, str(1000 + number), "1234", seconds=0.04) for number in range(1000)]
        assert sum(status_of(each[-1]) == 401 for each in answers if each) <= 20


def test_the_neighbour_behind_the_same_nat() -> None:
    """A registered telephone goes on; another waits no longer than the longest wait once the guessing has ended."""
    with House(ROOM) as house:
        registered = house.phone("101")
        house.register(registered)
        stranger = Stranger(house, (registered.address[0], 33333))
        for number in range(200):
            guess(stranger, "101", f"guess-{number}")
        registered.register(house.now)
        house.run(0.2)
        assert registered.log.count("200 REGISTER") == 2
        house.dial(registered, "2001")
        assert status_of(guess(Stranger(house, (registered.address[0], 33334)), "102", "secret-102")[-1]) == 200, (
            "another account of the same office")
        second = Stranger(house, (registered.address[0], 33335))
        assert status_of(guess(second, "101", "secret-101")[-1]) == 403
        house.network.run(LIMITS.longest_wait)
        assert status_of(guess(second, "101", "secret-101")[-1]) == 200


def test_ipv6_neighbours_are_one_guesser() -> None:
    desk = Desk()
    answered = 0
    for number in range(200):
        flow = Flow("udp", (f"2001:db8::{number + 1:x}", 5060), SERVER)
        desk.now += 0.1
        first = desk.receive(request("REGISTER", uri="sip:x", branch=f"z9hG4bKa{number}"), flow)
        challenge = header(first[0], "WWW-Authenticate")[0]
        extra = proof(challenge, "101", f"guess {number}", "REGISTER", "sip:x")
        again = desk.receive(request("REGISTER", uri="sip:x", branch=f"z9hG4bKb{number}", extra=extra), flow)
        answered += bool(again) and status_of(again[0]) == 401
    assert answered <= 15


def test_no_answer_is_good_twice_or_elsewhere() -> None:
    with House(ROOM) as house:
        phone = Stranger(house, ("198.51.100.50", 5060))
        challenge = challenge_of(phone)
        good = proof(challenge, "101", "secret-101", "REGISTER", REGISTRAR)
        to = f"<sip:101@{DOMAIN}>"

        def register(extra: str, uri: str = REGISTRAR, who: Stranger = phone, method: str = "REGISTER") -> str:
            return who.ask(who.request(method, uri, to=to, extra=extra, cseq="2"))[-1]

        thief = Stranger(house, ("203.0.113.66", 5060))
        assert status_of(register(good, who=thief)) == 401, "overheard before it was used"
        assert status_of(register(good)) == 200
        replay = register(good)
        assert status_of(replay) == 401 and "stale=true" in replay
        assert status_of(register(good, who=thief)) == 401
        assert status_of(register(good.replace("nc=00000001", "nc=00000002"))) == 401
        assert status_of(register(good, method="INVITE", uri=f"sip:2001@{DOMAIN}")) in (400, 401)
        assert status_of(register(proof(challenge, "101", "secret-101", "REGISTER", REGISTRAR, nc="00000002"))) == 200
        house.network.run(301.0)
        late = register(proof(challenge, "101", "secret-101", "REGISTER", REGISTRAR, nc="00000003"))
        assert status_of(late) == 401 and "stale=true" in late
        wrong = register(proof(challenge, "101", "wrong", "REGISTER", REGISTRAR, nc="00000004"))
        assert status_of(wrong) == 401 and "stale=true" not in wrong


STRANGE = [
    'Digest a a="",real', "Digest", "Digest ", "Digest ,,,", 'Digest realm="example.test"',
    'Digest realm="elsewhere.invalid"',
    'Digest username="101", realm="example.test", nonce="x", uri="sip:x", response=""',
    'Digest username="101", username="102", realm="example.test"', 'Digest username="101', 'Digest username="\\"',
    'Digest username="101", realm="example.test", nonce="x", uri="", response="x"',
    'Digest username="101", realm="example.test", nonce="x", uri="sip:\x7f", response="x"',
    'Digest username="101", realm="example.test", nonce="x", uri="sip:x", response="x", qop=auth-int, nc=1, cnonce="a"',
    'Digest username="101", realm="example.test", nonce="x", uri="sip:x", response="x", algorithm=MD5-sess, cnonce="a"',
    'Digest username="101", realm="example.test", nonce="x", uri="sip:x", response="x", qop=auth, nc=-1, cnonce="a"',
    'Digest username="101", realm="example.test", nonce="x", uri="sip:x", response="x", qop=auth, nc=٣, cnonce="a"',
    'Digest username="٣", realm="example.test", nonce="é", uri="sip:x", response="é"', "Basic MTAxOjEwMQ==", "Bearer x",
    "Digest " + ", ".join(f"p{n}=x" for n in range(500)), 'Digest username="' + "a" * 7000 + '"', "\\", '"', "=",
    "Digest =",
    'Digest username*=UTF-8\'\'101, realm="example.test", userhash=true, nonce="x", uri="sip:x", response="x"',
]


@pytest.mark.parametrize("method", ["REGISTER", "INVITE"])
def test_strange_credentials_get_400_or_401(method: str) -> None:
    rng = random.Random(5)
    good = proof('realm="example.test", nonce="0"', "101", "secret-101", method, REGISTRAR).split(": ", 1)[1].strip()
    mutated = []
    for _ in range(300):
        at, size = rng.randrange(len(good)), rng.randrange(1, 9)
        noise = rng.choice(['"', ",", "=", "\\", ";", " ", "a" * 300, good[:at]])
        mutated.append(good[:at] + noise + good[at + size :])
    with House(ROOM) as house, running_call(house):
        for number, text in enumerate([*STRANGE, *mutated]):
            stranger = Stranger(house, (f"10.0.{number >> 8}.{number & 255}", 5060))
            uri = REGISTRAR if method == "REGISTER" else f"sip:2001@{DOMAIN}"
            answers = stranger.ask(stranger.request(method, uri, extra=f"Authorization: {text}\r\n"), 0.04)
            assert [status_of(answer) in (400, 401) for answer in answers] == [True], (text, answers)
            del house.network._endpoints[stranger.address]


def test_a_hash_is_made_for_strangers_as_for_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed in a test: the work is counted. `make bench` compares the medians."""
    hashed = []
    response = digest._response
    monkeypatch.setattr(digest, "_response", lambda *given, **more: hashed.append(1) or response(*given, **more))
    with House(ROOM) as house:
        for number, name in enumerate(("101", "nobody")):
            guess(Stranger(house, (f"203.0.113.{number}", 5060)), name, "wrong")
            assert len(hashed) == number + 1


def test_pages_behind_one_nat_are_loaded_anew_while_somebody_guesses_there() -> None:
    """Each page comes by another port, so no address is a user's own; the office is where he is at home."""
    with House(ROOM) as house:
        office = "198.51.100.200"
        at_home = Stranger(house, (office, 20_000))
        assert status_of(guess(at_home, "101", "secret-101")[-1]) == 200
        guesser = Stranger(house, (office, 30_000))
        for number in range(100):
            guess(guesser, str(1000 + number % 50), "1234", seconds=0.04)
        assert status_of(guesser.heard[-1]) == 403
        assert status_of(guess(Stranger(house, (office, 20_001)), "101", "secret-101")[-1]) == 200
        assert status_of(guess(Stranger(house, (office, 20_002)), "102", "secret-102")[-1]) == 403, "never seen there"
        tried = sum(status_of(answer) == 401 for number in range(100)
                    for answer in guess(guesser, "101", f"guess-{number}", seconds=0.04)[-1:])
        assert tried <= 20, "who is at home can be guessed at no faster"
