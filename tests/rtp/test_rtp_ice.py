"""STUN against an independent coder and against mutations, and the lite agent's decisions in counted time."""

import random

import pytest
from aioice import stun as other

from sipconf.rtp.ice import CONSENT_SECONDS, MAX_PAIRS, NEW_PAIRS_AT_ONCE, Credentials, IceAgent
from sipconf.rtp.stun import StunError, read_request

OURS = Credentials("ours", "password-of-ours-0000000")
FRESH = Credentials("anew", "password-of-anew-0000000")
HOME, AWAY, FAR = ("192.0.2.1", 4000), ("2001:db8::7", 5000), ("192.0.2.3", 6000)


def check(
    username: str = "ours:theirs", password: str = OURS.password, nominate: bool = False, priority: int = 1000,
    controlled: bool = False,
) -> bytes:  # fmt: skip
    message = other.Message(other.Method.BINDING, other.Class.REQUEST)
    message.attributes["USERNAME"] = username
    message.attributes["PRIORITY"] = priority
    message.attributes["ICE-CONTROLLED" if controlled else "ICE-CONTROLLING"] = 7
    if nominate:
        message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(password.encode())
    message.add_fingerprint()
    return bytes(message)


@pytest.fixture
def agent() -> IceAgent:
    agent = IceAgent()
    agent.open(4, OURS, 0.0)
    return agent


def chosen(agent: IceAgent) -> list:
    return agent.take_changes()


@pytest.mark.parametrize("address", [HOME, AWAY])
def test_an_answer_is_read_by_another_coder(agent: IceAgent, address: tuple[str, int]) -> None:
    request = check()
    answered = agent.check(request, address, 1.0)
    assert answered is not None and answered[0] == 4
    message = other.parse_message(answered[1])
    assert message.message_class is other.Class.RESPONSE and message.transaction_id == request[8:20]
    assert message.attributes["XOR-MAPPED-ADDRESS"] == address
    assert message.check_message_integrity(OURS.password.encode())


def test_an_agent_that_is_controlled_too_is_told_so(agent: IceAgent) -> None:
    answered = agent.check(check(controlled=True), HOME, 1.0)
    assert answered is not None
    message = other.parse_message(answered[1])
    assert message.attributes["ERROR-CODE"] == (487, "Role Conflict")
    assert message.check_message_integrity(OURS.password.encode())
    assert agent.owner(HOME) is None


def test_nobody_else_is_answered(agent: IceAgent) -> None:
    plain = other.Message(other.Method.BINDING, other.Class.REQUEST)
    answer = agent.check(check(), HOME, 1.0)
    assert answer is not None
    strangers = [check(password="no"), check("nobody:theirs"), check(":"), check("\u00e9:x"), bytes(plain), answer[1],
                 check()[:-8][:-1], b"", b"\0" * 20, check()[:-1] + b"\0"]  # fmt: skip
    assert [agent.check(data, HOME, 1.0) for data in strangers] == [None] * len(strangers)
    assert sum(agent.refused.values()) == len(strangers)


def test_only_the_modules_own_error_escapes() -> None:
    rng = random.Random(3)
    seeds = [check(nominate=True), check("u" * 300 + ":v"), check(controlled=True)]
    for turn in range(20_000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(data))
            match rng.randrange(4):
                case 0:
                    data[at] = rng.randrange(256)
                case 1:
                    del data[at : at + rng.randrange(1, 9)]
                case 2:
                    data[at:at] = rng.randbytes(rng.randrange(1, 9))
                case _:
                    data[2:4] = (len(data) - 20 & 0xFFFF).to_bytes(2)
            data = data or bytearray(1)
        try:
            request = read_request(bytes(data))
        except StunError:
            continue
        if bytes(data) not in seeds:
            assert not request.is_authentic(OURS.password) or data[-8:-4] != b"\x80\x28\0\4", turn


def test_the_peers_nomination_decides_and_only_after_it_is_known(agent: IceAgent) -> None:
    assert agent.check(check("ours:other", nominate=True), AWAY, 1.0) and agent.check(check(nominate=True), HOME, 1.1)
    assert chosen(agent) == []  # several telephones ring
    agent.choose(4, OURS, "theirs", 2.0)
    assert chosen(agent) == [(4, HOME)]
    assert agent.check(check("ours:other", nominate=True), AWAY, 3.0)  # answered, but another's
    assert chosen(agent) == []


def test_a_later_nomination_moves_the_leg_and_those_of_all_pairs_do_not(agent: IceAgent) -> None:
    agent.choose(4, OURS, "theirs", 0.0)
    agent.check(check(priority=9), HOME, 1.0)
    assert chosen(agent) == []  # checked, not nominated
    agent.check(check(nominate=True, priority=9), HOME, 1.0)
    assert chosen(agent) == [(4, HOME)]
    for turn in range(10):  # aggressive: every pair is nominated
        agent.check(check(nominate=True, priority=5), AWAY, 2.0 + turn)
        agent.check(check(nominate=True, priority=9), HOME, 2.0 + turn)
    assert chosen(agent) == []
    for turn in range(2):  # the network has changed
        agent.check(check(nominate=True, priority=5), AWAY, 20.0 + turn)
    assert chosen(agent) == [(4, AWAY)]
    agent.check(check(nominate=True, priority=9), HOME, 30.0)
    assert chosen(agent) == [(4, HOME)]


