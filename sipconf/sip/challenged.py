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
    """Answers the challenge of one request once, and a stale nonce once more.

    An answer is a hash that a password can be guessed from at leisure, so it goes to one challenger only: the first,
    known by realm and status. Inside a call that is whoever challenged the INVITE (a proxy by 407, a server by 401);
    the party at the other end may want our answer to a challenge of its own.
    """

    def __init__(
        self, credentials: Credentials | None, rng: random.Random, challenger: tuple[int, str] | None = None
    ) -> None:
        """challenger: status and realm that were answered before, for this call's further requests."""
        self.challenger = challenger
        self._credentials = credentials
        self._rng = rng
        self._tried: set[bool] = set()

    def answer(self, request: Request, response: Response) -> tuple[str, str] | None:
        """Header name and value for the next try, or None where another try is hopeless or unwise."""
        names = HEADERS.get(response.status)
        if names is None or self._credentials is None:
            return None
        if self.challenger is None and request.to.tag is not None:
            return None
        if self.challenger is not None and self.challenger[0] != response.status:
            return None
        try:
            challenge = strongest_challenge(self._ours(response.headers.get_all(names[0])))
            _, parameters = parse_parameters(challenge)
            stale = parameters.get("stale", "").lower() == "true"
            again = False in self._tried
            if again and (not stale or True in self._tried):
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
        self._tried.add(again)
        self.challenger = (response.status, parameters["realm"])
        return names[1], value

    def _ours(self, challenges: list[str]) -> list[str]:
        """Those of the realm that we answer."""
        assert self._credentials is not None
        realm = self._credentials.realm if self.challenger is None else self.challenger[1]
        return [each for each in challenges if realm in (None, parse_parameters(each)[1].get("realm"))]
