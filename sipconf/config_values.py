"""The small notations inside the configuration file: listen URLs, host:port, port ranges, telephone numbers.

Each function returns the parts, or the value as it is kept, or raises ValueError saying what is wrong and what would
be right.
"""

import difflib
import ipaddress
import re

SIP_TRANSPORTS = ("udp", "tcp", "tls")
DEFAULT_LISTEN = ("udp://0.0.0.0:5060", "tcp://0.0.0.0:5060")
DEFAULT_PORTS = "10000-19999"
CODECS = ("opus", "G722", "PCMU", "PCMA")
"""Names as the standards spell them, in the order in which they are preferred unless the file has another."""

LEAST_SESSION_EXPIRES = 90  # seconds, the floor of RFC 4028 section 4
MAX_CODE_DIGITS = 32  # an access code is keyed on a telephone
MAX_EXTENSION_DIGITS = 15

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*\.?")
_NUMBER_FILL = re.compile(r"[ ().\-/]")


def is_host(text: str) -> bool:
    """True for a host name, an IPv4 address or a bracketed IPv6 address."""
    return bool(_HOST.fullmatch(text) or re.fullmatch(r"\[[0-9A-Fa-f:.]+(%[\w.-]+)?\]", text))


def host_and_port(text: str, default_port: int | None) -> tuple[str, int]:
    """"host:port" or "[v6]:port" -> host without brackets, port. default_port None: the port must be written. Port 0 is
    let through: to listen on, it is any port that is free."""
    match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?", text)
    example, other = ("127.0.0.1:8080", "[::1]:8080")
    if default_port is not None:
        example, other = ("sip.provider.example:5060", "[2001:db8::1]:5060")
    if not match or not is_host(match[1]):
        raise ValueError(f'{text!r} is not a host and port; write for example "{example}" or "{other}"')
    if match[2] is None and default_port is None:
        raise ValueError(f'{text!r} has no port; write for example "{example}"')
    port = int(match[2]) if match[2] else default_port
    if port is None or not 0 <= port <= 65535:
        raise ValueError(f"{text!r}: the port must be 1 to 65535")
    return match[1].strip("[]"), port


def listen_parts(url: str) -> tuple[str, str, int]:
    """"udp://0.0.0.0:5060" -> ("udp", "0.0.0.0", 5060)."""
    transport, separator, rest = url.partition("://")
    if not separator or transport not in SIP_TRANSPORTS:
        raise ValueError(
            f'{url!r} is not a listen address; write for example "udp://0.0.0.0:5060" (or tcp:// or tls://)'
        )
    if re.search(r":[0-9]{5,}$", rest) and int(rest[rest.rindex(":") + 1:][:9]) > 65535:
        raise ValueError(f"{url!r}: the port must be 1 to 65535")
    try:
        host, port = host_and_port(rest, default_port=5061 if transport == "tls" else 5060)
    except ValueError:
        right = f'write for example "{transport}://0.0.0.0:5060"'
        raise ValueError(f"{url!r} is not a listen address; {right}") from None
    return transport, host, port


def port_range(text: str) -> tuple[int, int]:
    """"10000-19999" -> (10000, 19999); "10000" -> (10000, 10000)."""
    match = re.fullmatch(r"\s*([0-9]{1,5})\s*(?:-\s*([0-9]{1,5})\s*)?", text)
    if not match:
        raise ValueError(f'{text!r} is not a port range; write for example "10000-19999", or "10000" for one port')
    first, last = int(match[1]), int(match[2] or match[1])
    if not (1 <= first <= 65535 and 1 <= last <= 65535):
        raise ValueError(f'{text!r}: ports are 1 to 65535; write for example "10000-19999"')
    if first > last:
        raise ValueError(f'{text!r} runs backwards; write "{last}-{first}"')
    after = first + 1 + (first + 1) % 2  # the first port is the browsers'; RTP on an even port, RTCP on the next
    if match[2] and last <= after:
        raise ValueError(f"{text!r} is too small: behind its first port, the browsers', there has to be an even port "
                         'and the next one; write for example "10000-19999"')
    return first, last


def codec_name(text: str) -> str:
    """A codec's name as the standards spell it, however it was written."""
    spelled = {name.lower(): name for name in CODECS}
    found = spelled.get(text.lower())
    if found is None:
        near = difflib.get_close_matches(text.lower(), spelled, n=1, cutoff=0.5)
        right = f'did you mean "{spelled[near[0]]}"?' if near else f"known are: {', '.join(CODECS)}"
        raise ValueError(f'there is no codec "{text[:60]}"; {right}')
    return found


def number_key(text: str) -> str:
    """The digits by which a telephone number is compared: +32..., 0032... and 32... are one. "": not a number."""
    digits = _NUMBER_FILL.sub("", text)
    if digits.startswith("+"):
        digits = digits[1:]
    elif digits.startswith("00"):
        digits = digits[2:]
    return digits if re.fullmatch(r"[0-9]{2,20}", digits) else ""


# --- whole values: each as it is kept, or ValueError ------------------------------------------------------------------
def _digits(value: str, most: int, example: str) -> str:
    if not re.fullmatch(f"[0-9]{{1,{most}}}", value):
        raise ValueError(f'{value!r} is not 1 to {most} digits; write for example "{example}"')
    return value


def extension(value: str) -> str:
    return _digits(value, MAX_EXTENSION_DIGITS, "2001")


def code(value: str) -> str:
    if not re.fullmatch(f"[0-9]{{1,{MAX_CODE_DIGITS}}}", value):  # the code itself is not repeated in the message
        raise ValueError(f"a code is keyed on a telephone: 1 to {MAX_CODE_DIGITS} digits and nothing else")
    return value


def listen_url(value: str) -> str:
    listen_parts(value)
    return value


def listen_address(value: str) -> str:
    host_and_port(value, default_port=None)
    return value


def trunk_host(value: str) -> str:
    if host_and_port(value, default_port=5060)[1] == 0:
        raise ValueError(f"{value!r}: the port must be 1 to 65535")
    return value


def host(value: str) -> str:
    if not is_host(value):
        raise ValueError(f'{value!r} is not a host name or address; write for example "conf.example.com"')
    return value


def address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(f'{value!r} is not an IP address; write for example "203.0.113.5"') from None


def network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError(f'{value!r} is not a network; write for example "192.168.0.0/16"') from None


def ports(value: str) -> str:
    port_range(value)
    return value


def number(value: str) -> str:
    if not number_key(value):
        raise ValueError(f'{value!r} is not a telephone number; write for example "+3225551234"')
    return value


def origin(value: str) -> str:
    if not re.fullmatch(r"https?://[^/\s?#@]+", value):
        raise ValueError(f'{value!r} is not an origin; write for example "https://odoo.example.com", no path')
    return value


def session_expires(seconds: int) -> int:
    if seconds and not LEAST_SESSION_EXPIRES <= seconds <= 86400:
        raise ValueError(f"{seconds} is not {LEAST_SESSION_EXPIRES} to 86400 seconds, nor 0: only where telephones ask")
    return seconds


def no_twice(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f'"{name}" stands there twice; write each codec once')
    return names
