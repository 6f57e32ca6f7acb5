"""A telephone written from raw text: it shares no line with the parser, so the parser cannot mark its own work.

One call at a time over UDP; it repeats its requests as RFC 3261 asks and keeps a log of what it understood.
"""

import hashlib
import itertools
import random
import re
from dataclasses import dataclass

from sipconf.sip.events import Send
from sipconf.sip.flow import Address, Flow

T1, T2, PATIENCE = 0.5, 4.0, 32.0
SDP = "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\na={mode}\r\n"


@dataclass
class Repeated:
    """Bytes sent again until something stops them."""

    data: bytes
    when: float
    gap: float
    until: float
    invite: bool


class RawPhone:
    """name, password: what it proves when challenged; pickup: seconds until it answers a call, None for never.
    transport: what its messages travel by."""

    transport = "udp"

    def __init__(self, address: Address, server: Address, name: str, password: str, seed: int) -> None:
        self.address, self.server = address, server
        self.name, self.password = name, password
        self.pickup: float | None = 1.0
        self.final_status = 200
        self.rings = True  # False: it answers an INVITE with nothing but its final word
        self.says = ""  # header lines of its INVITEs, UPDATEs and answers to them
        self.timer = ""  # "uac" or "uas": it knows session timers, and who refreshes where that is its choice
        self.reliable = False  # its 180 wants a PRACK
        self.rseq = 0
        self.log: list[str] = []
        self.bodies: list[str] = []
        self.news: list[str] = []  # what NOTIFYs said of our REFERs
        self.in_call = False
        self._rng = random.Random(seed)
        self._count = itertools.count(1)
        self._out: list[Send] = []
        self._repeated: dict[str, Repeated] = {}
        self._answers: dict[tuple[str, str], bytes] = {}
        self._seen: set[tuple[str, str, str]] = set()
        self._pickup_at: tuple[float, str] | None = None
        self._reset()

    def _reset(self) -> None:
        self.call_id = f"call{next(self._count)}-{self._rng.getrandbits(48):x}"
        self.tag = f"{self._rng.getrandbits(32):x}"
        self.peer_tag = ""
        self.cseq = 0
        self.target = f"sip:server@{self.server[0]}:{self.server[1]}"
        self.local = f"<sip:{self.name}@example.test>"
        self.remote = ""
        self._invite_branch = ""
        self._invite_text = ""
        self._reinviting = False

    # --- doors -------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        head, _, body = data.decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        fields: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields.setdefault(name.strip().lower(), []).append(value.strip())
        assert int(fields["content-length"][0]) == len(body.encode()), first
        if first.startswith("SIP/2.0 "):
            self._hear_response(int(first.split()[1]), fields, body, now)
        else:
            self._hear_request(first.split()[0], fields, body, now)

    def handle_timer(self, now: float) -> None:
        for key, each in list(self._repeated.items()):
            if each.when > now:
                continue
            if now >= each.until:
                del self._repeated[key]
                self.log.append(f"gave up {key}")
                continue
            self._send(each.data)
            each.gap = each.gap * 2 if each.invite else min(each.gap * 2, T2)
            each.when = min(now + each.gap, each.until)
        if self._pickup_at is not None and self._pickup_at[0] <= now:
            text = self._pickup_at[1]
            self._pickup_at = None
            self._final(text, now)

    def next_timer(self) -> float | None:
        timers = [each.when for each in self._repeated.values()]
        if self._pickup_at is not None:
            timers.append(self._pickup_at[0])
        return min(timers, default=None)

    def take_outputs(self) -> list[Send]:
        taken, self._out = self._out, []
        return taken

    # --- what its user does ------------------------------------------------------------------------------------------
    def register(self, now: float, expires: int = 3600) -> None:
        self.cseq += 1
        extra = f"Contact: <sip:{self.name}@{self.address[0]}:{self.address[1]}>\r\nExpires: {expires}\r\n"
        self.remote = self.local
        self._request("REGISTER", "sip:example.test", now, extra=extra)

    def invite(self, dialled: str, now: float, offer: bool = True) -> None:
        self._reset()
        self.remote = f"<sip:{dialled}@example.test>"
        self._dialled = f"sip:{dialled}@example.test"
        self._offer = self.sdp() if offer else ""
        self.cseq += 1
        self._request("INVITE", self._dialled, now, body=self._offer)

    def sdp(self, mode: str = "sendrecv") -> str:
        return SDP.format(host=self.address[0], mode=mode)

    def reinvite(self, mode: str, now: float) -> None:
        self.cseq += 1
        self._reinviting = True
        self._offer = self.sdp(mode)
        self._request("INVITE", self.target, now, body=self._offer)

    def update(self, now: float, body: str = "", extra: str = "") -> None:
        self.cseq += 1
        self._request("UPDATE", self.target, now, body=body, extra=extra)

    def info(self, body: str, now: float) -> None:
        self.cseq += 1
        self._request("INFO", self.target, now, body=body, kind="application/dtmf-relay")

    def refer(self, to: str, now: float) -> None:
        self.cseq += 1
        contact = f"Contact: <sip:{self.name}@{self.address[0]}:{self.address[1]}>\r\n"
        self._request("REFER", self.target, now, extra=f"{contact}Refer-To: <{to}>\r\n")

    def options(self, now: float) -> None:
        self.cseq += 1
        self._request("OPTIONS", "sip:example.test", now)

    def bye(self, now: float) -> None:
        self.cseq += 1
        self.in_call = False
        self._request("BYE", self.target, now)

    def cancel(self, now: float) -> None:
        lines = self._invite_text.split("\r\n")
        text = "\r\n".join(
            [lines[0].replace("INVITE", "CANCEL", 1)]
            + [line for line in lines[1:] if line.split(":")[0] in ("Via", "From", "To", "Call-ID", "Max-Forwards")]
            + [f"CSeq: {self.cseq} CANCEL", "Content-Length: 0", "", ""]
        )
        self._repeat("CANCEL " + self._invite_branch, text, now, invite=False)

    # --- requests ----------------------------------------------------------------------------------------------------
    def _request(
        self, method: str, uri: str, now: float, *, body: str = "", kind: str = "application/sdp", extra: str = ""
    ) -> None:
        branch = f"z9hG4bK{self._rng.getrandbits(64):x}"
        to = self.remote + (f";tag={self.peer_tag}" if self.peer_tag else "")
        text = (
            f"{method} {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/{self.transport.upper()} {self.address[0]}:{self.address[1]};branch={branch};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: {self.local};tag={self.tag}\r\nTo: {to}\r\n"
            f"Call-ID: {self.call_id}\r\nCSeq: {self.cseq} {method}\r\n"
        )
        if method in ("INVITE", "UPDATE"):
            text += f"Contact: <sip:{self.name}@{self.address[0]}:{self.address[1]}>\r\n{self.says}"
        if method == "INVITE":
            self._invite_branch = branch
        text += extra
        if body:
            text += f"Content-Type: {kind}\r\n"
        text += f"Content-Length: {len(body.encode())}\r\n\r\n{body}"
        if method == "INVITE":
            self._invite_text = text
        self._repeat(f"{method} {branch}", text, now, invite=method == "INVITE")

    def _repeat(self, key: str, text: str, now: float, *, invite: bool) -> None:
        self._repeated[key] = Repeated(text.encode(), now + T1, T1, now + PATIENCE, invite)
        self._send(text.encode())

    def _send(self, data: bytes) -> None:
        self._out.append(Send(Flow(self.transport, self.server, self.address), data))

    # --- responses ---------------------------------------------------------------------------------------------------
    def _hear_response(self, status: int, fields: dict[str, list[str]], body: str, now: float) -> None:
        branch = re.search(r"branch=([^;,\s]+)", fields["via"][0]).group(1)
        number, method = fields["cseq"][0].split()
        key = f"{method} {branch}"
        if status < 200:
            if method == "INVITE":
                self._repeated.pop(key, None)
                self._note(f"{status}", branch)
                if "rseq" in fields:
                    self._prack(int(number), fields, now)
            return
        self._repeated.pop(key, None)
        to_tag = re.search(r"tag=([^;\s]+)", fields["to"][0])
        if method == "INVITE":
            self._final_to_invite(status, int(number), branch, fields, to_tag.group(1), body, now)
        elif status == 401 and method == "REGISTER":
            if self._note("401 REGISTER", branch):
                self.cseq += 1
                auth = self._proof(fields["www-authenticate"][0], "REGISTER", "sip:example.test")
                contact = f"Contact: <sip:{self.name}@{self.address[0]}:{self.address[1]}>\r\n"
                self._request("REGISTER", "sip:example.test", now, extra=auth + contact + "Expires: 3600\r\n")
        else:
            self._note(f"{status} {method}", branch)

    def _prack(self, number: int, fields: dict[str, list[str]], now: float) -> None:
        if not self._note(f"RSeq {fields['rseq'][0]}", fields["call-id"][0]):
            return
        self.peer_tag = re.search(r"tag=([^;\s]+)", fields["to"][0]).group(1)
        self.target = re.search(r"<(sip:[^>]+)>$", fields["contact"][0]).group(1)
        self.cseq += 1
        self._request("PRACK", self.target, now, extra=f"RAck: {fields['rseq'][0]} {number} INVITE\r\n")

    def _final_to_invite(
        self, status: int, number: int, branch: str, fields: dict[str, list[str]], to_tag: str, body: str, now: float
    ) -> None:
        self._reinviting = False
        if status >= 300:
            lines = self._invite_text.split("\r\n") if branch == self._invite_branch else self._old_invite
            self._send(self._ack_refusal(lines, fields["to"][0], number).encode())
            if not self._note(f"{status} INVITE", branch):
                return
            if status == 401 and branch == self._invite_branch and "\r\nAuthorization:" not in self._invite_text:
                self._old_invite = self._invite_text.split("\r\n")
                self.cseq += 1
                auth = self._proof(fields["www-authenticate"][0], "INVITE", self._dialled)
                self._request("INVITE", self._dialled, now, body=self._offer, extra=auth)
            return
        contact = re.search(r"<(sip:[^>]+)>$", fields["contact"][0])  # bare: nothing may stand behind the bracket
        assert contact, fields["contact"]
        self.target, self.peer_tag = contact.group(1), to_tag
        if self._note("200 INVITE", branch):
            self.in_call = True
            self.bodies.append(body)
        answer = "" if self._offer else self.sdp()
        kind = "Content-Type: application/sdp\r\n" if answer else ""
        via = f"SIP/2.0/{self.transport.upper()} {self.address[0]}:{self.address[1]}"
        self._send(
            (
                f"ACK {self.target} SIP/2.0\r\n"
                f"Via: {via};branch=z9hG4bKack{branch[7:]}\r\n"
                f"Max-Forwards: 70\r\nFrom: {self.local};tag={self.tag}\r\nTo: {self.remote};tag={to_tag}\r\n"
                f"Call-ID: {self.call_id}\r\nCSeq: {number} ACK\r\n{kind}Content-Length: {len(answer)}\r\n\r\n{answer}"
            ).encode()
        )

    def _ack_refusal(self, invite: list[str], to: str, number: int) -> str:
        kept = [line for line in invite[1:] if line.split(":")[0] in ("Via", "From", "Call-ID", "Max-Forwards")]
        first = invite[0].replace("INVITE", "ACK", 1)
        return "\r\n".join([first, *kept, f"To: {to}", f"CSeq: {number} ACK", "Content-Length: 0", "", ""])

    def _proof(self, challenge: str, method: str, uri: str) -> str:
        given = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        ha1 = hashlib.md5(f"{self.name}:{given['realm']}:{self.password}".encode()).hexdigest()
        ha2 = hashlib.md5(f"{method}:{uri}".encode()).hexdigest()
        cnonce = f"{self._rng.getrandbits(32):x}"
        answer = hashlib.md5(f"{ha1}:{given['nonce']}:00000001:{cnonce}:auth:{ha2}".encode()).hexdigest()
        return (
            f'Authorization: Digest username="{self.name}", realm="{given["realm"]}", nonce="{given["nonce"]}", '
            f'uri="{uri}", response="{answer}", algorithm=MD5, qop=auth, nc=00000001, cnonce="{cnonce}"\r\n'
        )

    def _note(self, what: str, branch: str) -> bool:
        """Log a fact once per transaction; True the first time."""
        key = (what, branch, self.call_id)
        if key in self._seen:
            return False
        self._seen.add(key)
        self.log.append(what)
        return True

    # --- requests of the server --------------------------------------------------------------------------------------
    def _hear_request(self, method: str, fields: dict[str, list[str]], body: str, now: float) -> None:
        branch = re.search(r"branch=([^;,\s]+)", fields["via"][0]).group(1)
        key = (branch, method)
        number = fields["cseq"][0].split()[0]
        if method == "ACK":
            self._repeated.pop(f"answer {fields['call-id'][0]} {number}", None)
            self._note("ACK", number)
            return
        if key in self._answers:
            self._send(self._answers[key])
            return
        self.log.append(method)
        if method == "INVITE":
            self.bodies.append(body)
            self._ring(fields, now)
        elif method == "CANCEL":
            self._respond(200, fields, key)
            if self._pickup_at is not None:
                text, self._pickup_at = self._pickup_at[1], None
                self._final(text.replace("SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated", 1), now)
        else:
            if method == "BYE":
                self.in_call = False
            if method == "NOTIFY":
                self.news.append(body.strip())
            if method == "PRACK":
                self._repeated.pop("180 " + fields["call-id"][0], None)
            self._respond(200, fields, key)

    def _text(self, status: int, fields: dict[str, list[str]], body: str = "") -> str:
        to = fields["to"][0] if "tag=" in fields["to"][0] else f"{fields['to'][0]};tag={self.tag}"
        text = f"SIP/2.0 {status} {'OK' if status == 200 else 'Whatever'}\r\n"
        text += "".join(f"Via: {via}\r\n" for via in fields["via"])
        text += "".join(f"Record-Route: {route}\r\n" for route in fields.get("record-route", []))
        text += f"From: {fields['from'][0]}\r\nTo: {to}\r\nCall-ID: {fields['call-id'][0]}\r\n"
        text += f"CSeq: {fields['cseq'][0]}\r\nContact: <sip:{self.name}@{self.address[0]}:{self.address[1]}>\r\n"
        method = fields["cseq"][0].split()[1]
        if method in ("INVITE", "UPDATE") and status == 200:
            text += self.says
            if self.timer and "session-expires" in fields:
                seconds, _, refresher = fields["session-expires"][0].partition(";refresher=")
                text += f"Session-Expires: {seconds};refresher={refresher or self.timer}\r\n"
        if method == "INVITE" and status == 180 and self.reliable:
            text += f"Require: 100rel\r\nRSeq: {self.rseq}\r\n"
        if body:
            text += "Content-Type: application/sdp\r\n"
        return text + f"Content-Length: {len(body)}\r\n\r\n{body}"

    def _respond(self, status: int, fields: dict[str, list[str]], key: tuple[str, str]) -> None:
        self._answers[key] = self._text(status, fields).encode()
        self._send(self._answers[key])

    def _ring(self, fields: dict[str, list[str]], now: float) -> None:
        key = (re.search(r"branch=([^;,\s]+)", fields["via"][0]).group(1), "INVITE")
        again = "tag=" in fields["to"][0]
        if again:
            ours_is_out = any(name.startswith("INVITE ") for name in self._repeated) or self._reinviting
            self._final(self._text(491 if ours_is_out else 200, fields, "" if ours_is_out else self.sdp()), now)
            return
        self.call_id = fields["call-id"][0]
        self.local = fields["to"][0]
        self.remote, self.peer_tag = fields["from"][0].split(";tag=")
        self.target = re.search(r"<(sip:[^>]+)>", fields["contact"][0]).group(1)
        if self.reliable:
            self.rseq = self._rng.randint(1, 1000)
            self._repeat("180 " + self.call_id, self._text(180, fields), now, invite=True)
            self._answers[key] = self._text(180, fields).encode()
        else:
            self._respond(180 if self.rings else 100, fields, key)
        if self.pickup is not None:
            body = self.sdp() if self.final_status == 200 else ""
            self._pickup_at = (now + self.pickup, self._text(self.final_status, fields, body))
        else:
            self._pickup_at = (now + 10_000.0, self._text(200, fields, self.sdp()))

    def _final(self, text: str, now: float) -> None:
        branch = re.search(r"branch=([^;,\s]+)", text).group(1)
        number = re.search(r"CSeq: (\d+)", text).group(1)
        self._answers[branch, "INVITE"] = text.encode()
        self._repeated.pop("180 " + re.search(r"Call-ID: (.*)", text).group(1).strip(), None)
        if text.startswith("SIP/2.0 200"):
            self.in_call = True
        self._repeat(f"answer {re.search(r'Call-ID: (.*)', text).group(1).strip()} {number}", text, now, invite=False)
