"""The HTTP API over real HTTP, in front of a real ConferenceService."""

import pytest
from aiohttp.test_utils import make_mocked_request
from web_house import PASSWORD, TEXT

from sipconf.web import api
from sipconf.web.app import build_app
from sipconf.web.door import administrators_only
from sipconf.web.problems import Problem

EVERYTHING = ["/api/conferences", "/api/users", "/api/incoming-numbers", "/api/trunks", "/api/events", "/api/none"]


async def problem(response, status: int) -> dict:
    """The problem document of a refusal, checked for its form (RFC 9457)."""
    assert response.status == status
    assert response.content_type == "application/problem+json"
    document = await response.json(content_type=None)
    assert document["status"] == status and document["title"] and document["detail"]
    return document


@pytest.mark.parametrize("path", EVERYTHING)
@pytest.mark.parametrize(
    "value", [None, "", "Bearer", "Bearer wrong", f"Basic {PASSWORD}", PASSWORD, f"Bearer {PASSWORD}x", "Bearer \xff"]
)
async def test_only_the_administrator(client, path, value):
    client.session.headers.pop("Authorization")
    headers = {} if value is None else {"Authorization": value}
    response = await client.get(path, headers=headers)
    await problem(response, 401)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_the_examples_password_works_from_this_machine_only(house, client):
    house.file.write_text(TEXT.replace(PASSWORD, "change-me"))
    house.apply()
    client.session.headers["Authorization"] = "Bearer change-me"
    assert (await client.get("/api/users")).status == 200
    app = build_app(house)

    class FarAway:
        def get_extra_info(self, name, default=None):
            return ("192.0.2.7", 4711) if name == "peername" else default

    request = make_mocked_request(
        "GET", "/api/users", headers={"Authorization": "Bearer change-me"}, app=app, transport=FarAway()
    )
    with pytest.raises(Problem) as refusal:
        await administrators_only(request, api.list_users)
    assert refusal.value.status == 403


async def test_conferences(house, client):
    house.join("c1")
    stand_up, locked_away = await (await client.get("/api/conferences")).json()
    assert (stand_up["extension"], stand_up["name"], stand_up["participants"]) == ("2001", "Stand-up", 1)
    assert (stand_up["locked"], stand_up["recording"]) == (False, False)
    assert locked_away["extension"] == "2002"
    assert await (await client.get("/api/conferences/2001")).json() == stand_up
    await problem(await client.get("/api/conferences/2009"), 404)


async def test_participants(house, client):
    person = house.join("c1")
    (alice,) = await (await client.get("/api/conferences/2001/participants")).json()
    assert alice["id"] == person
    assert set(alice) >= {
        "id", "name", "number", "administrator", "muted", "speaking", "level_db", "codec", "transport", "joined_at",
        "state",
    }  # fmt: skip
    assert await (await client.get("/api/conferences/2002/participants")).json() == []
    await problem(await client.get("/api/conferences/2009/participants"), 404)


async def test_lock_and_unlock(house, client):
    for locked in (True, False):
        response = await client.patch("/api/conferences/2001", json={"locked": locked})
        assert response.status == 200 and (await response.json())["locked"] is locked
        assert house.conferences()[0]["locked"] is locked
    await problem(await client.patch("/api/conferences/2009", json={"locked": True}), 404)


async def test_recording_comes_later_and_nothing_is_half_done(house, client):
    document = await problem(
        await client.patch("/api/conferences/2001", json={"locked": True, "recording": True}), 501
    )
    assert "later" in document["detail"]
    assert house.conferences()[0]["locked"] is False


async def test_mute(house, client):
    person = house.join("c1")
    path = f"/api/conferences/2001/participants/{person}"
    for muted in (True, False):
        response = await client.patch(path, json={"muted": muted})
        assert response.status == 200 and (await response.json())["muted"] is muted
        assert house.participants("2001")[0]["muted"] is muted
    await problem(await client.patch(f"/api/conferences/2001/participants/{person}x", json={"muted": True}), 404)
    await problem(await client.patch(f"/api/conferences/2002/participants/{person}", json={"muted": True}), 404)


