"""The commented configuration: the shipped example, and what `sipconf init` writes with secrets of its own.

`config/conferences.toml` is `example()` to the letter.
"""

import os
import secrets
import socket
import string
from pathlib import Path

from sipconf.config_values import is_host
from sipconf.errors import SipconfError

_COMMENT_COLUMN = 47  # where the remarks behind values begin


class InitError(SipconfError):
    """The file cannot be written."""


def example() -> str:
    """The shipped example. Its passwords are in `config.EXAMPLE_SECRETS`."""
    return _text(
        _EXAMPLE_HEAD,
        domain="localhost",
        admin_password="change-me",
        password_101="s3cret-101",
        password_102="s3cret-102",
        password_103="s3cret-103",
        code_2001="4321",
        administrator_code_2001="9876",
        code_2003="7531",
    )


def fresh() -> str:
    """The same with secrets that nobody else has."""
    host = socket.gethostname()
    return _text(
        _FRESH_HEAD,
        domain=host if is_host(host) else "localhost",
        admin_password=secrets.token_urlsafe(18),
        password_101=secrets.token_urlsafe(12),
        password_102=secrets.token_urlsafe(12),
        password_103=secrets.token_urlsafe(12),
        code_2001=_code(6),
        administrator_code_2001=_code(8),
        code_2003=_code(6),
    )


def write_new(file: Path) -> None:
    """Write a fresh configuration that only its owner can read. InitError when the file is there already."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InitError(f"{file}: is there already and was left alone; name another file, or move it") from None
    except OSError as error:
        raise InitError(f"{file}: cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(fresh())


def _code(digits: int) -> str:
    return "".join(secrets.choice(string.digits) for _ in range(digits))


def _text(head: str, **values: str) -> str:
    lines = []
    for line in (head + _BODY).splitlines():
        key, separator, rest = line.partition("$")
        if separator:
            name, _, remark = rest.partition(" ")
            line = f'{key}"{values[name]}"'
            if remark.strip():
                line = f"{line:<{_COMMENT_COLUMN - 1}} {remark.strip()}"
        lines.append(line)
    return "\n".join(lines) + "\n"


_EXAMPLE_HEAD = """\
# sipconf: the configuration. Edit and save; within two seconds it is in use, and no running call is touched.
# `sipconf check FILE` tells whether a file is in order. Relative paths are relative to this file.
#
# This example works as it is, on this machine: register a softphone as 101 or 102 at 127.0.0.1 and dial 2001.
# Its passwords are public and therefore work from this machine (loopback) only:
# `sipconf init FILE` writes a file with secrets of its own.
"""

_FRESH_HEAD = """\
# sipconf: the configuration. Edit and save; within two seconds it is in use, and no running call is touched.
# `sipconf check FILE` tells whether a file is in order. Relative paths are relative to this file.
#
# The passwords and codes below were made for this file alone. Keep it to yourself.
"""

# $name stands for a value; what follows it is a remark.
_BODY = """\

[sip]
domain = $domain # the realm and the host part of addresses, e.g. "conf.example.com"
listen = ["udp://0.0.0.0:5060", "tcp://0.0.0.0:5060"]   # "tls://0.0.0.0:5061" as well, once [tls] is filled in
# advertise = "203.0.113.5"                    # the public address, for peers outside local_networks
# local_networks = ["192.168.0.0/16"]          # default: the private networks of this machine's interfaces
# digest = ["MD5"]                             # challenges offered, in this order; many telephones know one
# drop_unknown = true                          # strangers who do not address our domain get no answer; default false
# session_expires = 1800                       # seconds after which a call's telephone is asked whether it still lives
# encryption = "required"                      # refuse calls that are not SRTP (over TLS) or WebRTC; default "optional"

[rtp]
ports = "10000-19999"                          # one port, "10000": everything on one UDP port
# silence_timeout = 60                         # seconds without any sound packet until a call is ended; 0: never
# max_delay_ms = 200                           # what jitter buffers may add on a bad line (a good one: 10); 40 to 1000
# codecs = ["opus", "G722", "PCMU", "PCMA"]    # the first that a telephone has too is spoken, whatever it would prefer

