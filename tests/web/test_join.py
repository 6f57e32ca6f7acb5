"""The join page over HTTP: every status, every limit, and what a visitor is told."""

import asyncio
from urllib.parse import quote

import pytest
from aiohttp.test_utils import TestClient, TestServer
from join_house import PLAIN_SDP, SDP, TYPE, JoinHouse, read_events

from sipconf.conference.directory import ConferenceSpec
from sipconf.conference.lockouts import LockoutSettings
from sipconf.conference.service import ConferenceSettings
from sipconf.config import Config
from sipconf.growing_waits import WaitLimits
from sipconf.listeners import visitor_limits
from sipconf.sip.sources import Rate
from sipconf.web.join import NAMELESS, clean_name
from sipconf.web.visitors import VisitorLimits, seen
from tests.sim.secure_phones import SHARED_PORT, SecureHouse

CODED = ConferenceSpec("Stand-up", "2001", "4321", administrator_code="9876")
OPEN = ConferenceSpec("Open", "2002")
WELCOMING = ConferenceSpec("Welcoming", "2003", guests=True)


@pytest.fixture
def join(tmp_path):
    return JoinHouse(SecureHouse(CODED, OPEN, WELCOMING), tmp_path)


@pytest.fixture
async def page(join):
    async with TestClient(TestServer(join.app)) as client:
        yield client


async def refused(response) -> tuple[int, str]:
    assert response.content_type == "application/problem+json"
    problem = await response.json()
    assert problem["status"] == response.status
    return response.status, problem["detail"]


# --- the call --------------------------------------------------------------------------------------------------------
async def test_an_offer_becomes_a_call_and_its_answer_comes_back(join, page) -> None:
    response = await page.post("/join/2001", data=SDP, headers=TYPE | {"Display-Name": quote("Zoë  Ümit")})
    assert response.status == 201 and response.content_type == "application/sdp"
    answer = await response.text()
    (line,) = join.sim.switchboard.lines
    assert f"m=audio {SHARED_PORT} UDP/TLS/RTP/SAVPF " in answer and "a=ice-lite" in answer
    assert response.headers["Cache-Control"] == "no-store"
    call = response.headers["Location"]
    assert call.startswith("/join/2001/") and len(call.removeprefix("/join/2001/")) >= 32
    assert line.call not in call, "what is logged does not open the call"
    assert join.sim.states() == {}, "the page has not shown that it has the answer"

    async with page.get(f"{call}/events") as events:
        assert events.status == 200 and events.content_type == "text/event-stream"
        assert await read_events(events, 1) == [("state", {
            "state": "prompting", "id": join.sim.participant("web")["id"], "administrator": False, "muted": False,
            "guard": None, "conference": ""})]
        assert join.sim.participant("web")["name"] == "Zoë Ümit"
        join.key("11#")
        assert await read_events(events, 1) == [("code-refused", {})]
        join.run(3.0)
        join.key("4321#")
        (state, told), (name, roster) = await read_events(events, 2)
        assert (state, told["state"], told["conference"]) == ("state", "talking", "Stand-up")
        assert (name, [each["name"] for each in roster["participants"]]) == ("participants", ["Zoë Ümit"])

        assert (await page.delete(call)).status == 200
        await events.content.read()  # it ends
    assert not join.sim.switchboard.lines and not len(join.visitors) and not join.alarms
    assert await refused(await page.get(f"{call}/events")) == (404, "This call is over.")
    assert await refused(await page.delete(call)) == (404, "This call is over.")


