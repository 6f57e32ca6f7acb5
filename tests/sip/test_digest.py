"""Digest: the RFC's own examples, what real telephones send, and what attackers do with it."""

import hashlib
import random
import re

import pytest

from sipconf.errors import MisuseError, PeerError
from sipconf.sip import nonces
from sipconf.sip.digest import Authenticator, Challenge, Denied, Verified, answer_challenge, strongest_challenge
from sipconf.sip.message import Request
from sipconf.sip.parser import parse_message

PASSWORDS = {"101": "s3cret-101", "102": 'with "quotes" and \\'}
REALM = "conf.example.com"


def request(authorization: str | None = None, method: str = "REGISTER") -> Request:
    lines = [
        f"{method} sip:conf.example.com SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx",
        "From: <sip:101@conf.example.com>;tag=a",
        "To: <sip:101@conf.example.com>",
        "Call-ID: c1",
        f"CSeq: 1 {method}",
        *([f"Authorization: {authorization}"] if authorization is not None else []),
        "Content-Length: 0",
    ]
    message = parse_message("\r\n".join([*lines, "", ""]).encode())
    assert isinstance(message, Request)
    return message


def authenticator(*algorithms: str, passwords: dict[str, str] | None = None) -> Authenticator:
    known = PASSWORDS if passwords is None else passwords
    return Authenticator(REALM, lambda user, _source: known.get(user), algorithms or ("MD5",), random.Random(1))


def challenged(auth: Authenticator, now: float = 100.0, source: str = "") -> str:
    outcome = auth.verify(request(), now, source)
    assert isinstance(outcome, Challenge) and not outcome.stale
    return outcome.values[0]


def answer(challenge: str, user: str = "101", password: str = "s3cret-101", **more: object) -> str:
    arguments = {"method": "REGISTER", "uri": "sip:conf.example.com", "cnonce": "0a4f", **more}
    return answer_challenge(challenge, username=user, password=password, **arguments)  # type: ignore[arg-type]


def test_the_example_of_rfc_7616_in_both_algorithms() -> None:
    common = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    for algorithm, expected in (
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ):
        value = answer_challenge(
            common.format(algorithm), method="GET", uri="/dir/index.html", username="Mufasa",
            password="Circle of Life", cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        )  # fmt: skip
        assert f'response="{expected}"' in value
        assert 'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"' in value and "qop=auth," in value


def test_one_md5_challenge_and_several_in_the_configured_order() -> None:
    only = authenticator().verify(request(), 1.0)
    assert isinstance(only, Challenge) and len(only.values) == 1
    assert re.fullmatch(
        r'Digest realm="conf\.example\.com", nonce="[0-9a-f]{60}", algorithm=MD5, qop="auth"', only.values[0]
    )
    both = authenticator("SHA-256", "MD5").verify(request(), 1.0)
    assert isinstance(both, Challenge)
    assert [re.search(r"algorithm=([\w-]+)", value)[1] for value in both.values] == ["SHA-256", "MD5"]
    with pytest.raises(MisuseError):
        authenticator("SHA-1")


@pytest.mark.parametrize("algorithms", [("MD5",), ("SHA-256",), ("SHA-256", "MD5")])
def test_the_right_password_is_accepted_and_the_wrong_one_challenged_again(algorithms: tuple[str, ...]) -> None:
    auth = authenticator(*algorithms)
    for user, password in PASSWORDS.items():
        assert auth.verify(request(answer(challenged(auth), user, password)), 101.0) == Verified(user)
    for wrong in (answer(challenged(auth), password="guess"), answer(challenged(auth), user="999")):
        outcome = auth.verify(request(wrong), 101.0)
        assert isinstance(outcome, Challenge) and not outcome.stale


def test_a_stranger_and_a_wrong_password_get_the_same_answer() -> None:
    auth = authenticator()
    texts = set()
    for user in ("101", "nobody"):
        outcome = auth.verify(request(answer(challenged(auth), user, "wrong")), 101.0)
        assert isinstance(outcome, Challenge)
        texts.add(re.sub(r'nonce="\w+"', "", outcome.values[0]))
    assert len(texts) == 1


def test_the_dummy_password_of_strangers_opens_nothing() -> None:
    auth = authenticator()
    assert isinstance(auth.verify(request(answer(challenged(auth), "nobody", auth._dummy_password)), 101.0), Challenge)


def test_the_source_decides_which_password_is_good() -> None:
    auth = Authenticator(
        REALM, lambda user, source: "example" if source == "127.0.0.1" else None, ("MD5",), random.Random(1)
    )
    for source, good in (("127.0.0.1", True), ("192.0.2.1", False)):
        outcome = auth.verify(request(answer(challenged(auth, source=source), password="example")), 101.0, source)
        assert (outcome == Verified("101")) is good


