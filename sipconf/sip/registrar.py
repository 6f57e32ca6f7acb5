"""Where each extension can be reached: the bindings of RFC 3261 section 10.3, several per extension.

A phone is called on the flow that its REGISTER came by, whatever its Contact says (RFC 3581, RFC 5626: NAT). Who may
register is proven before (digest); where the bindings are kept on disk is the store's.
"""

import heapq
import ipaddress
import random
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from sipconf.errors import PeerError
from sipconf.sip.events import RegistrationChanged
from sipconf.sip.flow import Address, Flow
from sipconf.sip.message import Request, Response
from sipconf.sip.register_path import path_headers, path_of
from sipconf.sip.tokens import split_list
from sipconf.sip.uri import NameAddr, SipUri, same_address
from sipconf.store import StoredBinding

# How long a message may stay under way (T4 of RFC 3261 section 17.1.2.2). A CSeq that falls back within this time is a
# straggler; later it is a phone that started again with the Call-ID of its last life, as pyVoIP does.
STRAGGLER_TIME = 5.0
TCP_PORT = 5060


@dataclass(frozen=True, slots=True)
class RegistrarSettings:
    """Seconds, and contacts per extension."""

    min_expires: int = 60
    default_expires: int = 3600
    max_expires: int = 7200
    max_bindings: int = 10


@dataclass(frozen=True, slots=True)
class Binding:
    """One contact of an extension. expires_at, updated_at: monotonic; uri_text: its URI as the client wrote it;
    path: Route values of requests to it (RFC 3327)."""

    contact: NameAddr
    flow: Flow
    expires_at: float
    call_id: str
    cseq: int
    user_agent: str
    uri_text: str
    updated_at: float
    path: tuple[str, ...] = ()

    @property
    def preference(self) -> float:
        """The q-value, 1.0 where none was given (section 20.10)."""
        text = self.contact.param("q")
        return float(text) if text is not None and re.fullmatch(r"[01](\.[0-9]{0,3})?", text) else 1.0

    def header_value(self) -> str:
        """The contact as a header value, without `expires`."""
        parameters = "".join(
            f";{name}" if value is None else f";{name}={value}"
            for name, value in self.contact.params
            if name.lower() != "expires"
        )
        return f"<{self.uri_text}>{parameters}"


class BindingStore(Protocol):
    """Where bindings outlive a restart."""

    def load(self) -> Sequence[StoredBinding]: ...
    def save(self, extension: str, bindings: Sequence[StoredBinding]) -> None: ...


class NoBindings:
    """A store that remembers nothing: for an agent that is nobody's registrar."""

    def load(self) -> Sequence[StoredBinding]:
        return ()

    def save(self, extension: str, bindings: Sequence[StoredBinding]) -> None:
        return None