async def test_who_is_kicked_is_told_so_and_a_page_that_comes_back_is_told_all(join, page) -> None:
    call = (await page.post("/join/2003", data=SDP, headers=TYPE)).headers["Location"]
    async with page.get(f"{call}/events") as events:
        await read_events(events, 2)
    await asyncio.sleep(0)  # the server notices
    phone = join.sim.phone("101")
    join.sim.dial(phone, "2003")
    join.run(0.2)
    async with page.get(f"{call}/events") as events:
        (_, state), (_, roster) = await read_events(events, 2)
        assert state["state"] == "talking"
        people = {each["name"]: each for each in roster["participants"]}
        assert people.keys() == {NAMELESS, "User 101"} and people[NAMELESS]["id"] == state["id"]
        assert people["User 101"].keys() == {
            "id", "name", "number_ending", "speaking", "muted", "administrator", "guest", "held"}
        join.sim.conferences.mute("2003", people["User 101"]["id"], True, join.sim.now)
        join.go_on()
        assert await read_events(events, 1) == [("participant", people["User 101"] | {"muted": True})]
        phone.bye(join.sim.now)
        join.run(0.2)
        assert await read_events(events, 1) == [("left", {"id": people["User 101"]["id"]})]
        join.sim.conferences.kick("2003", state["id"], join.sim.now)
        join.run(2.0)
        told = await read_events(events, 2)
        assert told == [("state", {"state": "leaving"}), ("over", {"reason": "removed by the administrator"})]
        assert (await events.content.read()).strip() == b""
    assert await refused(await page.delete(call)) == (404, "This call is over.")


async def test_who_is_on_the_way_out_is_told_of_nobody(join, page) -> None:
    call = (await page.post("/join/2003", data=SDP, headers=TYPE)).headers["Location"]
    async with page.get(f"{call}/events") as events:
        (_, state), _ = await read_events(events, 2)
        join.sim.conferences.kick("2003", state["id"], join.sim.now)
        join.go_on()
        assert await read_events(events, 1) == [("state", {"state": "leaving"})]
        phone = join.sim.phone("101")
        join.sim.dial(phone, "2003")
        join.run(0.2)
        assert join.sim.states("2003") == {"101": "talking"} and len(join.visitors) == 1, "the farewell is being said"
        async with page.get(f"{call}/events") as more:
            assert await read_events(more, 1) == [("state", {"state": "leaving"})]
            join.run(2.0)
            over = [("over", {"reason": "removed by the administrator"})]
            assert await read_events(more, 1) == await read_events(events, 1) == over


async def test_who_is_inside_does_not_learn_of_those_outside(tmp_path) -> None:
    join = JoinHouse(SecureHouse(CODED), tmp_path)
    async with TestClient(TestServer(join.app)) as page:
        call = (await page.post("/join/2001", data=SDP, headers=TYPE)).headers["Location"]
        async with page.get(f"{call}/events") as events:
            await read_events(events, 1)
            join.key("4321#")
            await read_events(events, 3)
            other = (await page.post("/join/2001", data=SDP, headers=TYPE)).headers["Location"]
            async with page.get(f"{other}/events") as outside:
                await read_events(outside, 1)
                join.key("11#")
                assert await read_events(outside, 1) == [("code-refused", {})]
            assert (await page.delete(other)).status == 200
            visit = join.visitors.find("2001", call.rpartition("/")[2])
            visit.feed.publish("end of what is told", {})
            assert await read_events(events, 1) == [("end of what is told", {})]


async def test_who_waits_is_told_of_nobody(tmp_path) -> None:
    spec = ConferenceSpec("Board", "2001", "4321", None, "9876", wait_for_administrator=True)
    join = JoinHouse(SecureHouse(spec), tmp_path)
    async with TestClient(TestServer(join.app)) as page:
        call = (await page.post("/join/2001", data=SDP, headers=TYPE)).headers["Location"]
        async with page.get(f"{call}/events") as events:
            await read_events(events, 1)
            join.key("4321#")
            ((name, told),) = await read_events(events, 1)
            assert (name, told["state"], told["conference"]) == ("state", "waiting", "Board")
            phone = join.sim.phone("101")
            join.sim.dial(phone, "2001")
            join.run(0.5)
            phone.press("9876#")
            join.run(2.0)
            (_, told), (_, roster) = await read_events(events, 2)
            assert told["state"] == "talking"
            assert {each["name"] for each in roster["participants"]} == {NAMELESS, "User 101"}


@pytest.mark.parametrize(("name", "number", "shown"), [
    ("Alice Martin", "101", ("Alice Martin", "")), ("", "101", ("101", "")), ("", "+3225551234", ("", "34")),
    ("+32 2 555 12 34", "+3225551234", ("", "34")), ("Bob", "+3225551234", ("Bob", "")), ("", "", ("", "")),
    ("", "anonymous", ("anonymous", "")),
])
def test_telephone_numbers_are_nobodys_business(name: str, number: str, shown: tuple[str, str]) -> None:
    flags = dict.fromkeys(("speaking", "muted", "administrator", "guest", "held"), False)
    told = seen({"id": "p-1", "name": name, "number": number, "level_db": -20.0, "transport": "udp", **flags})
    assert (told["name"], told["number_ending"]) == shown
    assert told.keys() == {"id", "name", "number_ending", *flags}