def test_an_answer_is_good_from_the_network_that_was_challenged_only() -> None:
    auth = authenticator()
    for there, elsewhere, good in (
        ("192.0.2.1", "192.0.2.1", True), ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2", True), ("2001:db8::1", "2001:db8:0:1::1", False),
    ):  # fmt: skip
        outcome = auth.verify(request(answer(challenged(auth, source=there))), 101.0, elsewhere)
        assert (outcome == Verified("101")) is good
        assert good or outcome.stale, "the password is right: only the nonce is not"


@pytest.mark.parametrize(
    ("named", "dialled", "good"),
    [
        ("sip:2001@conf.example.com", "sip:2001@conf.example.com", True),
        ("sip:2001@192.0.2.1:5060;transport=udp", "sip:2001@conf.example.com", True),   # a proxy changed the host
        ("sip:conf.example.com;transport=UDP", "sip:2001@conf.example.com", True),      # pyVoIP
        ("sip:%32001@conf.example.com", "sip:2001@conf.example.com", True),
        ("sip:2002@conf.example.com", "sip:2001@conf.example.com", False),
        ("sip:2001@conf.example.com", "sip:2001*4321@conf.example.com", False),
        ("*", "sip:2001@conf.example.com", False),
        ("tel:+3225551234", "tel:+3225551234", True),
    ],
)
def test_the_uri_of_the_digest_is_the_requests_or_its_equivalent(named: str, dialled: str, good: bool) -> None:
    auth = authenticator()
    text = request(answer(challenged(auth), method="INVITE", uri=named), "INVITE").encode().decode()
    invite = parse_message(text.replace("INVITE sip:conf.example.com", f"INVITE {dialled}").encode())
    outcome = auth.verify(invite, 101.0)
    assert outcome == (Verified("101") if good else Denied("The digest is of another address"))


def test_baresip_names_no_algorithm_and_pyvoip_no_qop() -> None:
    auth = authenticator()
    without_algorithm = answer(challenged(auth)).replace(", algorithm=MD5", "")
    assert "algorithm" not in without_algorithm
    assert auth.verify(request(without_algorithm), 101.0) == Verified("101")
    nonce = re.search(r'nonce="(\w+)"', challenged(auth))[1]

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    uri = "sip:conf.example.com;transport=UDP"  # not the Request-URI
    response = md5(f"{md5(f'101:{REALM}:s3cret-101')}:{nonce}:{md5(f'REGISTER:{uri}')}")
    old_style = (
        f'Digest username="101",realm="{REALM}",nonce="{nonce}",uri="{uri}",response="{response}",algorithm=MD5'
    )
    assert auth.verify(request(old_style), 101.0) == Verified("101")
    again = auth.verify(request(old_style), 102.0)
    assert isinstance(again, Challenge) and again.stale, "an answer without a count is good once"


def test_the_nonce_of_any_outstanding_challenge_is_accepted() -> None:
    auth = authenticator("SHA-256", "MD5")
    sha, md5 = auth.verify(request(), 100.0).values
    crossed = md5.replace(re.search(r'nonce="(\w+)"', md5)[1], re.search(r'nonce="(\w+)"', sha)[1])
    challenged(auth)
    assert auth.verify(request(answer(crossed)), 120.0) == Verified("101")


def test_a_count_is_good_once_and_only_upwards() -> None:
    auth = authenticator()
    challenge = challenged(auth)
    assert auth.verify(request(answer(challenge, nc=1)), 101.0) == Verified("101")
    for count in (1, 0):
        replay = auth.verify(request(answer(challenge, nc=count)), 102.0)
        assert isinstance(replay, Challenge) and replay.stale
    assert auth.verify(request(answer(challenge, nc=7)), 103.0) == Verified("101")
    assert isinstance(auth.verify(request(answer(challenge, nc=3)), 104.0), Challenge)
    assert auth.verify(request(answer(challenge, nc=1, cnonce="other")), 105.0) == Verified("101")


def test_a_captured_answer_fits_no_other_method_count_or_address() -> None:
    auth = authenticator()
    captured = answer(challenged(auth))
    assert isinstance(auth.verify(request(captured, method="INVITE"), 101.0), Challenge)
    for old, new in (("nc=00000001", "nc=00000002"), ('uri="sip:', 'uri="sip:2001@'), ('cnonce="0a4f"', 'cnonce="0"')):
        outcome = auth.verify(request(captured.replace(old, new)), 101.0)
        assert isinstance(outcome, Challenge) and not outcome.stale


