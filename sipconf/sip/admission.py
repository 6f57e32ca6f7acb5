"""Which requests are let in, and who they are from (RFC 3261 sections 8.2.1 to 8.2.3 and 22).

Refusals made here are stateless: until somebody is proven we keep no memory of his requests (section 26.3.2.4), only
of how many they were (sources) and of his wrong passwords (guesses).
"""

import hashlib
import math
import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from sipconf.errors import PeerError
from sipconf.sip.caps import Holder, TooMuch
from sipconf.sip.dialog import Dialog
from sipconf.sip.digest import Authenticator, Denied, Verified
from sipconf.sip.events import Identity
from sipconf.sip.flow import Flow, network_of
from sipconf.sip.guesses import Guesses
from sipconf.sip.message import Request
from sipconf.sip.session_timer import MIN_SE, too_brief
from sipconf.sip.settings import AgentSettings
from sipconf.sip.sources import Sources
from sipconf.sip.trunk import Trunks, TrunkSpec
from sipconf.sip.uri import NameAddr, SipUri, same_address
from sipconf.sip.wire import ALLOW, ALLOWED, CALL_EXTENSIONS, REGISTRAR_EXTENSIONS, SDP

KNOWN = frozenset({"SUBSCRIBE", "NOTIFY", "REFER", "MESSAGE", "PUBLISH"})
EXTENSIONS = frozenset({*CALL_EXTENSIONS, *REGISTRAR_EXTENSIONS})
HIDING = frozenset({"id", "user", "full"})  # values of Privacy: RFC 3323 section 4.2, RFC 3325 section 9.3
VISUAL = str.maketrans("", "", "-.()")
SDP_RANGES = frozenset({SDP, "application/*", "*/*"})
MAX_ACCOUNT_CHARS = 64  # of a claimed name in the ledger of wrong passwords; longer ones share an entry


@dataclass(frozen=True, slots=True)
class Refused:
    """A final answer and its further headers."""

    status: int
    reason: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who to show: number and name."""

    number: str
    name: str


ANONYMOUS = Caller("", "Anonymous")


class Gate:
    """Inspects requests and proves identities."""

    def __init__(
        self, authenticator: Authenticator, trunks: Trunks, rng: random.Random, serves: Callable[[str, str], bool],
        settings: AgentSettings,
    ) -> None:
        """serves(trunk, dialled): may this trunk's callers dial that without proving who they are?"""
        self._authenticator = authenticator
        self._trunks = trunks
        self._serves = serves
        self._secret = rng.randbytes(32)
        self._settings = settings
        self._domain = settings.domain.lower()
        self._guesses = Guesses(settings.guesses)
        self.sources = Sources(settings.sources)

    def admit(self, flow: Flow, now: float) -> bool:
        """Whether a message that came by this flow is to be looked at at all."""
        trunk = self._trunk_of(flow)
        return self.sources.admit(flow.remote, None if trunk is None else trunk.name, now)

    def knows(self, flow: Flow) -> bool:
        """Is this a trunk's address, or one where a user has proven to live?"""
        return self.sources.user_at(flow.remote) is not None or self._trunk_of(flow) is not None

    def answers(self, request: Request, flow: Flow) -> bool:
        """False for a stranger who is to hear nothing: he does not know what we are called (drop_unknown)."""
        return not self._settings.drop_unknown or request.uri.host.lower() == self._domain or self.knows(flow)

    def holder(self, identity: Identity, flow: Flow) -> Holder:
        """Whose part of the limits a request takes."""
        if identity.kind == "trunk":
            return Holder(identity.name, is_trunk=True)
        return Holder(network_of(flow.remote[0]))

    def same_peer(self, before: Flow, after: Flow) -> bool:
        """Do two flows come from one host or one trunk? The port is a NAT's to change."""
        if network_of(before.remote[0]) == network_of(after.remote[0]):
            return True
        trunk = self._trunk_of(before)
        return trunk is not None and trunk == self._trunk_of(after)

    def stands_against(self, request: Request, flow: Flow, before: Flow, now: float) -> Refused | None:
        """Why a request inside a dialog that came by another flow before is not its peer's; None where it is.

        A telephone that has moved to another host proves that it is still the same user's. Whoever only knows the
        dialog's tags, having overheard them, cannot.
        """
        user = self.sources.user_at(before.remote)
        if self.same_peer(before, flow):
            if user is not None and self.sources.user_at(flow.remote) is None:
                self.sources.prove(flow.remote, user)
            return None
        if user is None:
            return Refused(481)
        identity = self._prove(request, flow, now)
        if isinstance(identity, Refused):
            return identity
        return None if identity.name == user else Refused(403, "That Is Not Your Call")

    def is_back(self, dialog: Dialog, register: Request, identity: Identity) -> bool:
        """Is the telephone that registers the peer of this dialog, by the same contact (RFC 5626 section 5.3)?"""
        return self.sources.user_at(dialog.flow.remote) == identity.name and any(
            same_address(dialog.target, contact.uri) for contact in register.contacts)

    def stateless_tag(self, request: Request) -> str:
        """The same To tag for every retransmission, without memory (section 8.2.7); unreadable headers serve too."""
        seed = "\n".join(request.headers.get(name, "") or "" for name in ("Call-ID", "From", "CSeq"))
        return hashlib.blake2b(seed.encode(errors="replace"), key=self._secret, digest_size=8).hexdigest()

    def inspect(self, request: Request) -> Refused | None:
        """What stands against a request whoever sent it, in the order of section 8.2; None for nothing."""
        if request.method not in ALLOWED:
            return Refused(405) if request.method in KNOWN else Refused(501, headers=(("Allow", ALLOW),))
        if not request.uri.is_sip and request.method != "INVITE":  # a tel: URI can be called and nothing else
            return Refused(416)
        if request.method == "REGISTER" and not request.to.uri.is_sip:
            return Refused(400, "A sip address has to be registered")
        if unsupported := [tag for tag in request.headers.get_all("Require") if tag.lower() not in EXTENSIONS]:
            return Refused(420, headers=(("Unsupported", ", ".join(unsupported)),))
        if request.method == "INVITE" and request.max_forwards == 0:
            # An endpoint may take a request that no proxy would pass on (RFC 4475 section 3.3.11), but an INVITE may
            # make us place a call in turn, and a loop has to end somewhere.
            return Refused(483)
        if request.method in ("INVITE", "UPDATE"):
            return _inspect_offer(request)
        return None

    def identify(self, request: Request, flow: Flow, now: float) -> Identity | Refused:
        """Who sent an initial INVITE or a REGISTER. An INVITE from a trunk's address to what the trunk may dial is the
        trunk's; any other request is challenged, for users may live behind that address too."""
        trunk = self._trunk_of(flow)
        if trunk is not None and request.method == "INVITE" and self._serves(trunk.name, dialled(request.uri)):
            return Identity("trunk", trunk.name)
        return self._prove(request, flow, now)

    def _trunk_of(self, flow: Flow) -> TrunkSpec | None:
        """Whose address this is. None comes over WebSocket: a proxy may stand at the address of the company's PBX."""
        return None if flow.by_websocket else self._trunks.match(flow.remote[0])

    def _guesser(self, flow: Flow, account: str) -> Hashable:
        """Who tries this account: where its user lives already nobody else's wrong passwords count against him."""
        host = flow.remote[0]
        if account and self.sources.user_at(flow.remote) == account:
            return flow.remote
        return (network_of(host), account) if self.sources.is_at_home(account, host) else network_of(host)

    def _prove(self, request: Request, flow: Flow, now: float) -> Identity | Refused:
        """The user whose password the sender knows. Raises TooMuch (403) for who has guessed too often: a right guess
        is not even looked at then."""
        host = flow.remote[0]
        account = (self._authenticator.claimed(request) or "")[:MAX_ACCOUNT_CHARS]
        source = self._guesser(flow, account)
        if account and (wait := self._guesses.wait(source, account, now)) > 0.0:
            again = f"Too many wrong passwords, try again in {math.ceil(wait)} seconds"
            raise TooMuch(again, status=403, metric="guesses")
        verdict = self._authenticator.verify(request, now, host)
        if isinstance(verdict, Verified):
            self._guesses.right(source, account)
            self.sources.prove(flow.remote, verdict.user)
            return Identity("user", verdict.user)
        if isinstance(verdict, Denied):
            return Refused(verdict.status, verdict.reason)
        if verdict.wrong is not None:
            self._guesses.wrong(source, account, now)
        return Refused(401, headers=tuple(("WWW-Authenticate", value) for value in verdict.values))