# --- refusals --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("extension", "status", "detail"), [
    ("2009", 404, "There is no conference with this number."),
    ("101", 404, "There is no conference with this number."),
    ("2001*4321", 404, "There is no conference with this number."),
    ("2" * 33, 404, "There is no conference with this number."),
    ("2002", 403, "This conference takes no guests from the web page; call it by telephone."),
])
async def test_where_nobody_may_come_by_link(join, page, extension, status, detail) -> None:
    assert await refused(await page.post(f"/join/{extension}", data=SDP, headers=TYPE)) == (status, detail)
    assert not join.sim.switchboard.lines and not len(join.visitors)


@pytest.mark.parametrize(("body", "kind", "status"), [
    (SDP, "text/plain", 415), (SDP, "application/json", 415), ("", "application/sdp", 400),
    ("hello", "application/sdp", 400), ("v=0\r\nhello", "application/sdp", 400),
    (SDP.replace(" 0 8 126", " 18"), "application/sdp", 422),
    (PLAIN_SDP, "application/sdp", 422), (SDP.replace("audio", "video"), "application/sdp", 422),
    (SDP + "a=x\r\n" * 13_200, "application/sdp", 413),
])
async def test_what_is_no_offer(join, page, body, kind, status) -> None:
    response = await page.post("/join/2001", data=body, headers={"Content-Type": kind})
    assert (await refused(response))[0] == status
    assert not join.sim.switchboard.lines and not len(join.visitors)


async def test_a_locked_room_and_a_server_that_stops(join, page) -> None:
    join.sim.conferences.lock("2001", True, join.sim.now)
    response = await page.post("/join/2001", data=SDP, headers=TYPE)
    assert await refused(response) == (403, "This conference is locked.")
    join.sim.switchboard.hang_up_all("the server is stopping", join.sim.now)
    response = await page.post("/join/2003", data=SDP, headers=TYPE)
    assert (await refused(response))[0] == 503 and response.headers["Retry-After"] == "30"


@pytest.mark.parametrize(("headers", "status"), [
    ({}, 201), ({"Sec-Fetch-Site": "same-origin"}, 201), ({"Sec-Fetch-Site": "none"}, 201),
    ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"Origin": "http://conf.example.com:8080"}, 201), ({"Origin": "https://CONF.example.com:8080"}, 201),
    ({"Origin": "http://conf.example.com"}, 403), ({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403),
    ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403), ({"Origin": ""}, 403),
])
async def test_calls_are_made_from_our_own_page(join, page, headers, status) -> None:
    ours = TYPE | {"Host": "conf.example.com:8080"}
    response = await page.post("/join/2001", data=SDP, headers=ours | headers)
    assert response.status == status
    assert "Access-Control-Allow-Origin" not in response.headers
    if status == 403:
        call = (await page.post("/join/2001", data=SDP, headers=ours)).headers["Location"]
        for method, path in (("GET", f"{call}/events"), ("DELETE", call)):
            assert (await page.request(method, path, headers=ours | headers)).status == 403
        assert len(join.visitors) == 1


async def test_a_token_opens_its_own_call_only(page) -> None:
    call = (await page.post("/join/2001", data=SDP, headers=TYPE)).headers["Location"]
    for wrong in (call[:-1], call + "x", call.replace("2001", "2003"), "/join/2001/web-123"):
        assert (await page.delete(wrong)).status == 404
    assert (await page.patch(call, json={})).status == 405
    assert (await page.delete(call)).status == 200


# --- limits ----------------------------------------------------------------------------------------------------------
async def open_calls(page, count: int, **headers: str) -> list[int]:
    return [(await page.post("/join/2001", data=SDP, headers=TYPE | headers)).status for _ in range(count)]


