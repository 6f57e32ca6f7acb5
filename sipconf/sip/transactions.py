"""All transactions at once: whose a message is (RFC 3261 sections 17.1.3 and 17.2.3), their timers, their limit.

Owners are whoever is told about a transaction (a session, a registration); this floor never looks into them.
"""

from collections.abc import Hashable
from dataclasses import dataclass

from sipconf.sip import client_tx, server_tx
from sipconf.sip.caps import Cap, Held, Holder
from sipconf.sip.client_tx import ClientTransaction, Heard, NoAnswer, NoPath
from sipconf.sip.detour import PATIENCE, Datagram, LargeRequests, response_again
from sipconf.sip.events import Send
from sipconf.sip.flow import Flow
from sipconf.sip.message import Request, Response
from sipconf.sip.return_path import with_top_via
from sipconf.sip.server_tx import AckHeard, PathLost, ServerTransaction
from sipconf.sip.timers import Deadlines, Timers

Key = tuple[Hashable, ...]
Fact = Heard | NoAnswer | NoPath | AckHeard | PathLost
ANYBODY = Holder("")


@dataclass(frozen=True, slots=True)
class Told:
    """A fact about the transaction key, for its owner (None: nobody asked)."""

    owner: object
    key: Key
    fact: Fact


Output = Send | Told


