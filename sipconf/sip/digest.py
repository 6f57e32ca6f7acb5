"""Digest authentication: challenges and their verification as a server, answers to challenges as a client.

RFC 7616 and RFC 8760 (MD5 and SHA-256), with the answers without `qop` of RFC 2617 that older telephones give. Who
may do what once proven is not decided here, nor which requests are challenged: that is the agent's.
"""

import hashlib
import hmac
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sipconf.errors import MisuseError, PeerError
from sipconf.sip.message import Request
from sipconf.sip.nonces import NONCE_LIFE, Nonces
from sipconf.sip.uri import SipUri

MAX_CREDENTIALS_CHARS = 4096
MAX_PARAMETERS = 32
HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}

_PARAMETER = re.compile(
    r"""[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]++|\\.)*+)"|([^\s",]+))[ \t]*(,|\Z)""",
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Verified:
    """The request proves to be from this user."""

    user: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """Answer 401 with one WWW-Authenticate per value, in this order. stale: right password, old nonce. wrong: whose
    password was not known; None where no answer was given."""

    values: tuple[str, ...]
    stale: bool
    wrong: str | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """The credentials cannot be read: no challenge mends that."""

    reason: str
    status: int = 400


class Authenticator:
    """Challenges requests and verifies their answers. Keeps no state per challenge, only per accepted answer."""

    def __init__(
        self,
        realm: str,
        password_of: Callable[[str, str], str | None],
        algorithms: tuple[str, ...],
        rng: random.Random,
        nonce_life: float = NONCE_LIFE,
    ) -> None:
        """password_of(user, source host): None for a stranger, or for a password that is no good from there.
        algorithms: of "MD5" and "SHA-256", in the order in which they are offered.

        Raises MisuseError for an algorithm unknown here.
        """
        if not algorithms or any(name not in HASHES for name in algorithms):
            raise MisuseError(f"digest algorithms are {', '.join(HASHES)}, not {algorithms!r}")
        self._realm = realm
        self._password_of = password_of
        self._algorithms = algorithms
        self._nonces = Nonces(rng, nonce_life)
        self._dummy_password = rng.randbytes(16).hex()

    def challenge(self, now: float, source: str, *, stale: bool = False, wrong: str | None = None) -> Challenge:
        """A fresh challenge per configured algorithm, to be answered from this source host."""
        realm, tail = _quote(self._realm), ", stale=true" if stale else ""
        values = tuple(
            f'Digest realm="{realm}", nonce="{self._nonces.new(now, source)}", algorithm={algorithm}, qop="auth"{tail}'
            for algorithm in self._algorithms
        )
        return Challenge(values, stale, wrong)

    def claimed(self, request: Request) -> str | None:
        """Who the sender says he is, before anything is verified; None where nothing of it can be verified."""
        try:
            given = self._credentials(request)
        except PeerError:
            return None
        return None if given is None else given.get("username")

    def verify(self, request: Request, now: float, source: str = "") -> Verified | Challenge | Denied:
        """Who sent this request, from this source host? A stranger and a wrong password get the same answer at the
        same cost."""
        try:
            given = self._credentials(request)
        except PeerError as error:
            return Denied(error.reason, error.status)
        if given is None or not given.keys() >= {"username", "nonce", "uri", "response"}:
            return self.challenge(now, source)
        if not _is_for(given["uri"], request):
            return Denied("The digest is of another address")
        user = given["username"]
        password = self._password_of(user, source)
        algorithm = given.get("algorithm", "MD5").upper()
        expected = _response(
            algorithm,
            given,
            method=request.method,
            password=self._dummy_password if password is None else password,
        )
        matches = hmac.compare_digest(expected.encode(), _octets(given["response"].lower()))
        if not matches or password is None:
            return self.challenge(now, source, wrong=user)
        if not self._first_use(given, now, source):
            return self.challenge(now, source, stale=True)
        return Verified(user)

    def _credentials(self, request: Request) -> dict[str, str] | None:
        """The Authorization for our realm in an algorithm and quality of protection that we offer, or None. Read once.
        Raises PeerError."""
        parsed = request.headers.parsed
        if "Authorization" not in parsed:
            parsed["Authorization"] = self._read_credentials(request)
        return parsed["Authorization"]

    def _read_credentials(self, request: Request) -> dict[str, str] | None:
        for value in request.headers.get_all("Authorization"):
            scheme, parameters = parse_parameters(value)
            if scheme != "digest" or parameters.get("realm") != self._realm:
                continue
            # baresip and pyVoIP name no algorithm: that means MD5 (RFC 7616 section 3.4)
            if parameters.get("algorithm", "MD5").upper() not in self._algorithms:
                continue
            qop = parameters.get("qop")
            if qop is not None and (qop.lower() != "auth" or not _is_count(parameters.get("nc"))):
                continue
            if qop is not None and not parameters.get("cnonce"):
                continue
            return parameters
        return None

    def _first_use(self, given: dict[str, str], now: float, source: str) -> bool:
        """Is this right answer new (RFC 7616 section 3.4)? One without qop has no count: it is good once."""
        nonce, user = given["nonce"], given["username"]
        if "qop" in given:
            return self._nonces.first_use(nonce, f"{given['cnonce']} {user}", int(given["nc"], 16), now, source)
        return self._nonces.first_use(nonce, f"{given['response'].lower()} {user}", 1, now, source)


def strongest_challenge(challenges: Iterable[str]) -> str:
    """The challenge we answer best: SHA-256 before MD5. Raises PeerError where none can be answered."""
    best: tuple[int, str] | None = None
    for value in challenges:
        scheme, parameters = parse_parameters(value)
        name = parameters.get("algorithm", "MD5").upper().removesuffix("-SESS")
        if scheme == "digest" and name in HASHES:
            rank = list(HASHES).index(name)
            if best is None or rank > best[0]:
                best = (rank, value)
    if best is None:
        raise PeerError("none of the offered authentication schemes is supported", metric="digest_unsupported")
    return best[1]


def answer_challenge(
    challenge: str,
    *,
    method: str,
    uri: str,
    username: str,
    password: str,
    cnonce: str,
    nc: int = 1,
    body: bytes = b"",
) -> str:
    """The Authorization (or Proxy-Authorization) value that answers a challenge. Raises PeerError where none can."""
    scheme, parameters = parse_parameters(challenge)
    algorithm = parameters.get("algorithm", "MD5")
    if scheme != "digest" or algorithm.upper().removesuffix("-SESS") not in HASHES:
        raise PeerError(f"authentication by {algorithm} is not supported", metric="digest_unsupported")
    if "realm" not in parameters or "nonce" not in parameters:
        raise PeerError("a challenge without realm or nonce", metric="digest_unsupported")
    given = {"username": username, "realm": parameters["realm"], "nonce": parameters["nonce"], "uri": uri}
    offered = [item.strip().lower() for item in parameters.get("qop", "").split(",") if item.strip()]
    if offered:
        qop = "auth" if "auth" in offered else offered[0]
        if qop not in ("auth", "auth-int"):
            raise PeerError(f"quality of protection {qop} is not supported", metric="digest_unsupported")
        given |= {"qop": qop, "nc": f"{nc:08x}", "cnonce": cnonce}
    elif algorithm.upper().endswith("-SESS"):
        given["cnonce"] = cnonce
    given["response"] = _response(algorithm.upper(), given, method=method, password=password, body=body)
    parts = [f'{name}="{_quote(given[name])}"' for name in ("username", "realm", "nonce", "uri", "response")]
    if "algorithm" in parameters:
        parts.append(f"algorithm={algorithm}")
    if "opaque" in parameters:
        parts.append(f'opaque="{_quote(parameters["opaque"])}"')
    if "qop" in given:
        parts += [f"qop={given['qop']}", f"nc={given['nc']}"]
    if "cnonce" in given:
        parts.append(f'cnonce="{_quote(cnonce)}"')
    return "Digest " + ", ".join(parts)


def parse_parameters(value: str) -> tuple[str, dict[str, str]]:
    """(scheme in lower case, parameters by lower-case name, unquoted) of a challenge or of credentials.

    The parameters of a scheme other than Digest are not read. Raises PeerError for what the grammar of RFC 7616
    does not allow, a repeated parameter included.
    """
    if len(value) > MAX_CREDENTIALS_CHARS:
        raise PeerError("the credentials are too long", metric="digest_malformed")
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest":
        return scheme.lower(), {}
    parameters: dict[str, str] = {}
    position = 0
    while position < len(rest):
        match = _PARAMETER.match(rest, position)
        if match is None or len(parameters) >= MAX_PARAMETERS:
            raise PeerError("the credentials cannot be read", metric="digest_malformed")
        name, quoted, plain, _separator = match.groups()
        name = name.lower()
        if name in parameters:
            raise PeerError(f"the credentials name {name} twice", metric="digest_malformed")
        parameters[name] = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
        position = match.end()
    return "digest", parameters


def _response(algorithm: str, given: dict[str, str], *, method: str, password: str, body: bytes = b"") -> str:
    """The `response` of RFC 7616 section 3.4.1, computed from the parameters as they were sent."""

    def digest(text: bytes) -> str:
        return HASHES[algorithm.removesuffix("-SESS")](text, usedforsecurity=False).hexdigest()

    def hashed(*parts: str) -> str:
        return digest(_octets(":".join(parts)))

    qop = given.get("qop")
    secret = hashed(given["username"], given["realm"], password)
    if algorithm.endswith("-SESS"):
        secret = hashed(secret, given["nonce"], given["cnonce"])
    # The digest's own uri, not the Request-URI: pyVoIP and several proxies make them differ
    target = hashed(method, given["uri"], digest(body)) if qop == "auth-int" else hashed(method, given["uri"])
    if qop is None:
        return hashed(secret, given["nonce"], target)  # RFC 2617 section 3.2.2.1
    return hashed(secret, given["nonce"], given["nc"], given["cnonce"], qop, target)


def _is_for(uri: str, request: Request) -> bool:
    """Is the digest's uri the Request-URI or its equivalent (RFC 7616 section 3.4.6)? Proxies change the host and some
    telephones leave the user out (pyVoIP); whom it names may be nobody else."""
    wanted = request.uri.user
    if wanted is None or uri == str(request.uri):
        return True
    try:
        return SipUri.parse(uri).user in (None, wanted)
    except PeerError:
        return False


def _is_count(text: str | None) -> bool:
    return text is not None and re.fullmatch(r"[0-9A-Fa-f]{1,8}", text) is not None


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _quote(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