async def test_calls_of_one_source(tmp_path) -> None:
    join = JoinHouse(SecureHouse(CODED), tmp_path, VisitorLimits(calls=2), config='trusted_proxies = ["127.0.0.1"]')
    async with TestClient(TestServer(join.app)) as page:
        def at(host: str) -> dict[str, str]:
            return {"X-Forwarded-For": host}

        assert await open_calls(page, 3, **at("2001:db8::1")) == [201, 201, 429]
        assert await open_calls(page, 1, **at("2001:db8::2")) == [429], "one network of 64 bits is one source"
        assert await open_calls(page, 1, **at("2001:db8:1::1")) == [201]
        first = next(iter(join.visitors._by_token.values()))
        join.visitors.leave(first)
        assert await open_calls(page, 2, **at("2001:db8::2")) == [201, 429]


async def test_calls_of_all_sources_leave_lines_to_the_users(tmp_path) -> None:
    limits = visitor_limits(Config.model_validate({"limits": {"max_calls": 4}}))
    join = JoinHouse(SecureHouse(CODED), tmp_path, limits, config='trusted_proxies = ["127.0.0.1"]')
    async with TestClient(TestServer(join.app)) as page:
        tried = [(await open_calls(page, 1, **{"X-Forwarded-For": f"2001:db8:{each}::1"}))[0] for each in range(4)]
        assert tried == [201, 201, 201, 503]
        detail = "No more calls are taken from the web page now; call by telephone, or try again later."
        assert await refused(await page.post("/join/2001", data=SDP, headers=TYPE)) == (503, detail)
        join.visitors.leave(next(iter(join.visitors._by_token.values())))
        assert await open_calls(page, 1) == [201]


async def test_offers_come_at_a_pace(tmp_path) -> None:
    join = JoinHouse(SecureHouse(CODED), tmp_path, VisitorLimits(offers=Rate(1.0, 3)))
    async with TestClient(TestServer(join.app)) as page:
        assert (await open_calls(page, 5))[:2] == [201, 201] and (await open_calls(page, 1)) == [429]
        join.run(5.0)
        response = await page.post("/join/2001", data=SDP, headers=TYPE)
        assert response.status == 201


async def test_who_tries_numbers_waits_ever_longer(tmp_path) -> None:
    join = JoinHouse(SecureHouse(CODED), tmp_path, VisitorLimits(guesses=WaitLimits(free=2, first_wait=8.0)))
    async with TestClient(TestServer(join.app)) as page:
        tried = [(await page.post(f"/join/{number}", data=SDP, headers=TYPE)).status for number in range(5)]
        assert tried == [404, 404, 404, 429, 429]
        response = await page.post("/join/2001", data=SDP, headers=TYPE)
        assert response.status == 429 and 1 <= int(response.headers["Retry-After"]) <= 9
        join.run(9.0)
        assert await open_calls(page, 1) == [201]


