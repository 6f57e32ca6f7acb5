"""Errors of the HTTP API as RFC 9457 problems. Nothing of an unexpected error is shown to the client."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web

CONTENT_TYPE = "application/problem+json"

_log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Problem(Exception):
    """Raised by a handler: the request is refused.

    errors: for 422, every fault as {"field", "detail"}.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        """The problem document. Its type is about:blank, so its title is the status phrase (section 4.2.1)."""
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = self.errors
        return web.Response(
            status=self.status, text=json.dumps(document), content_type=CONTENT_TYPE, headers=self.headers
        )


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal, the framework's own included, leaves as a problem."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except web.HTTPMethodNotAllowed as refusal:
        allowed = ", ".join(sorted(refusal.allowed_methods))
        detail = f"{request.method} is not possible here; possible: {allowed}."
        return Problem(405, detail, headers={"Allow": allowed}).response()
    except web.HTTPNotFound:
        return Problem(404, f"There is nothing at {request.path}.").response()
    except web.HTTPException as refusal:
        if refusal.status < 400:
            raise
        return Problem(refusal.status, refusal.text or refusal.reason).response()
    except ConnectionError:
        raise  # the client is gone: nobody to answer
    except Exception:
        # Not its path: that names a visit, and who knows it can end the call.
        resource = request.match_info.route.resource
        _log.exception("%s %s failed", request.method, "of no page" if resource is None else resource.canonical)
        return Problem(500, "The server made a mistake; its log says more.").response()