def test_a_restart_keeps_the_pair_until_one_of_the_new_ones_is_nominated(agent: IceAgent) -> None:
    agent.choose(4, OURS, "theirs", 0.0)
    agent.check(check(nominate=True), HOME, 1.0)
    assert chosen(agent) == [(4, HOME)]
    agent.choose(4, FRESH, "renewed", 2.0)
    assert agent.check(check(), HOME, 3.0) is not None  # consent goes on
    assert agent.check(check("anew:renewed", OURS.password), AWAY, 3.0) is None
    assert agent.check(check("anew:renewed", FRESH.password), AWAY, 3.0) is not None
    assert chosen(agent) == []
    assert agent.check(check("anew:theirs", FRESH.password, nominate=True), AWAY, 3.0) is not None
    assert chosen(agent) == []  # not the peer's new name
    assert agent.check(check("anew:renewed", FRESH.password, nominate=True), AWAY, 4.0) is not None
    assert chosen(agent) == [(4, AWAY)] and agent.take_forgotten() == [HOME]
    assert agent.check(check(), HOME, 5.0) is None
    agent.close(4)
    assert agent.check(check("anew:renewed", FRESH.password), AWAY, 5.0) is None


@pytest.mark.parametrize("early", [True, False])
def test_a_restart_that_is_checked_before_its_answer_stays_with_our_old_name(agent: IceAgent, early: bool) -> None:
    """Chromium checks from its new port before it has our answer, and goes on so: by our old name and its new one."""
    agent.choose(4, OURS, "theirs", 0.0)
    agent.check(check(nominate=True), HOME, 1.0)
    if early:
        assert agent.check(check("ours:renewed", nominate=True), AWAY, 2.0) is not None
    assert chosen(agent) == [(4, HOME)]  # nobody has told that name
    agent.choose(4, FRESH, "renewed", 2.1)
    if not early:
        assert agent.check(check("ours:renewed", nominate=True), AWAY, 2.2) is not None
    assert chosen(agent) == [(4, AWAY)] and agent.take_forgotten() == [HOME]
    assert agent.check(check(nominate=True), HOME, 2.3) is not None and chosen(agent) == []
    for turn in range(40):
        assert agent.check(check("ours:renewed", nominate=True), AWAY, 3.0 + turn) is not None
        assert agent.take_lost(3.0 + turn) == []
    assert agent.check(check("anew:renewed", FRESH.password, nominate=True), FAR, 44.0) is not None
    assert chosen(agent) == [(4, FAR)]
    assert agent.check(check("ours:renewed", nominate=True), AWAY, 45.0) is None


def test_another_restart_after_one_that_stayed_with_our_old_name(agent: IceAgent) -> None:
    """Its checks before the answer name what we have told last."""
    agent.choose(4, OURS, "theirs", 0.0)
    agent.check(check(nominate=True), HOME, 1.0)
    agent.choose(4, FRESH, "renewed", 2.0)
    agent.check(check("ours:renewed", nominate=True), AWAY, 3.0)
    assert agent.check(check("anew:again", FRESH.password, nominate=True), FAR, 4.0) is not None
    assert chosen(agent) == [(4, HOME), (4, AWAY)]
    agent.choose(4, Credentials("last", "password-of-last-0000000"), "again", 4.1)
    assert chosen(agent) == [(4, FAR)]
    for turn in range(40):
        assert agent.check(check("anew:again", FRESH.password, nominate=True), FAR, 5.0 + turn) is not None
        assert agent.take_lost(5.0 + turn) == []
    assert agent.check(check("last:again", "password-of-last-0000000", nominate=True), HOME, 45.0) is not None
    assert chosen(agent) == [(4, HOME)]
    agent.close(4)
    assert not agent._by_ufrag


def test_consent_ends_with_the_checks_and_is_told_once(agent: IceAgent) -> None:
    assert agent.take_lost(100.0) == []  # it rings
    agent.choose(4, OURS, "theirs", 100.0)
    agent.check(check(nominate=True), HOME, 101.0)
    assert agent.take_lost(101.0 + CONSENT_SECONDS) == []
    assert agent.take_lost(101.1 + CONSENT_SECONDS) == [4]
    assert chosen(agent) == [(4, HOME), (4, None)]
    assert agent.take_lost(500.0) == []
    agent.check(check(nominate=True), HOME, 600.0)  # it is back
    assert chosen(agent) == [(4, HOME)]