class Registrar:
    """The bindings of every extension, changed by REGISTER requests that have proven whose they are."""

    def __init__(self, store: BindingStore, settings: RegistrarSettings, rng: random.Random) -> None:
        self._store = store
        self._settings = settings
        self._rng = rng
        self._bindings: dict[str, list[Binding]] = {}
        self._on_connection: dict[tuple[str, int], set[str]] = {}  # extensions that a stream connection serves
        self._expiries: list[tuple[float, str]] = []  # a heap; entries of refreshed bindings are dropped when due
        self._outputs: list[RegistrationChanged] = []
        for stored in store.load():
            self._restore(stored)

    def register(self, request: Request, extension: str, flow: Flow, now: float) -> Response:
        """Answers a REGISTER of the user who proved to be this extension. Nothing changes unless the answer is 200."""
        self.handle_timer(now)
        try:
            if request.to.uri.user != extension:
                raise PeerError("You may register your own extension only", status=403, metric="register_foreign")
            further = path_headers(request, flow)
            if request.contact_star:
                self._remove_all(request, extension, now)
            elif request.contacts:
                self._commit(extension, self._updated(request, extension, flow, now), now)
        except PeerError as error:
            response = request.response(error.status, error.reason, to_tag=self._new_tag())
            if error.status == 423:
                response.headers.add("Min-Expires", str(self._settings.min_expires))
            return response
        response = request.response(200, to_tag=self._new_tag())
        for name, value in further:
            response.headers.add(name, value)
        for binding in self.bindings(extension, now):
            remaining = max(1, round(binding.expires_at - now))
            response.headers.add("Contact", f"{binding.header_value()};expires={remaining}")
        return response

    def bindings(self, extension: str, now: float) -> list[Binding]:
        """The extension's living bindings, the preferred and then the most recent first."""
        alive = [binding for binding in self._bindings.get(extension, ()) if binding.expires_at > now]
        return sorted(alive, key=lambda binding: (-binding.preference, -binding.updated_at))

    def homes(self) -> list[tuple[str, Address]]:
        """Every extension and address that a binding's REGISTER came from; a stream has yet to be opened again."""
        return [(extension, binding.flow.remote) for extension, bindings in self._bindings.items()
                for binding in bindings if not binding.flow.reliable]

    def uses(self, flow: Flow) -> bool:
        """Does a binding live on this stream connection?"""
        return flow.connection is not None and (flow.transport, flow.connection) in self._on_connection

    def forget_flow(self, flow: Flow, now: float) -> None:
        """The stream connection is gone, and with it every binding that could be reached by it only."""
        if flow.connection is None:
            return
        key = (flow.transport, flow.connection)
        for extension in sorted(self._on_connection.get(key, ())):
            kept = [b for b in self._bindings[extension] if (b.flow.transport, b.flow.connection) != key]
            self._commit(extension, kept, now)

    def keep_only(self, extensions: Collection[str], now: float) -> None:
        """Nobody else is a user any more: their telephones are forgotten, not rung until they expire."""
        for extension in sorted(self._bindings.keys() - set(extensions)):
            self._commit(extension, [], now)

    def handle_timer(self, now: float) -> None:
        """Drops what has expired."""
        while self._expiries and self._expiries[0][0] <= now:
            _, extension = heapq.heappop(self._expiries)
            current = self._bindings.get(extension, [])
            kept = [binding for binding in current if binding.expires_at > now]
            if len(kept) != len(current):
                self._commit(extension, kept, now)

    def next_timer(self) -> float | None:
        return self._expiries[0][0] if self._expiries else None

    def take_outputs(self) -> list[RegistrationChanged]:
        outputs, self._outputs = self._outputs, []
        return outputs

    def _remove_all(self, request: Request, extension: str, now: float) -> None:
        """`Contact: *`, allowed with `Expires: 0` and no other contact only (section 10.3, step 6)."""
        if request.contacts or (request.headers.get("Expires") or "").strip() != "0":
            raise PeerError("Contact: * needs Expires: 0 and stands alone", metric="register_malformed")
        for binding in self._bindings.get(extension, ()):
            _refuse_straggler(binding, request, now)
        self._commit(extension, [], now)

    def _updated(self, request: Request, extension: str, flow: Flow, now: float) -> list[Binding]:
        """The extension's bindings as this request wants them (section 10.3, step 7)."""
        bindings = list(self._bindings.get(extension, ()))
        fields = [value for value in request.headers.get_fields("Contact") if value]
        raw_values = [element for value in fields for element in split_list(value)]
        path = path_of(request)
        for contact, raw in zip(request.contacts, raw_values, strict=True):
            if contact.uri.scheme not in ("sip", "sips"):
                raise PeerError("A contact has to be a sip address", metric="register_malformed")
            expires = self._expires(request, contact)
            known = next((b for b in bindings if same_address(b.contact.uri, contact.uri)), None)
            if known is not None:
                _refuse_straggler(known, request, now)
                bindings.remove(known)
            if expires == 0:
                continue
            new = Binding(
                contact=contact,
                flow=flow,
                expires_at=now + expires,
                call_id=request.call_id,
                cseq=request.cseq.number,
                user_agent=request.headers.get("User-Agent", ""),
                uri_text=_uri_text(raw),
                updated_at=now,
                path=path,
            )
            bindings = [b for b in bindings if not _same_device(b, new)]
            self._make_room(bindings, new)
            bindings.append(new)
        return bindings

    def _expires(self, request: Request, contact: NameAddr) -> int:
        """Seconds that the contact wants to live, as far as we grant them: its own parameter, else the header."""
        text = contact.param("expires")
        if text is None:
            text = request.headers.get("Expires")
        # Section 10.2.1.1: what cannot be read counts as the default
        readable = text is not None and re.fullmatch(r"[0-9]{1,10}", text.strip()) is not None
        wanted = int(text) if readable else self._settings.default_expires
        if 0 < wanted < self._settings.min_expires:
            raise PeerError("Interval Too Brief", status=423, metric="register_too_brief")
        return min(wanted, self._settings.max_expires)

    def _make_room(self, bindings: list[Binding], new: Binding) -> None:
        """Refuses a contact too many, unless an older one of the same address can go: a phone that started again."""
        if len(bindings) < self._settings.max_bindings:
            return
        same = [b for b in bindings if b.flow.remote[0] == new.flow.remote[0] and b.call_id != new.call_id]
        if not same:
            raise PeerError("Too many telephones are registered on this extension", status=403, metric="register_full")
        bindings.remove(min(same, key=lambda binding: binding.updated_at))

    def _commit(self, extension: str, bindings: list[Binding], now: float) -> None:
        before = self._bindings.get(extension, [])
        self._index(extension, before, bindings)
        if bindings:
            self._bindings[extension] = bindings
        else:
            self._bindings.pop(extension, None)
        for binding in bindings:
            if binding.updated_at == now:
                heapq.heappush(self._expiries, (binding.expires_at, extension))
        self._compact_expiries()
        self._store.save(extension, [_to_stored(extension, binding) for binding in bindings])
        if len(before) != len(bindings):
            self._outputs.append(RegistrationChanged(extension, len(bindings)))

    def _index(self, extension: str, before: Sequence[Binding], after: Sequence[Binding]) -> None:
        old = {(b.flow.transport, b.flow.connection) for b in before if b.flow.connection is not None}
        new = {(b.flow.transport, b.flow.connection) for b in after if b.flow.connection is not None}
        for key in old - new:
            self._on_connection[key].discard(extension)
            if not self._on_connection[key]:
                del self._on_connection[key]
        for key in new - old:
            self._on_connection.setdefault(key, set()).add(extension)

    def _compact_expiries(self) -> None:
        """A phone that refreshes every second must not fill the heap with its past."""
        if len(self._expiries) > 64 + 4 * sum(map(len, self._bindings.values())):
            self._expiries = [(b.expires_at, ext) for ext, bindings in self._bindings.items() for b in bindings]
            heapq.heapify(self._expiries)

    def _restore(self, stored: StoredBinding) -> None:
        """Takes a binding from the last run. A stream has to be opened anew, to the address in its Contact or
        of the first proxy on the way."""
        contact = NameAddr.parse(stored.contact)
        remote = stored.remote
        if stored.transport != "udp":
            first_hop = NameAddr.parse(stored.path[0]).uri if stored.path else contact.uri
            reachable = _literal_address(first_hop, stored.transport)
            if reachable is None:
                return
            remote = reachable
        binding = Binding(
            contact=contact,
            flow=Flow(stored.transport, remote, stored.local, None),
            expires_at=stored.expires_at,
            call_id=stored.call_id,
            cseq=stored.cseq,
            user_agent=stored.user_agent,
            uri_text=_uri_text(stored.contact),
            # Long ago, so that a phone that restarted together with us is not taken for a straggler
            updated_at=-STRAGGLER_TIME,
            path=stored.path,
        )
        self._bindings.setdefault(stored.extension, []).append(binding)
        heapq.heappush(self._expiries, (stored.expires_at, stored.extension))

    def _new_tag(self) -> str:
        return f"{self._rng.getrandbits(64):016x}"