def _inspect_offer(request: Request) -> Refused | None:
    if request.body and request.content_type not in ("", SDP):
        return Refused(415, headers=(("Accept", SDP),))
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        return Refused(415, headers=(("Accept-Encoding", "identity"),))
    accepted = [value.split(";")[0].strip().lower() for value in request.headers.get_all("Accept")]
    if accepted and not any(media.strip() in SDP_RANGES for value in accepted for media in value.split(",")):
        return Refused(406)
    if too_brief(request):
        return Refused(422, headers=(("Min-SE", str(MIN_SE)),))
    return None


def caller_of(request: Request, identity: Identity) -> Caller:
    """Who to show. A trunk vouches for P-Asserted-Identity (RFC 3325), except for callers who asked it to be kept among
    operators (RFC 3323); a user is who the digest says."""
    sender = request.from_
    if identity.kind == "user":
        return Caller(identity.name, sender.display_name)
    if any(HIDING & set(value.lower().replace(" ", "").split(";")) for value in request.headers.get_fields("Privacy")):
        return ANONYMOUS
    for value in request.headers.get_all("P-Asserted-Identity"):
        try:
            asserted = NameAddr.parse(value)
        except PeerError:  # unreadable: the next value, then From
            continue
        if asserted.uri.user:
            return Caller(_number(asserted.uri), asserted.display_name or sender.display_name)
    return Caller(_number(sender.uri), sender.display_name)


def dialled(uri: SipUri) -> str:
    """The user part without what may hang on a number there: ";npdi", ";cpc=..." (RFC 3261 section 19.1.6)."""
    return (uri.user or "").partition(";")[0]


def _number(uri: SipUri) -> str:
    """The user part; of a telephone number without its visual separators (RFC 3966 section 5.1.1)."""
    user = dialled(uri)
    is_number = uri.scheme == "tel" or (uri.param("user") or "").lower() == "phone"
    return user.translate(VISUAL) if is_number else user
