"""Our own registration with a registrar, as a telephone does it (RFC 3261 section 10.2): one REGISTER at a time."""

from sipconf.errors import MisuseError
from sipconf.sip.challenged import ChallengeAnswers, Credentials
from sipconf.sip.client_tx import Heard, NoAnswer, NoPath
from sipconf.sip.events import Registered, RegisterFailed
from sipconf.sip.flow import Flow
from sipconf.sip.message import Request, Response
from sipconf.sip.tokens import delta_seconds
from sipconf.sip.transactions import Fact, Key
from sipconf.sip.uri import NameAddr, SipUri
from sipconf.sip.wire import Authorization, Wire


class Registration:
    """Keeps Call-ID, tag and CSeq over refreshes, as section 10.2 asks."""

    def __init__(
        self, registration_id: str, wire: Wire, aor: SipUri, flow: Flow, credentials: Credentials | None
    ) -> None:
        self.id = registration_id
        self.over = False
        self._wire = wire
        self._aor = aor
        self._flow = flow
        self._credentials = credentials
        self._challenges = ChallengeAnswers(credentials, wire.rng)
        self._address = NameAddr("", aor, (("tag", wire.token()),))
        self._call_id = wire.token()
        self._cseq = 0
        self._request: Request | None = None
        self._key: Key | None = None
        self._expires = 0

    def send(self, expires: int, now: float) -> None:
        """REGISTER our contact for so many seconds; 0 removes it. Raises MisuseError while one is under way."""
        if self._key is not None:
            raise MisuseError("a REGISTER of this registration is under way")
        self._expires = expires
        self._challenges = ChallengeAnswers(self._credentials, self._wire.rng)
        self._send(None, now)

    def hear(self, key: Key, fact: Fact, now: float) -> None:
        """What became of the REGISTER."""
        if key != self._key:
            return
        match fact:
            case Heard(response) if response.status >= 200:
                self._hear_final(response, now)
            case NoAnswer():
                self._fail(408, "Request Timeout")
            case NoPath():
                self._fail(503, "Service Unavailable")

    def _hear_final(self, response: Response, now: float) -> None:
        if response.status < 300:
            self._key = None
            granted = self._granted(response)
            self.over = granted == 0
            self._wire.outputs.append(Registered(self.id, granted))
        elif (proof := self._challenges.answer(self._request, response)) is not None:
            self._send(proof, now)
        elif response.status == 423 and self._least(response) > self._expires > 0:
            self._expires = self._least(response)
            self._send(None, now)
        else:
            self._fail(response.status, response.reason)

    @staticmethod
    def _least(refusal: Response) -> int:
        """What a registrar that finds our time too short asks for (section 10.2.8)."""
        return delta_seconds(refusal.headers.get("Min-Expires")) or 0

    def _granted(self, response: Response) -> int:
        """What the registrar gave our contact (section 10.2.4)."""
        if self._expires == 0:
            return 0
        ours = self._wire.contact(self._flow, self._aor).strip("<>")
        for contact in response.contacts:
            if str(contact.uri) == ours and contact.param("expires") is not None:
                return delta_seconds(contact.param("expires")) or 0
        return delta_seconds(response.headers.get("Expires")) or self._expires

    def _fail(self, status: int, reason: str) -> None:
        self._key = None
        self.over = True
        self._wire.outputs.append(RegisterFailed(self.id, status, reason))

    def _send(self, proof: Authorization, now: float) -> None:
        self._cseq += 1
        registrar = SipUri.parse(f"{self._aor.scheme}:{str(self._aor).rpartition('@')[2]}")
        request = self._wire.first_request(
            "REGISTER",
            registrar,
            from_=self._address,
            to=NameAddr("", self._aor, ()),
            call_id=self._call_id,
            cseq=self._cseq,
            flow=self._flow,
        )
        request.headers.add("Contact", self._wire.contact(self._flow, self._aor))
        request.headers.add("Expires", str(self._expires))
        self._request = self._wire.finished(request, self._flow, proof=proof)
        self._key = self._wire.transactions.send_request(self._request, self._flow, self, now)
