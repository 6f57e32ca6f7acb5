"""The UDP socket that a worker shares with the front: all browsers of that worker speak to it (RFC 7983).

The front opens it and keeps it for the worker's successors; the worker inherits it and reads it, the front only sends.
Not here: who is spoken to, and about what.
"""

import asyncio
import errno
import socket

from sipconf.errors import StartError
from sipconf.media.protocol import Address
from sipconf.rtp.edge.binding import bind_shared, enlarge_buffer

BIND_PATIENCE, BIND_SPACING = 2.0, 0.1
"""Seconds that a port may still be held, by a worker that has just outlived its front, and between two tries."""


async def open_shared(port: int) -> socket.socket:
    """Bind the port on every address of this machine, IPv6 with IPv4 where there is both. Raises StartError."""
    loop = asyncio.get_running_loop()
    until = loop.time() + BIND_PATIENCE
    while True:
        try:
            shared = bind_shared(port)
            enlarge_buffer(shared)
            return shared
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise StartError(f"UDP port {port}, which all browsers share, cannot be opened: "
                                 f"{error.strerror}; check [rtp] ports") from error
            if loop.time() >= until:
                raise StartError(f"UDP port {port}, which all browsers share, is in use; end the program that has it "
                                 f"(ss -ulpn 'sport = {port}' names it) or choose other [rtp] ports") from error
        await asyncio.sleep(BIND_SPACING)


def send_to(shared: socket.socket, address: Address, datagram: bytes) -> bool:
    """Send one datagram; False where the kernel does not take it now."""
    host, port = address
    if shared.family == socket.AF_INET6 and ":" not in host:
        host = f"::ffff:{host}"  # RFC 4291 section 2.5.5.2
    try:
        shared.sendto(datagram, (host, port))
    except OSError:
        return False
    return True