def test_checks_from_elsewhere_are_no_consent_to_the_chosen_pair(agent: IceAgent) -> None:
    """RFC 7675 section 5.1: else one check with a forged source aims the sound at a third party for the whole call."""
    agent.choose(4, OURS, "theirs", 0.0)
    agent.check(check(nominate=True), HOME, 1.0)
    for turn in range(31):
        assert agent.check(check(), AWAY, 1.0 + turn) is not None
        assert agent.take_lost(1.0 + turn) == []
    assert agent.take_lost(31.1) == [4] and chosen(agent) == [(4, HOME), (4, None)]
    assert agent.check(check(), AWAY, 32.0) is not None
    assert agent.take_lost(61.0) == [] and chosen(agent) == []  # it may nominate yet
    assert agent.check(check(nominate=True), AWAY, 61.5) is not None
    assert chosen(agent) == [(4, AWAY)]


def test_a_pair_that_is_not_nominated_keeps_a_leg_waiting(agent: IceAgent) -> None:
    agent.choose(4, OURS, "theirs", 0.0)
    for turn in range(100):
        assert agent.check(check(), HOME, float(turn)) is not None and agent.take_lost(float(turn)) == []
    assert agent.take_lost(130.0) == [4]


def test_an_answer_is_consent_and_a_later_one_brings_back_no_dead_pair(agent: IceAgent) -> None:
    agent.check(check(nominate=True), HOME, 1.0)
    agent.choose(4, OURS, "theirs", 100.0)  # it rang for long
    assert chosen(agent) == [(4, HOME)] and agent.take_lost(100.0 + CONSENT_SECONDS) == []
    assert agent.take_lost(131.0) == [4] and chosen(agent) == [(4, None)]
    agent.choose(4, OURS, "theirs", 140.0)
    assert chosen(agent) == []


def test_a_restart_told_twice_is_one(agent: IceAgent) -> None:
    """Each re-INVITE brings the same credentials anew."""
    agent.choose(4, OURS, "theirs", 0.0)
    agent.check(check(nominate=True), HOME, 1.0)
    agent.choose(4, FRESH, "renewed", 2.0)
    agent.check(check("anew:renewed", FRESH.password), AWAY, 3.0)
    agent.choose(4, Credentials(FRESH.ufrag, FRESH.password), "renewed", 4.0)
    for turn in range(2 * NEW_PAIRS_AT_ONCE):
        agent.choose(4, Credentials(FRESH.ufrag, FRESH.password), "renewed", 5.0)
        assert agent.check(check("anew:renewed", FRESH.password), AWAY, 5.0) is not None, turn
    pair = agent._legs[4].pairs[AWAY]
    assert agent.check(check("anew:renewed", FRESH.password, nominate=True), AWAY, 6.0) is not None
    assert chosen(agent) == [(4, HOME), (4, AWAY)] and agent._legs[4].pairs[AWAY] is pair
    agent.choose(4, Credentials(FRESH.ufrag, FRESH.password), "renewed", 7.0)
    assert agent.check(check("anew:renewed", FRESH.password), AWAY, 8.0) is not None
    assert agent._legs[4].pairs[AWAY] is pair and pair.nominated == 6.0


def test_new_addresses_of_a_leg_have_a_limit(agent: IceAgent) -> None:
    agent.choose(4, OURS, "theirs", 0.0)
    agent.check(check(nominate=True), HOME, 0.0)
    answered = sum(agent.check(check(), ("192.0.2.9", port), 1.0) is not None for port in range(1, 1001))
    assert answered == NEW_PAIRS_AT_ONCE
    answered += sum(
        agent.check(check(), ("192.0.2.9", port), 1.0 + port / 100) is not None for port in range(2000, 3000)
    )
    assert answered + 1 == MAX_PAIRS
    assert agent.check(check(nominate=True), HOME, 20.0) is not None and agent.take_lost(40.0) == []
    agent.close(4)
    assert len(agent.take_forgotten()) == MAX_PAIRS and agent.owner(HOME) is None


def test_a_running_legs_address_is_not_taken(agent: IceAgent) -> None:
    agent.open(5, FRESH, 0.0)
    agent.choose(4, OURS, "theirs", 0.0)
    agent.choose(5, FRESH, "theirs", 0.0)
    agent.check(check(nominate=True), HOME, 1.0)
    thief = check("anew:theirs", FRESH.password, nominate=True)
    assert agent.check(thief, HOME, 2.0) is None and agent.owner(HOME) == 4
    assert agent.check(thief, HOME, 40.0) is not None and agent.owner(HOME) == 5  # it had long gone
    assert chosen(agent) == [(4, HOME), (4, None), (5, HOME)]


def test_forged_checks_do_not_use_up_the_peers_allowance(agent: IceAgent) -> None:
    agent.choose(4, OURS, "theirs", 0.0)
    agent.check(check(nominate=True), HOME, 0.0)
    for port in range(1, 5000):
        assert agent.check(check(password="wrong"), ("192.0.2.9", port), 1.0) is None
    assert agent.check(check(), HOME, 1.0) is not None


def test_secrets_show_nowhere(agent: IceAgent) -> None:
    assert OURS.password not in repr(OURS) + repr(agent._legs)
