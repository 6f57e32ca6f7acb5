"""The HTTP API under /api: JSON in and out, for scripts, the shell verbs and the console.

Conferences and the configuration are behind `Operations`, which `app` implements. Here: what a request must look like,
and how answers and refusals look. Who may ask: door.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from aiohttp import web

from sipconf.config import Config, ConfigError
from sipconf.errors import SipconfError
from sipconf.reload import Change
from sipconf.web.events import EventFeed, stream
from sipconf.web.problems import Problem

MAX_BODY_BYTES = 64 * 1024


class Operations(Protocol):
    """What the web side may ask of the server. Every method returns at once.

    conferences() and participants() give JSON material as docs/api.md shows it. lock, mute and kick are called
    only for a conference and a participant that these lists contain. apply() reads the file again and raises
    ConfigError, or another SipconfError where the new configuration cannot be put to use; awaiting_restart() names
    what of all edits since the start only the next one puts to use, as "rtp ports".
    """

    @property
    def events(self) -> EventFeed: ...
    def healthy(self) -> bool: ...
    def metrics_page(self) -> bytes: ...
    def count_http(self, status: int) -> None: ...
    def config(self) -> Config: ...
    def admin_password(self) -> str: ...
    def conferences(self) -> list[dict[str, Any]]: ...
    def participants(self, extension: str) -> list[dict[str, Any]]: ...
    def lock(self, extension: str, locked: bool) -> None: ...
    def mute(self, extension: str, participant: str, muted: bool) -> None: ...
    def kick(self, extension: str, participant: str) -> None: ...
    def apply(self) -> Sequence[Change]: ...
    def awaiting_restart(self) -> Sequence[str]: ...


OPERATIONS: web.AppKey[Operations] = web.AppKey("operations", Operations)  # type: ignore[type-abstract]


def add_routes(app: web.Application) -> None:
    """Put the API into an application that has its OPERATIONS."""
    one = "/api/conferences/{extension}"
    app.router.add_get("/api/conferences", list_conferences)
    app.router.add_get(one, show_conference)
    app.router.add_patch(one, switch_conference)
    app.router.add_get(f"{one}/participants", list_participants)
    app.router.add_patch(f"{one}/participants/{{id}}", switch_participant)
    app.router.add_delete(f"{one}/participants/{{id}}", kick_participant)
    app.router.add_get("/api/users", list_users)
    app.router.add_get("/api/incoming-numbers", list_incoming_numbers)
    app.router.add_get("/api/trunks", list_trunks)
    app.router.add_post("/api/apply", apply)
    app.router.add_get("/api/events", follow_events)


async def list_conferences(request: web.Request) -> web.Response:
    return web.json_response(request.app[OPERATIONS].conferences())


async def show_conference(request: web.Request) -> web.Response:
    return web.json_response(_conference(request))


async def switch_conference(request: web.Request) -> web.Response:
    """{"locked": bool}. Recording comes in a later version; nothing is changed where it is asked for."""
    extension = _conference(request)["extension"]
    switches = await _switches(request, ("locked", "recording"))
    if "recording" in switches:
        raise Problem(501, "Recording comes in a later version of this server; nothing was changed.")
    request.app[OPERATIONS].lock(extension, switches["locked"])
    return web.json_response(_conference(request))


async def list_participants(request: web.Request) -> web.Response:
    extension = _conference(request)["extension"]
    return web.json_response(request.app[OPERATIONS].participants(extension))


async def switch_participant(request: web.Request) -> web.Response:
    """{"muted": bool}"""
    extension, participant = _participant(request)
    switches = await _switches(request, ("muted",))
    extension, participant = _participant(request)  # may have left while the body arrived
    request.app[OPERATIONS].mute(extension, participant["id"], switches["muted"])
    return web.json_response(_participant(request)[1])


async def kick_participant(request: web.Request) -> web.Response:
    extension, participant = _participant(request)
    request.app[OPERATIONS].kick(extension, participant["id"])
    return web.Response(status=204)


async def list_users(request: web.Request) -> web.Response:
    users = request.app[OPERATIONS].config().users
    return web.json_response([{"extension": user.extension, "name": user.name} for user in users])


async def list_incoming_numbers(request: web.Request) -> web.Response:
    return web.json_response([item.model_dump() for item in request.app[OPERATIONS].config().incoming_numbers])


async def list_trunks(request: web.Request) -> web.Response:
    trunks = request.app[OPERATIONS].config().trunks
    shown = [trunk.model_dump(mode="json", by_alias=True, exclude={"password"}) for trunk in trunks]
    return web.json_response(shown)


async def apply(request: web.Request) -> web.Response:
    """Read the file again. 422 with every fault where it is broken; then nothing has changed."""
    try:
        changes = request.app[OPERATIONS].apply()
    except ConfigError as error:
        errors = [
            {"field": f"{fault.file}:{fault.line}" if fault.line else fault.file, "detail": fault.message}
            for fault in error.faults
        ]
        detail = "The configuration file is not in order; nothing was changed."
        raise Problem(422, detail, errors=errors) from error
    except SipconfError as error:
        raise Problem(409, f"The configuration could not be put to use: {error}") from error
    restart = list(request.app[OPERATIONS].awaiting_restart())
    return web.json_response({"changes": [change.as_dict() for change in changes], "needs_restart": restart})


async def follow_events(request: web.Request) -> web.StreamResponse:
    return await stream(request, request.app[OPERATIONS].events)


def _conference(request: web.Request) -> dict[str, Any]:
    extension = request.match_info["extension"]
    for conference in request.app[OPERATIONS].conferences():
        if conference["extension"] == extension:
            return conference
    raise Problem(404, f"There is no conference {extension}.")


def _participant(request: web.Request) -> tuple[str, dict[str, Any]]:
    extension = _conference(request)["extension"]
    wanted = request.match_info["id"]
    for participant in request.app[OPERATIONS].participants(extension):
        if participant["id"] == wanted:
            return extension, participant
    raise Problem(404, f"There is no participant {wanted} in conference {extension}.")


async def _switches(request: web.Request, known: Sequence[str]) -> Mapping[str, bool]:
    """The body: an object with at least one of the known keys, each true or false; else 422 with every fault."""
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise Problem(422, "The body is not JSON.", errors=[{"field": "", "detail": "not valid JSON"}]) from None
    if not isinstance(body, dict):
        raise Problem(
            422, "The body is not a JSON object.", errors=[{"field": "", "detail": "an object is expected"}]
        )
    names = ", ".join(known)
    errors = []
    for key, value in body.items():
        if key not in known:
            errors.append({"field": key, "detail": f"unknown; known here: {names}"})
        elif not isinstance(value, bool):
            errors.append({"field": key, "detail": "must be true or false"})
    if not body:
        errors.append({"field": known[0], "detail": f"missing; give at least one of: {names}"})
    if errors:
        raise Problem(422, "The request is not in order; nothing was changed.", errors=errors)
    return body
