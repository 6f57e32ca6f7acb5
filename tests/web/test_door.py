"""From where a request really came, and how long who guesses the administrator's password waits."""

import pytest
from aiohttp.test_utils import TestClient, TestServer
from web_house import PASSWORD

from sipconf.clock import Clock
from sipconf.web.app import build_app
from sipconf.web.client_address import ClientAddress
from sipconf.web.door import Door, same_secret

PROXY, CLIENT, LIAR = "10.0.0.1", "198.51.100.7", "203.0.113.66"


@pytest.mark.parametrize(
    ("remote", "forwarded_for", "forwarded", "expected"),
    [
        (CLIENT, [], [], CLIENT),
        (CLIENT, [LIAR], [f"for={LIAR}"], CLIENT),  # no proxy of ours: nobody's word counts
        ("::ffff:10.0.0.1", [CLIENT], [], CLIENT),
        (PROXY, [], [], PROXY),
        (PROXY, [CLIENT], [], CLIENT),
        (PROXY, [f"{LIAR}, {CLIENT}"], [], CLIENT),  # what stands further left the client wrote itself
        (PROXY, [LIAR, CLIENT], [], CLIENT),
        (PROXY, [f"{CLIENT}, 10.0.0.2"], [], CLIENT),  # two proxies of ours
        (PROXY, [f"{CLIENT}:4711"], [], CLIENT),
        (PROXY, ["[2001:db8::1]:4711"], [], "2001:db8::1"),
        (PROXY, ["2001:db8::1"], [], "2001:db8::1"),
        (PROXY, ["10.0.0.9, 10.0.0.2"], [], "10.0.0.9"),  # nothing but proxies: the first of them
        (PROXY, ["unknown"], [], PROXY),
        (PROXY, [f"{CLIENT}, x"], [], PROXY),
        (PROXY, [""], [], PROXY),
        (PROXY, [], [f"for={CLIENT};proto=https"], CLIENT),
        (PROXY, [], [f'proto=https; For="{CLIENT}:80"'], CLIENT),
        (PROXY, [], ['for="[2001:db8::1]:4711"'], "2001:db8::1"),
        (PROXY, [], [f"for={LIAR}, for={CLIENT}"], CLIENT),
        (PROXY, [], ["for=_hidden"], PROXY),
        (PROXY, [], [f"for={CLIENT}, by=x"], PROXY),
        (PROXY, [CLIENT], [f"for={CLIENT}"], CLIENT),
        (PROXY, [CLIENT], [f"for={LIAR}"], PROXY),  # one of the two is made up, nobody knows which
        (PROXY, [",".join([LIAR] * 100_000 + [CLIENT])], [], CLIENT),
    ],
)
def test_the_word_of_the_last_trusted_proxy_counts(
    remote: str, forwarded_for: list[str], forwarded: list[str], expected: str
) -> None:
    assert ClientAddress(["10.0.0.0/24"]).of(remote, forwarded_for, forwarded) == expected


def test_secrets_are_compared_whatever_their_letters() -> None:
    assert same_secret("caf\u00e9", "caf\u00e9") and not same_secret("", "x") and not same_secret("\udce9", "x")


async def test_a_guesser_waits_and_others_do_not(house) -> None:
    house.file.write_text(house.file.read_text().replace("[http]", '[http]\ntrusted_proxies = ["127.0.0.1"]'))
    house.reloader.apply()
    time = [0.0]
    door = Door(Clock(lambda: time[0], lambda: time[0]))
    async with TestClient(TestServer(build_app(house, door))) as client:
        async def ask(password: str, address: str) -> int:
            headers = {"Authorization": f"Bearer {password}", "X-Forwarded-For": f"{CLIENT}, {address}"}
            async with client.get("/api/conferences", headers=headers) as response:
                if response.status == 429:
                    assert int(response.headers["Retry-After"]) >= 1
                return response.status

        assert [await ask("guess", LIAR) for _ in range(8)] == [401] * 6 + [429] * 2
        assert await ask(PASSWORD, LIAR) == 429, "not even with the right one, or guesses could be tried side by side"
        assert await ask(PASSWORD, CLIENT) == 200
        assert await ask("", LIAR) == 429 and await ask("", CLIENT) == 401
        assert [await ask("guess", f"2001:db8::{number}") for number in range(8)] == [401] * 6 + [429] * 2, "one /64"
        time[0] = 2.0
        assert await ask(PASSWORD, LIAR) == 200, "the ban has ended by itself"
        assert (await client.get("/healthz")).status == 200


async def test_the_examples_password_is_not_good_through_a_proxy(house) -> None:
    house.file.write_text(house.file.read_text().replace(PASSWORD, "change-me"))
    house.reloader.apply()
    async with TestClient(TestServer(build_app(house)), headers={"Authorization": "Bearer change-me"}) as client:
        for headers, status in (({}, 200), ({"X-Forwarded-For": CLIENT}, 403), ({"Forwarded": "for=127.0.0.1"}, 403)):
            async with client.get("/api/conferences", headers=headers) as response:
                assert response.status == status
