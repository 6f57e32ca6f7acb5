"""A house under attack: strangers made of raw text, and a running call that must not lose a frame meanwhile."""

import contextlib
import hashlib
import itertools
import re
from collections.abc import Iterator

from sipconf.conference.directory import ConferenceSpec
from sipconf.sip.events import Send
from sipconf.sip.flow import Address, Flow
from tests.sim.house import DOMAIN, SERVER, House
from tests.sim.rtp_phone import RtpPhone

ROOM = ConferenceSpec("Weekly", "2001", access_code="4321")


class Stranger:
    """Sends what it is told and keeps what comes back."""

    def __init__(self, house: House, address: Address = ("203.0.113.66", 5060)) -> None:
        self.house = house
        self.address = address
        self.heard: list[str] = []
        self._out: list[Send] = []
        self._count = itertools.count(1)
        house.network.attach(address, self)

    # --- doors -------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        self.heard.append(data.decode(errors="replace"))

    def handle_timer(self, now: float) -> None:
        raise AssertionError("no timer was set")

    def next_timer(self) -> float | None:
        return None

    def take_outputs(self) -> list[Send]:
        taken, self._out = self._out, []
        return taken

    # --- what it does ------------------------------------------------------------------------------------------------
    def send(self, text: str | bytes, port: int | None = None) -> None:
        """Bytes to the server, with the next step of the network; what is answered to another port is told by `told`.
        """
        data = text if isinstance(text, bytes) else text.encode()
        self._out.append(Send(Flow("udp", SERVER, (self.address[0], port or self.address[1])), data))

    def told(self) -> list[str]:
        """Everything that the server has sent to this host, whatever the port."""
        return [data.decode(errors="replace") for _, source, target, data in self.house.network.sent
                if source == SERVER and target[0] == self.address[0]]

    def ask(self, text: str | bytes, seconds: float = 0.1) -> list[str]:
        """Send and wait: what came back."""
        before = len(self.heard)
        self.send(text)
        self.house.run(seconds)
        return self.heard[before:]

    def request(self, method: str, uri: str = f"sip:2001@{DOMAIN}", *, sender: str = f"sip:101@{DOMAIN}",
                to: str = "", extra: str = "", body: str = "", **more: str) -> str:
        """A request with a branch, Call-ID and tag of its own; more: branch, call_id, tag, cseq."""
        number = next(self._count)
        mine = f"{number}-{self.address[1]}-{self.address[0]}"
        given = {"branch": f"z9hG4bKs{mine}", "call_id": f"s{mine}", "tag": f"t{number}", "cseq": "1", **more}
        kind = "Content-Type: application/sdp\r\n" if body and "Content-Type" not in extra else ""
        return (
            f"{method} {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self.address[0]}:{self.address[1]};branch={given['branch']};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <{sender}>;tag={given['tag']}\r\nTo: {to or f'<{uri}>'}\r\n"
            f"Call-ID: {given['call_id']}\r\nCSeq: {given['cseq']} {method}\r\n"
            f"Contact: <sip:x@{self.address[0]}:{self.address[1]}>\r\n"
            f"{extra}{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        )


def status_of(answer: str) -> int:
    """0 for a request."""
    return int(answer.split(" ", 2)[1]) if answer.startswith("SIP/2.0 ") else 0


def proof(challenge: str, user: str, password: str, method: str, uri: str, *, nc: str = "00000001",
          cnonce: str = "0a4f") -> str:
    """The Authorization line that answers a 401, written without a line of ours."""
    given = dict(re.findall(r'(\w+)="([^"]*)"', challenge))

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    secret = md5(f"{user}:{given['realm']}:{password}")
    answer = md5(f"{secret}:{given['nonce']}:{nc}:{cnonce}:auth:{md5(f'{method}:{uri}')}")
    return (
        f'Authorization: Digest username="{user}", realm="{given["realm"]}", nonce="{given["nonce"]}", uri="{uri}", '
        f'response="{answer}", algorithm=MD5, qop=auth, nc={nc}, cnonce="{cnonce}"\r\n'
    )


@contextlib.contextmanager
def running_call(
    house: House, names: tuple[str, str] = ("105", "106"), dialled: str = "2001"
) -> Iterator[list[RtpPhone]]:
    """Two people talk in a room while the body runs; neither loses a frame of the other, and both hang up after it."""
    people = [house.enter(house.phone(name), dialled) for name in names]
    house.run(0.7)  # tones and ramps
    began = house.now
    for phone in people:
        phone.forget()
    yield people
    for phone, other in (people, people[::-1]):
        steps = {((b.sequence - a.sequence) % 2**16, (b.timestamp - a.timestamp) % 2**32)
                 for a, b in itertools.pairwise(phone.packets)}
        assert phone.in_call and steps <= {(1, 160)}, steps
        assert abs(len(phone.packets) - round((house.now - began) * 50)) <= 2
        assert not phone.packets or phone.gaps(other.pitch) == 0
    for phone in people:
        phone.bye(house.now)
    house.run(0.2)