async def test_kick(house, client):
    first, second = house.join("c1"), house.join("c2")
    response = await client.delete(f"/api/conferences/2001/participants/{first}")
    assert response.status == 204 and await response.read() == b""
    assert [person["id"] for person in house.participants("2001")] == [second]
    assert house.hung_up() == ["c1"]
    await problem(await client.delete(f"/api/conferences/2001/participants/{first}"), 404)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ('{"locked": "yes"}', ["locked"]),
        ('{"locked": 1, "color": 2}', ["locked", "color"]),
        ("{}", ["locked"]),
        ("[]", [""]),
        ("{", [""]),
        ("", [""]),
        ("\udcff", [""]),
        ("[" * 20000, [""]),
    ],
)
async def test_every_fault_of_a_body_with_its_field(client, body, fields):
    data = body.encode("utf-8", "surrogateescape")
    document = await problem(await client.patch("/api/conferences/2001", data=data), 422)
    assert [error["field"] for error in document["errors"]] == fields
    assert all(error["detail"] for error in document["errors"])


async def test_a_body_without_end_is_refused(client):
    wish = b'{"locked": true}'
    await problem(await client.patch("/api/conferences/2001", data=wish.ljust(api.MAX_BODY_BYTES + 1)), 413)
    conference = await (await client.get("/api/conferences/2001")).json()
    assert conference["locked"] is False, "nothing of it is done"
    response = await client.patch("/api/conferences/2001", data=wish.ljust(api.MAX_BODY_BYTES))
    assert response.status == 200, "the longest that is read"


async def test_a_wrong_method_names_the_right_ones(client):
    response = await client.post("/api/conferences/2001", json={})
    await problem(response, 405)
    assert {"GET", "PATCH"} <= set(response.headers["Allow"].split(", "))


async def test_the_configuration_is_shown_without_secrets(client):
    users = await client.get("/api/users")
    assert await users.json() == [{"extension": "101", "name": "Alice"}]
    numbers = await client.get("/api/incoming-numbers")
    assert await numbers.json() == [{"number": "+3225551234", "destination": "conference", "conference": "2001"}]
    (trunk,) = await (await client.get("/api/trunks")).json()
    assert (trunk["name"], trunk["host"], trunk["register"]) == ("provider", "sip.provider.example", False)
    everything = "".join([await (await client.get(path)).text() for path in EVERYTHING if "events" not in path])
    assert not [secret for secret in ("-secret", "4321", PASSWORD) if secret in everything]


async def test_apply_puts_an_edit_into_use(house, client):
    house.join("c1")
    assert await (await client.post("/api/apply")).json() == {"changes": [], "needs_restart": []}
    edited = TEXT.replace("Locked away", "Renamed") + "[rtp]\nports = '20000-20100'\n"
    house.file.write_text(edited)
    answer = await (await client.post("/api/apply")).json()
    assert [(change["kind"], change["key"], change["change"]) for change in answer["changes"]] == [
        ("rtp", "ports", "changed"), ("conference", "2002", "changed")
    ]  # fmt: skip
    assert answer["needs_restart"] == ["rtp ports"]
    assert await (await client.post("/api/apply")).json() == {"changes": [], "needs_restart": ["rtp ports"]}
    first, second = await (await client.get("/api/conferences")).json()
    assert second["name"] == "Renamed" and first["participants"] == 1


async def test_apply_of_a_broken_file_names_every_fault(house, client):
    house.file.write_text(TEXT + "[sip]\ndomian = 'x'\nlisten = 3\n")
    document = await problem(await client.post("/api/apply"), 422)
    line = TEXT.count("\n") + 2
    assert [error["field"] for error in document["errors"]] == [f"{house.file}:{line}", f"{house.file}:{line + 1}"]
    assert '"domain"' in document["errors"][0]["detail"]
    assert len(await (await client.get("/api/conferences")).json()) == 2


async def test_our_own_mistake_is_a_500_that_tells_nothing(house, client, caplog):
    house.conferences = lambda: 1 / 0
    document = await problem(await client.get("/api/conferences"), 500)
    assert "division" not in str(document)
    assert "ZeroDivisionError" in caplog.text