def _same_device(old: Binding, new: Binding) -> bool:
    """Is this the same phone's former contact (RFC 5626 section 6: same instance, same reg-id)?"""
    instance = new.contact.param("+sip.instance")
    if instance is None:
        return False
    return old.contact.param("+sip.instance") == instance and old.contact.param("reg-id") == new.contact.param("reg-id")


def _refuse_straggler(binding: Binding, request: Request, now: float) -> None:
    """Section 10.3: the same Call-ID with a CSeq that is not higher came late and changes nothing."""
    is_older = binding.call_id == request.call_id and request.cseq.number <= binding.cseq
    if is_older and now - binding.updated_at < STRAGGLER_TIME:
        raise PeerError("Older than what is registered", status=500, metric="register_out_of_order")


def _uri_text(contact: str) -> str:
    """The URI inside a Contact value exactly as it was written: SIP.js looks for its own in the answer."""
    match = re.match(r'[ \t]*(?:"(?:[^"\\]++|\\.)*+"[ \t]*|[^<"]*+)<([^>]*)>', contact, re.DOTALL)
    return match[1].strip() if match else contact.partition(";")[0].strip()


def _literal_address(uri: SipUri, transport: str) -> tuple[str, int] | None:
    """The address in a URI; None for a host name and for transports that only a client can open. Over TLS a telephone
    would have to prove its address, for which none has a certificate."""
    if transport != "tcp":
        return None
    try:
        ipaddress.ip_address(uri.host)
    except ValueError:
        return None
    return uri.host, uri.port or TCP_PORT


def _to_stored(extension: str, binding: Binding) -> StoredBinding:
    return StoredBinding(
        extension=extension,
        contact=binding.header_value(),
        transport=binding.flow.transport,
        remote=binding.flow.remote,
        local=binding.flow.local,
        expires_at=binding.expires_at,
        call_id=binding.call_id,
        cseq=binding.cseq,
        user_agent=binding.user_agent,
        path=binding.path,
    )
