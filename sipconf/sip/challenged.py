"""401 and 407 to our own requests: whether to try again, and with what (RFC 3261 section 22.2).

The arithmetic of the answer is digest's.
"""

import random
from dataclasses import dataclass, field

from sipconf.errors import PeerError
from sipconf.sip.digest import answer_challenge, parse_parameters, strongest_challenge
from sipconf.sip.message import Request, Response

HEADERS = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are towards a peer that challenges us. realm: whose challenges are answered; None: of the first one."""

    username: str
    password: str = field(repr=False)
    realm: str | None = None


class ChallengeAnswers:
    """Answers each challenge of one request once, and a stale nonce once more.

    An answer is a hash that a password can be guessed from at leisure, so it goes to one realm only, and inside a call
    to the proxy that challenged the INVITE only (407): the party at the other end may want our answer to a challenge
    of its own (401).
    """

    def __init__(self, credentials: Credentials | None, rng: random.Random, realm: str | None = None) -> None:
        """realm: the one that was answered before, for this call's further requests."""
        self.realm = realm or (credentials.realm if credentials else None)
        self._credentials = credentials
        self._rng = rng
        self._tried: set[tuple[int, bool]] = set()

    def answer(self, request: Request, response: Response) -> tuple[str, str] | None:
        """Header name and value for the next try, or None where another try is hopeless or unwise."""
        names = HEADERS.get(response.status)
        if names is None or self._credentials is None:
            return None
        inside = request.to.tag is not None
        if inside and (response.status != 407 or self.realm is None):
            return None
        try:
            challenge = strongest_challenge(self._ours(response.headers.get_all(names[0])))
            _, parameters = parse_parameters(challenge)
            stale = parameters.get("stale", "").lower() == "true"
            again = (response.status, False) in self._tried
            if again and (not stale or (response.status, True) in self._tried):
                return None
            value = answer_challenge(
                challenge,
                method=request.method,
                uri=str(request.uri),
                username=self._credentials.username,
                password=self._credentials.password,
                cnonce=self._rng.randbytes(8).hex(),
                body=request.body,
            )
        except PeerError:  # a scheme we do not speak, or a realm that is not ours: the refusal stands
            return None
        self._tried.add((response.status, again))
        self.realm = parameters["realm"]
        return names[1], value

    def _ours(self, challenges: list[str]) -> list[str]:
        return [each for each in challenges if self.realm in (None, parse_parameters(each)[1].get("realm"))]
