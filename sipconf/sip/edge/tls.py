"""The TLS of one connection: encrypted bytes in and out, plain bytes in and out (RFC 8446, RFC 5246). Owns no socket.

Apart from asyncio's own TLS because there a connection is told of only after its handshake: half a handshake could be
neither counted nor limited.
"""

import ssl

CHUNK = 1 << 16


class TlsFault(Exception):
    """The peer and we cannot speak TLS, or can no longer; what is left to say to it is in `take`."""


class TlsLayer:
    """ready: the handshake is done. ended: the peer said that nothing more comes (close_notify)."""

    def __init__(self, context: ssl.SSLContext, *, server_name: str | None = None, outgoing: bool) -> None:
        """server_name: outgoing, who the peer must prove to be (RFC 5922 section 7)."""
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._received, self._to_send, server_side=not outgoing, server_hostname=server_name if outgoing else None
        )
        self.ready = False
        self.ended = False

    @property
    def called(self) -> str | None:
        """The name of ours that a peer asked for (RFC 6066 section 3), where the certificate speaks for it."""
        return getattr(self._tls, "called", None)

    def start(self) -> None:
        """The first flight of a connection that we opened."""
        self._shake()

    def receive(self, data: bytes) -> bytes:
        """Takes encrypted bytes, returns plain ones. Raises TlsFault."""
        self._received.write(data)
        if not self.ready:
            self._shake()
        return self._read() if self.ready else b""

    def write(self, data: bytes) -> None:
        """Plain bytes to be sent; `take` has them encrypted. Only once ready. Raises TlsFault."""
        try:
            self._tls.write(data)
        except (ssl.SSLError, OSError) as error:
            raise TlsFault(_why(error)) from error

    def end(self) -> None:
        """Says that nothing more comes."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:  # its own close_notify is not waited for, and in mid-handshake there is none to send
            return

    def take(self) -> bytes:
        """Encrypted bytes to be sent."""
        return self._to_send.read()

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except (ssl.SSLError, ssl.CertificateError, OSError) as error:
            raise TlsFault(_why(error)) from error
        self.ready = True

    def _read(self) -> bytes:
        plain = bytearray()
        try:
            while piece := self._tls.read(CHUNK):
                plain += piece
            self.ended = True
        except ssl.SSLWantReadError:
            return bytes(plain)
        except (ssl.SSLError, OSError) as error:
            raise TlsFault(_why(error)) from error
        return bytes(plain)


def client_context() -> ssl.SSLContext:
    """For connections that we open: the peer proves its name to the authorities that this machine trusts."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not hold: {error.verify_message}"
    reason = getattr(error, "reason", None) or str(error)
    return reason.lower().replace("_", " ")