def test_an_old_nonce_is_stale_for_who_knows_the_password_only() -> None:
    auth = authenticator()
    challenge = challenged(auth, now=100.0)
    assert auth.verify(request(answer(challenge)), 399.0) == Verified("101")
    late = auth.verify(request(answer(challenge, nc=2)), 400.1)
    assert isinstance(late, Challenge) and late.stale and late.values[0].endswith(", stale=true")
    guess = auth.verify(request(answer(challenge, password="guess")), 400.1)
    assert isinstance(guess, Challenge) and not guess.stale
    restarted = Authenticator(REALM, lambda user, _source: PASSWORDS.get(user), ("MD5",), random.Random(2))
    foreign = restarted.verify(request(answer(challenge, nc=3)), 1.0)
    assert isinstance(foreign, Challenge) and foreign.stale, "a nonce of the server's last life"


def test_memory_is_bounded_and_forgetting_reopens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonces, "MAX_USED_NONCES", 50)
    auth = authenticator()
    first = answer(challenged(auth, now=100.0))
    assert auth.verify(request(first), 100.0) == Verified("101")
    for step in range(1000):
        now = 100.5 + step / 100
        assert auth.verify(request(answer(challenged(auth, now=now))), now) == Verified("101")
        assert len(auth._nonces) <= 50
    assert isinstance(auth.verify(request(first), 112.0), Challenge)
    for _ in range(1000):
        challenged(auth)
    assert len(auth._nonces) <= 50, "a challenge costs no memory"


def test_an_answer_is_good_once_while_its_nonce_lives_and_then_forgotten() -> None:
    auth, rng = authenticator(), random.Random(4)
    answers: list[tuple[float, str]] = []
    used: set[str] = set()
    now = 0.0
    for _ in range(600):
        now += rng.expovariate(1 / 5.0)
        answers.append((now, answer(challenged(auth, now=now))))
        for issued, given in rng.sample(answers[-100:], min(3, len(answers))):
            good = auth.verify(request(given), now) == Verified("101")
            assert good == (given not in used and now - issued <= 300.0)
            used |= {given} if good else set()
        assert len(auth._nonces) < 300, "what two lives of a nonce may hold"
    challenged(auth, now=now + 601.0)
    assert len(auth._nonces) == 0


@pytest.mark.parametrize(
    "credentials",
    [
        'Digest a a="",real',
        'Digest username="101',
        'Digest username="101", username="102"',
        "Digest =",
        "Digest " + "a=b," * 40,
        'Digest username="' + "x" * 5000 + '"',
    ],
)
def test_credentials_that_cannot_be_read_are_refused(credentials: str) -> None:
    outcome = authenticator().verify(request(credentials), 1.0)
    assert isinstance(outcome, Denied) and outcome.status == 400


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Digest ", "Basic "),
        (REALM, "elsewhere"),
        ("algorithm=MD5", "algorithm=MD5-sess"),
        ("algorithm=MD5", "algorithm=SHA-256"),
        ("qop=auth", "qop=auth-int"),
        ("nc=00000001", "nc=zz"),
        ("nc=00000001", "nc=000000001"),
        ('cnonce="0a4f"', 'cnonce=""'),
        ('username="101"', 'username=""'),
        ('nonce="', 'nonce="0'),
        ("response=", "answer="),
        ('response="', 'response="é'),
    ],
)
def test_what_we_did_not_ask_for_is_challenged(old: str, new: str) -> None:
    auth = authenticator()
    good = answer(challenged(auth))
    assert old in good
    outcome = auth.verify(request(good.replace(old, new, 1)), 101.0)
    assert isinstance(outcome, Challenge) and not outcome.stale


def test_the_client_side_takes_the_strongest_and_refuses_what_it_cannot() -> None:
    offers = ['Digest realm="r", nonce="n", algorithm=MD5',
              'Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"',
              'Digest realm="r", nonce="n", algorithm=SHA-512-256', "Bearer x"]  # fmt: skip
    assert "SHA-256" in strongest_challenge(offers)
    with pytest.raises(PeerError):
        strongest_challenge(offers[2:])
    for hopeless in (offers[2], 'Digest realm="r", nonce="n", qop="token"', 'Digest realm="r"', "Basic x"):
        with pytest.raises(PeerError):
            answer(hopeless)
    bare = answer(offers[0])
    assert "qop" not in bare and "cnonce" not in bare and "nc=" not in bare
    whole = answer('Digest realm="r", nonce="n", qop="auth-int"', body=b"v=0")
    expected = hashlib.md5(b"REGISTER:sip:conf.example.com:" + hashlib.md5(b"v=0").hexdigest().encode()).hexdigest()
    secret = hashlib.md5(b"101:r:s3cret-101").hexdigest()
    joined = f"{secret}:n:00000001:0a4f:auth-int:{expected}"
    assert f'response="{hashlib.md5(joined.encode()).hexdigest()}"' in whole