# [media]
# workers = 1                                  # processes that mix, rooms placed by load; default: one per core but one
# priority = "nice"                            # or "realtime", "normal": their rank, as far as the system permits
# shared_sockets = true                        # two for all calls where the system permits: a fifth less processor time

# [opus]                                       # the sound that browsers and good telephones are sent
# bit_rate = 32000                             # bit/s for each, at most; 6000 to 510000
# complexity = 5                               # 0 to 10: better sound for more processor time
# forward_error_correction = true              # telephones that lose packets are told each twice
# dtx = false                                  # true: silence is not sent

[http]
listen = "127.0.0.1:8080"                      # join page /, API /api, /healthz, /metrics
# tls_listen = "0.0.0.0:8443"                  # the same over TLS; SIP over WebSocket is on both (wss://HOST:8443/ws)
admin_password = $admin_password # the API's bearer token; left out: one is made and printed at start
# trusted_proxies = ["127.0.0.1"]              # reverse proxies: they are believed where a request came from
# origins = ["https://odoo.example.com"]       # from where browsers may connect; default: anywhere

# [tls]
# certificate = "fullchain.pem"
# key = "privkey.pem"

# --- people: each registers a telephone with extension and password -----------------------------------------

[[users]]
extension = "101"
name = "Alice Martin"
password = $password_101

[[users]]
extension = "102"
name = "Bob Peeters"
password = $password_102

[[users]]
extension = "103"
name = "Chloe Dubois"
password = $password_103

# --- conferences: dial the extension, key the access code and # ---------------------------------------------

[[conferences]]
name = "Weekly stand-up"
extension = "2001"                             # 3 to 5 digits are easy to dial
access_code = $code_2001 # optional: without one nobody is asked
administrator = "101"                          # optional: the extension of the person in charge
administrator_code = $administrator_code_2001 # optional: keyed instead of the access code by the one in charge
# wait_for_administrator = true                # music until the administrator arrives; default false
# when_administrator_leaves = "continue"       # or "wait" (music again), or "end" (everyone is sent home)
# max_participants = 50
# tones = true                                 # a soft tone when somebody joins or leaves
# announce_alone = true                        # "You are the only person in this conference."
# level_matching = true                        # quiet and loud voices are made equally loud
# guards = true                                # a line that plays hold music or an echo into the room is muted
# encryption = "required"                      # refuse calls to it that are not SRTP (over TLS) or WebRTC
# guests = true                                # who has the link may come by web page; default: where there is a code

[[conferences]]
name = "Open room"                             # no code: whoever dials it is in
extension = "2002"

[[conferences]]
name = "Board meeting"
extension = "2003"
access_code = $code_2003
administrator = "102"
wait_for_administrator = true
when_administrator_leaves = "end"

# --- telephone numbers that lead to a conference, and the provider that brings their calls ------------------

[[incoming_numbers]]
number = "+3225551234"                         # 003225551234 and 3225551234 are the same number
destination = "conference"
conference = "2001"

# [[trunks]]
# name = "provider"
# host = "sip.provider.example:5060"           # a request from this host is the trunk's
# addresses = ["198.51.100.7"]                 # more addresses that its calls come from
# username = "account"                         # this, password, register and allow: for calls out, not served yet
# password = "..."
# register = false
# peer = false                                 # true: the company's own PBX, which may dial extensions directly
# allow = ["+32*"]                             # number patterns that may be called out through it; none by default

# --- the rest, with its defaults ----------------------------------------------------------------------------

# [prompts]
# directory = "prompts"                        # your own WAV files replace ours of the same name

# [log]
# level = "info"                               # "debug", "info", "warning" or "error"
# format = "text"                              # or "json"

# [store]
# path = "sipconf.sqlite3"                     # registered telephones and call records

# [recordings]                                 # not made yet
# directory = "recordings"

# [limits]
# max_calls = 5000                             # of them at most 80 % by visitors of the join page
# max_connections = 4096                       # of SIP over TCP, TLS and WebSockets, those of peers
# max_connections_per_source = 512             # raise it where more telephones than that share one address
"""