async def test_offers_that_wait_for_an_answer(tmp_path) -> None:
    limits = VisitorLimits(waiting=2, all_waiting=3, answer_within=0.2)
    join = JoinHouse(SecureHouse(CODED), tmp_path, limits, config='trusted_proxies = ["127.0.0.1"]')
    join.stalled = True
    async with TestClient(TestServer(join.app)) as page:
        async def ask(host: str):
            return await page.post("/join/2001", data=SDP, headers=TYPE | {"X-Forwarded-For": host})

        asked = [asyncio.create_task(ask(host)) for host in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2")]
        found = [await refused(await task) for task in asked]
        late = "The server is too busy to answer; please try again in a moment."
        assert sorted(status for status, _ in found) == [429, 503, 503, 503]
        assert sum(detail == late for _, detail in found) == 3
        assert not len(join.visitors)
        join.run(0.1)
        assert not join.sim.switchboard.lines and not join.sim.wire.in_use
        join.stalled = False
        assert (await ask("192.0.2.1")).status == 201


async def test_all_offers_that_wait_have_a_limit(tmp_path) -> None:
    join = JoinHouse(SecureHouse(CODED), tmp_path, VisitorLimits(all_waiting=0))
    async with TestClient(TestServer(join.app)) as page:
        assert await open_calls(page, 1) == [503]


async def test_a_page_that_never_takes_its_answer_is_given_up(join, page) -> None:
    await page.post("/join/2001", data=SDP, headers=TYPE)
    (alarm,) = join.alarms
    assert alarm.seconds == join.limits.connect_within
    alarm.ring()
    assert not join.sim.switchboard.lines and not len(join.visitors)


async def test_a_page_that_is_gone_is_given_up_and_one_that_comes_back_is_not(join, page, caplog) -> None:
    call = (await page.post("/join/2001", data=SDP, headers=TYPE)).headers["Location"]
    for _ in range(2):
        async with page.get(f"{call}/events") as events:
            await read_events(events, 1)
            assert not join.alarms
        visit = next(iter(join.visitors._by_token.values()))
        while visit.streams:
            await asyncio.sleep(0.01)
            join.visitors.publish("speaking", {"conference": "2001"})
            visit.feed.publish("nothing", {})  # writing to it shows that it is gone
        (alarm,) = join.alarms
        assert alarm.seconds == join.limits.absence
    alarm.ring()
    assert not join.sim.switchboard.lines and not len(join.visitors)
    assert not [record for record in caplog.records if record.levelname == "ERROR"], "that it is gone is no fault"


async def test_streams_of_one_call(join, page) -> None:
    call = (await page.post("/join/2001", data=SDP, headers=TYPE)).headers["Location"]
    async with page.get(f"{call}/events") as one, page.get(f"{call}/events") as two:
        await read_events(one, 1)
        await read_events(two, 1)
        assert (await refused(await page.get(f"{call}/events")))[0] == 503


async def test_guessed_codes_are_paid_for_by_address(tmp_path) -> None:
    settings = ConferenceSettings(lockouts=LockoutSettings(failures_to_lock=1))
    join = JoinHouse(SecureHouse(CODED, settings=settings), tmp_path)
    async with TestClient(TestServer(join.app)) as page:
        call = (await page.post("/join/2001", data=SDP, headers=TYPE)).headers["Location"]
        async with page.get(f"{call}/events") as events:
            await read_events(events, 1)
            join.key("1#")
            join.run(2.0)
            assert await read_events(events, 3) == [
                ("code-refused", {}), ("state", {"state": "leaving"}), ("over", {"reason": "too many wrong codes"})]
        response = await page.post("/join/2001", data=SDP, headers=TYPE)
        assert await refused(response) == (403, "Too many wrong access codes; try again in 5 minutes.")
        assert int(response.headers["Retry-After"]) > 100


# --- the page --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["/", "/join/2001", "/join/2009", "/static/join/index.html"])
async def test_the_page_is_served_with_its_protection(page, path) -> None:
    response = await page.get(path)
    assert response.status == 200 and response.content_type == "text/html" and response.charset == "utf-8"
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; ") and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy and "http:" not in policy and "*" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-cache"
    again = await page.get(path, headers={"If-None-Match": response.headers["ETag"]})
    assert again.status == 304 and await again.read() == b""
    assert again.headers["Content-Security-Policy"] == policy


@pytest.mark.parametrize("path", ["/static/join/", "/static/join/nothing.js", "/static/join/..%2f..%2fjoin.py",
                                  "/static/join/%2e%2e/%2e%2e/join.py", "/join/", "/join/2001/x"])
async def test_nothing_else_is_served(page, path) -> None:
    assert (await page.get(path)).status in (404, 405)


@pytest.mark.parametrize(("given", "shown"), [
    ("", NAMELESS), ("  ", NAMELESS), ("Vera", "Vera"), ("  Vera \n Maes\t", "Vera Maes"), ("a\x00b", "a b"),
    ("evil\u202egnp.exe", "evil gnp.exe"), ("\u200b\u2066", NAMELESS), ("e\u0301", "é"), ("x" * 100, "x" * 64),
    ("<b>Vera</b>", "<b>Vera</b>"),
])
def test_names_are_one_line_of_visible_characters(given: str, shown: str) -> None:
    assert clean_name(given) == shown


async def test_a_fault_of_ours_logs_no_visits_token(join, page, monkeypatch, caplog) -> None:
    call = (await page.post("/join/2001", data=SDP, headers=TYPE)).headers["Location"]
    monkeypatch.setattr(join.visitors, "leave", lambda visit: 1 / 0)
    assert (await page.delete(call)).status == 500
    monkeypatch.undo()
    assert "/join/{extension}/{" in caplog.text and call.rpartition("/")[2] not in caplog.text
