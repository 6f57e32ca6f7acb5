"""Legs on the shared port: reached by their credentials, aimed at their checked pair, silent until there are keys.

Not here: the checks (rtp.ice), the DTLS handshake (the front process), the cipher (rtp.srtp) and legs on ports of their
own (changes).
"""

from collections.abc import Callable

from sipconf.media import protocol
from sipconf.media.legs import Leg, Legs
from sipconf.media.protocol import ConnectLeg, Event, IceCredentials, SrtpKeys
from sipconf.media.transport import Transport

CONSENT_TICKS = 50
"""Consent is looked after every so many ticks: it lasts half a minute."""


class CheckedLegs:
    """direct: what lets a leg's packets go out once it may send, or stops them."""

    def __init__(self, transport: Transport, legs: Legs, direct: Callable[[Leg], None]) -> None:
        self._transport, self._legs, self._direct = transport, legs, direct
        self._slots: set[int] = set()
        self._ticks = 0

    def __len__(self) -> int:
        return len(self._slots)

    def open(self, leg: Leg, ice: IceCredentials, now: float) -> int:
        """Answer a leg's checks; the shared port. Raises SipconfError where there is none."""
        port = self._transport.open_checked(leg.slot, ice.ufrag, ice.password, now)
        self._slots.add(leg.slot)
        return port

    def connect(self, leg: Leg, terms: ConnectLeg, now: float) -> bool:
        """Settle where a leg lives; whether it can live there."""
        if terms.webrtc is not None:
            if leg.slot not in self._slots:
                return False
            ice = terms.webrtc.ice
            leg.own_ports = False
            self._transport.choose(leg.slot, ice.ufrag, ice.password, terms.webrtc.remote_ufrag, now)
            return True
        if leg.slot in self._slots:
            self.close(leg)
            self._transport.leave_shared(leg.slot)
        return leg.own_ports

    def secure(self, leg: Leg, keys: SrtpKeys) -> None:
        """Encrypt a leg from now on. Raises SipconfError for keys that cannot be used."""
        self._transport.secure(leg.slot, keys.profile, keys.rx, keys.tx)
        leg.keyed = True

    def close(self, leg: Leg) -> None:
        """The leg is here no longer."""
        self._slots.discard(leg.slot)

    def hear(self, now: float) -> list[Event]:
        """Every tick: new pairs, handshakes, and whose consent has ended."""
        events: list[Event] = []
        if self._ticks % CONSENT_TICKS == 0:
            for slot in self._transport.take_lost(now):
                leg = self._legs.at(slot)
                if leg is not None:
                    leg.pair = None
                    self._direct(leg)
                    self._legs.should_send[slot] = False
                    if not self._legs.reported_silent[slot]:
                        events.append(protocol.LegSilent(leg.number))
        self._ticks += 1
        for slot, address in self._transport.take_pairs():
            leg = self._legs.at(slot)
            if leg is not None:
                leg.pair = address
                self._direct(leg)
                if leg.should_send and not self._legs.should_send[slot]:  # it is back, and may take a moment to speak
                    self._legs.should_send[slot] = self._legs.reported_silent[slot] = True
                events.append(protocol.PairChosen(leg.number, address))
        for slot, data in self._transport.take_handshakes():
            leg = self._legs.at(slot)
            if leg is not None:
                events.append(protocol.DtlsReceived(leg.number, data))
        return events
