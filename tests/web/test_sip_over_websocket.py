"""A browser's telephone on a real connection: registers with digest, calls, is called, is forgotten when gone."""

import asyncio
import re
from pathlib import Path

from sipconf.sip import events
from sipconf.sip.uri import SipUri
from tests.sim.siege import proof
from tests.sim.websocket_client import BINARY, Client, connect
from tests.sim.websocket_house import DOMAIN, SDP, WebSocketHouse, speaking

CONTACT = "sip:k3bv9a1c@192.0.2.77;transport=ws"
"""As SIP.js makes it with hackIpInContact: a random user at an address that nobody has."""
VIA = "SIP/2.0/WS 192.0.2.77;branch="


class Widget:
    """A telephone in a page, made of raw text in the order and spelling of SIP.js."""

    def __init__(self, client: Client, user: str = "101", contact: str = CONTACT) -> None:
        self.client = client
        self.user, self.contact = user, contact
        self.cseq = 0

    def request(self, method: str, uri: str, extra: str = "", body: str = "", *, to: str = "", call_id: str = "c1",
                cseq: int | None = None, branch: str | None = None) -> str:
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        branch = branch or f"z9hG4bK{call_id}{method}{cseq}"
        return (
            f"{method} {uri} SIP/2.0\r\nVia: {VIA}{branch}\r\nTo: {to or f'<{uri}>'}\r\n"
            f"From: <sip:{self.user}@{DOMAIN}>;tag=t-{call_id}\r\nCSeq: {cseq} {method}\r\nCall-ID: {call_id}\r\n"
            f"Max-Forwards: 70\r\nSupported: outbound\r\nUser-Agent: Odoo 18.0 SIP.js/0.21.2\r\n{extra}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )

    async def ask(self, method: str, uri: str, extra: str = "", body: str = "", **more: str) -> str:
        """With the digest where it is asked for; the answer."""
        self.client.send(self.request(method, uri, extra, body, **more))
        answer = await self.final()
        if answer.startswith("SIP/2.0 401 ") and "stale" not in answer:
            if method == "INVITE":
                self.ack(answer, uri, **more)
            given = proof(answer, self.user, f"secret-{self.user}", method, uri)
            self.client.send(self.request(method, uri, extra + given, body, **more))
            answer = await self.final()
        return answer

    async def final(self) -> str:
        while True:
            answer = await self.client.message()
            if not answer.startswith("SIP/2.0 1"):
                return answer

    def ack(self, answer: str, uri: str, *, call_id: str = "c1") -> None:
        to = field(answer, "To")
        branch = {} if answer.startswith("SIP/2.0 2") else {"branch": field(answer, "Via").partition("branch=")[2]}
        self.client.send(self.request("ACK", uri, to=to, call_id=call_id,
                                      cseq=int(field(answer, "CSeq").split()[0]), **branch))

    async def register(self, expires: int = 600) -> str:
        return await self.ask("REGISTER", f"sip:{DOMAIN}", f"Contact: <{self.contact}>;expires={expires}\r\n",
                              to=f"<sip:{self.user}@{DOMAIN}>", call_id="reg")


def field(text: str, name: str) -> str:
    (value,) = re.findall(rf"(?im)^{name}: (.*)\r$", text)
    return value


def contact_of(house: WebSocketHouse, user: str = "101") -> list[str]:
    return [str(binding.contact.uri) for binding in house.registrar.bindings(user, 0.0)]


async def test_a_widget_registers_and_calls(tmp_path: Path) -> None:
    async with speaking(tmp_path) as house, connect(house.port) as client:
        widget = Widget(client)
        answer = await widget.register()
        assert answer.startswith("SIP/2.0 200 OK\r\n"), answer
        # SIP.js drops an answer whose Via has another host or a port, and looks for its own contact
        assert field(answer, "Via") == f"{VIA}z9hG4bKregREGISTER2"
        assert re.fullmatch(rf"<{CONTACT}>;expires=(600|599)", field(answer, "Contact"))
        assert "\r\nRequire:" not in answer
        answer = await widget.ask("INVITE", f"sip:2001@{DOMAIN}",
                                  f"Contact: <{CONTACT};ob>\r\nContent-Type: application/sdp\r\n", SDP.decode())
        assert answer.startswith("SIP/2.0 200 OK\r\n"), answer
        assert field(answer, "Via").startswith(f"{VIA}z9hG4bKc1INVITE") and "\r\nRequire:" not in answer
        assert field(answer, "Contact") == f"<sip:192.0.2.1:{house.port};transport=ws>"
        widget.ack(answer, f"sip:192.0.2.1:{house.port};transport=ws")
        bye = await widget.ask("BYE", f"sip:192.0.2.1:{house.port};transport=ws", to=field(answer, "To"))
        assert bye.startswith("SIP/2.0 200 OK\r\n")
        assert [type(event) for event in house.events if not isinstance(event, events.Counted)] == [
            events.RegistrationChanged, events.IncomingCall, events.CallConfirmed, events.CallEnded]


async def test_a_registered_widget_is_called(tmp_path: Path) -> None:
    async with speaking(tmp_path) as house, connect(house.port) as client:
        await Widget(client).register()
        (binding,) = house.registrar.bindings("101", 0.0)
        now = house.endpoint.floor.clock.monotonic()
        house.agent.invite(target=binding.contact.uri, flow=binding.flow, from_uri=SipUri.parse(f"sip:2001@{DOMAIN}"),
                           from_name="Weekly", offer=SDP, now=now)
        house.endpoint.pump(now)
        invite = await client.message()
        assert invite.startswith(f"INVITE {CONTACT} SIP/2.0\r\nVia: SIP/2.0/WS 192.0.2.1:{house.port};branch=")
        answer = "".join(f"{name}: {field(invite, name)}\r\n" for name in ("Via", "From", "Call-ID", "CSeq"))
        client.send(f"SIP/2.0 200 OK\r\n{answer}To: {field(invite, 'To')};tag=w\r\nContact: <{CONTACT}>\r\n"
                    f"Content-Type: application/sdp\r\n\r\n{SDP.decode()}".encode(), BINARY)
        assert (await client.message()).startswith(f"ACK {CONTACT} SIP/2.0\r\n")
        house.agent.hang_up(house.events[-1].session, now)
        house.endpoint.pump(now)
        assert (await client.message()).startswith(f"BYE {CONTACT} SIP/2.0\r\n")


async def test_who_loses_the_connection_is_registered_no_more(tmp_path: Path) -> None:
    async with speaking(tmp_path) as house, connect(house.port) as stays:
        other = "sip:zz9@random.invalid;transport=ws"
        await Widget(stays, contact=other).register()
        async with connect(house.port) as goes:
            await Widget(goes).register()
            assert sorted(contact_of(house)) == [CONTACT, other]
        while len(contact_of(house)) > 1:
            await asyncio.sleep(0.01)  # not by keep-alives: four a second are answered
        assert contact_of(house) == [other]
        stays.send("\r\n\r\n")
        assert await stays.message() == "\r\n"


async def test_a_wrong_password_is_401(tmp_path: Path) -> None:
    async with speaking(tmp_path) as house, connect(house.port) as client:
        widget = Widget(client)
        register = {"to": f"<sip:101@{DOMAIN}>", "call_id": "reg"}
        client.send(widget.request("REGISTER", f"sip:{DOMAIN}", f"Contact: <{CONTACT}>\r\n", **register))
        challenge = await client.message()
        assert len(re.findall(r"(?m)^WWW-Authenticate: ", challenge)) == 1 and "algorithm=MD5" in challenge
        wrong = proof(challenge, "101", "guess", "REGISTER", f"sip:{DOMAIN}")
        client.send(widget.request("REGISTER", f"sip:{DOMAIN}", f"Contact: <{CONTACT}>\r\n{wrong}", **register))
        assert (await client.message()).startswith("SIP/2.0 401 ")
        assert contact_of(house) == []
