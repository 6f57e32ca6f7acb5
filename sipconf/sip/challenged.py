"""401 and 407 to our own requests: whether to try again, and with what (RFC 3261 section 22.2).

The arithmetic of the answer is digest's.
"""

import random
from dataclasses import dataclass, field

from sipconf.errors import PeerError
from sipconf.sip.digest import answer_challenge, strongest_challenge
from sipconf.sip.message import Request, Response

HEADERS = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are towards a peer that challenges us."""

    username: str
    password: str = field(repr=False)


class ChallengeAnswers:
    """Answers each challenge of one request once, and a stale nonce once more."""

    def __init__(self, credentials: Credentials | None, rng: random.Random) -> None:
        self._credentials = credentials
        self._rng = rng
        self._tried: set[tuple[int, bool]] = set()

    def answer(self, request: Request, response: Response) -> tuple[str, str] | None:
        """Header name and value for the next try, or None where another try is hopeless."""
        names = HEADERS.get(response.status)
        if names is None or self._credentials is None:
            return None
        try:
            challenge = strongest_challenge(response.headers.get_all(names[0]))
            stale = "stale=true" in challenge.lower().replace(" ", "").replace('"', "")
            again = (response.status, False) in self._tried
            if again and (not stale or (response.status, True) in self._tried):
                return None
            self._tried.add((response.status, again))
            value = answer_challenge(
                challenge,
                method=request.method,
                uri=str(request.uri),
                username=self._credentials.username,
                password=self._credentials.password,
                cnonce=self._rng.randbytes(8).hex(),
                body=request.body,
            )
        except PeerError:  # a scheme we do not speak: the refusal stands
            return None
        return names[1], value