class Transactions:
    """Client and server transactions by key. cap: of server transactions, by whom they serve."""

    def __init__(self, timers: Timers, cap: Cap) -> None:
        self._timers = timers
        self._held = Held(cap, "Too Many Requests In Progress", "transactions_full")
        self._servers: dict[Key, ServerTransaction] = {}
        self._clients: dict[Key, ClientTransaction] = {}
        self._owners: dict[Key, object] = {}
        self._merging: dict[Key, Key] = {}
        self._large = LargeRequests()
        self._datagrams: dict[Key, Datagram] = {}
        self._abandoned: set[Key] = set()
        self._deadlines: Deadlines[Key] = Deadlines()
        self._outputs: list[Output] = []

    def __len__(self) -> int:
        return len(self._servers) + len(self._clients)

    # --- requests from peers ---------------------------------------------------------------------------------------
    def absorb(self, request: Request, now: float) -> bool:
        """True where an existing transaction took the request: a retransmission, or an ACK of its own."""
        key = server_key(request)
        transaction = self._servers.get(key)
        if transaction is None:
            return False
        transaction.receive(request, now)
        self._settle_server(key, transaction)
        return True

    def is_merged(self, request: Request) -> bool:
        """True for a request that reached us twice by different ways (RFC 3261 section 8.2.2.2)."""
        key = self._merging.get(merge_key(request))
        return key is not None and key != server_key(request)

    def is_looped(self, request: Request) -> bool:
        """True for a request of our own that found its way back to us: its Vias name our transaction."""
        return any((via.branch, request.method) in self._clients for via in request.vias[1:])

    def invited_by(self, cancel: Request) -> Key | None:
        """The INVITE transaction that a CANCEL speaks of (RFC 3261 section 9.2)."""
        key = server_key(cancel)
        return key if key in self._servers else None

    def open_server(self, request: Request, flow: Flow, owner: object, holder: Holder = ANYBODY) -> Key:
        """A new server transaction. flow: the return path; holder: whose. Raises TooMuch (503)."""
        self._held.check(holder)
        key = server_key(request)
        self._held.take(key, holder)
        self._servers[key] = ServerTransaction(request, flow, self._timers)
        self._owners[key] = owner
        if request.to.tag is None:
            self._merging[merge_key(request)] = key
        return key

    def respond(self, key: Key, response: Response, now: float) -> None:
        """Send a response; where the transaction died with its flow there is nobody left to answer."""
        transaction = self._servers.get(key)
        if transaction is not None:
            transaction.respond(response.status, response.encode(), now)
            self._settle_server(key, transaction)

    def owner_of(self, key: Key) -> object:
        """Who opened the transaction, or None."""
        return self._owners.get(key)

    # --- our requests ----------------------------------------------------------------------------------------------
    def send_request(self, request: Request, flow: Flow, owner: object, now: float) -> Key:
        """A new client transaction; the topmost Via holds its branch."""
        key: Key = (request.via.branch, request.method)
        if request.method == "CANCEL":
            request, flow = self._way_of_invite(request, flow)
        elif (large := self._large.by_tcp(request, flow, now)) is not None:
            self._datagrams[key] = Datagram(request, flow, now + PATIENCE)
            request, flow = large
        transaction = ClientTransaction(request, flow, self._timers, now)
        self._clients[key] = transaction
        self._owners[key] = owner
        self._settle_client(key, transaction)
        return key

    def _way_of_invite(self, cancel: Request, flow: Flow) -> tuple[Request, Flow]:
        """A CANCEL takes its INVITE's way (RFC 3261 section 9.1), and has its Via."""
        invite = self._clients.get((cancel.via.branch, "INVITE"))
        if invite is None or invite.flow == flow:
            return cancel, flow
        return with_top_via(cancel, str(invite.request.via)), invite.flow

    def _send_datagram(self, key: Key, now: float) -> None:
        """TCP leads nowhere: the request goes by UDP after all (RFC 3261 section 18.1.1)."""
        datagram = self._datagrams.pop(key)
        self._large.refused(datagram.flow.remote, now)
        self._clients[key] = ClientTransaction(datagram.request, datagram.flow, self._timers, now)
        self._settle_client(key, self._clients[key])

    def receive_response(self, response: Response, now: float) -> bool:
        """False for a response that belongs to nobody."""
        if len(response.vias) != 1:  # RFC 3261 section 8.1.3.3: it was meant for somebody else
            return False
        key: Key = (response.via.branch, response.cseq.method)
        transaction = self._clients.get(key)
        if transaction is None or transaction.request.cseq.number != response.cseq.number:
            return False
        transaction.receive(response, now)
        self._settle_client(key, transaction)
        return True

    def sent_by(self, response: Response) -> Flow | None:
        """The flow of the request that a response answers; None for nobody's."""
        transaction = self._clients.get((response.via.branch, response.cseq.method))
        return None if transaction is None else transaction.flow

    def abandon(self, key: Key) -> None:
        """Forget a client transaction as soon as no timer would end it (an INVITE in Proceeding, or one that gets there
        by a late 1xx); any other goes its way."""
        transaction = self._clients.get(key)
        if transaction is not None:
            self._abandoned.add(key)
            self._settle_client(key, transaction)

    # --- time and transport ----------------------------------------------------------------------------------------
    def flow_failed(self, flow: Flow, now: float) -> None:
        """Nothing more can be sent by this flow."""
        for key, client in [item for item in self._clients.items() if item[1].flow == flow]:
            if key in self._datagrams:
                self._send_datagram(key, now)
                continue
            client.transport_failed(now)
            self._settle_client(key, client)
        for key, server in [item for item in self._servers.items() if item[1].flow == flow]:
            if (again := response_again(server.request, flow)) is not None:
                server.reroute(again)
            else:
                server.transport_failed(now)
            self._settle_server(key, server)

    def handle_timer(self, now: float) -> None:
        """Fire what is due."""
        for key in self._deadlines.pop_due(now):
            if key in self._datagrams and self._datagrams[key].due <= now:
                self._send_datagram(key, now)
            elif (client := self._clients.get(key)) is not None:
                client.handle_timer(now)
                self._settle_client(key, client)
            elif (server := self._servers.get(key)) is not None:
                server.handle_timer(now)
                self._settle_server(key, server)

    def next_timer(self) -> float | None:
        """The earliest deadline of all."""
        return self._deadlines.next()

    def take_outputs(self) -> list[Output]:
        """Bytes and facts, in order."""
        taken, self._outputs = self._outputs, []
        return taken

    def _settle_client(self, key: Key, transaction: ClientTransaction) -> None:
        self._collect(key, transaction.take_outputs())
        if transaction.state not in client_tx.UNANSWERED:
            self._datagrams.pop(key, None)
        waiting = (transaction.next_timer(), self._datagrams[key].due if key in self._datagrams else None)
        due = min((when for when in waiting if when is not None), default=None)
        self._deadlines.set(key, due)
        if transaction.state is client_tx.State.TERMINATED or (key in self._abandoned and due is None):
            del self._clients[key]
            self._abandoned.discard(key)
            self._forget(key)

    def _settle_server(self, key: Key, transaction: ServerTransaction) -> None:
        self._collect(key, transaction.take_outputs())
        self._deadlines.set(key, transaction.next_timer())
        if transaction.state is server_tx.State.TERMINATED:
            del self._servers[key]
            self._held.give_back(key)
            merging = merge_key(transaction.request)
            if self._merging.get(merging) == key:
                del self._merging[merging]
            self._forget(key)

    def _collect(self, key: Key, outputs: list[client_tx.Output] | list[server_tx.Output]) -> None:
        owner = self._owners.get(key)
        self._outputs += [out if isinstance(out, Send) else Told(owner, key, out) for out in outputs]

    def _forget(self, key: Key) -> None:
        self._owners.pop(key, None)
        self._deadlines.set(key, None)


def server_key(request: Request) -> Key:
    """What names a server transaction. RFC 3261 section 17.2.3 asks for branch, sent-by and method; Call-ID, CSeq and
    From tag with them serve RFC 2543 peers without a branch and telephones that use one branch for two INVITEs.
    ACK and CANCEL of an INVITE have its key, CANCEL's own answer being stateless."""
    method = "INVITE" if request.method in ("ACK", "CANCEL") else request.method
    via = request.via
    return (via.branch, via.host.lower(), via.port, method, request.cseq.number, request.call_id, request.from_.tag)


def merge_key(request: Request) -> Key:
    """What two copies of one request share whatever way they came (RFC 3261 section 8.2.2.2)."""
    return (request.call_id, request.from_.tag, request.cseq.number, request.cseq.method)
