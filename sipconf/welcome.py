"""The words of `sipconf serve` once it is ready: where to dial and browse, and how to make a first call.

They go to the terminal, never to the log. A secret is repeated only where it is the shipped example's, which everybody
can read there anyway.
"""

from collections.abc import Sequence
from pathlib import Path

from sipconf.config import EXAMPLE_CODES, ConferenceConfig, Config, UserConfig, is_example_secret
from sipconf.config_values import listen_parts

ANYWHERE = ("0.0.0.0", "::")
SHOWN_ROOMS = 12


def welcome(config: Config, file: Path, here: str, own_password: str, names: Sequence[str] = (),
            room: str = "", program: str = "sipconf") -> str:
    """The whole text. here: an address of this machine that others can reach; own_password: the administrator's where
    the file names none; names: whom the TLS certificate speaks for, where TLS is listened on; room: for how many calls
    there is room; program: how this command is typed here."""
    lines = ["sipconf is ready.", "",
             f"  telephones   {'  '.join(config.sip.listen)}",
             f"  HTTP         http://{config.http.listen}/ (join a conference)  /api  /metrics  /healthz"]
    if config.http.tls_listen is not None:
        lines.append(f"  HTTPS        https://{config.http.tls_listen}/ (join a conference)  /api  /metrics  /healthz")
    if names:
        lines.append(f"  TLS          the certificate is for {', '.join(names)}: telephones use that name")
    if room:
        lines.append(f"  {room}")
    if config.http.admin_password is None:
        lines.append(f"  administrator's password for this run: {own_password}")
    lines += ["", *_first_call(config, file, here, names, program)]
    lines += [f"  dial {room.extension:<6} {room.name}{' (access code)' if room.access_code else ''}"
              for room in config.conferences[:SHOWN_ROOMS]]
    if len(config.conferences) > SHOWN_ROOMS:
        lines.append(f"  and {len(config.conferences) - SHOWN_ROOMS} more; see: {program} status")
    if wishes := config.not_served_yet():
        lines += ["", f"  In the file, but not served yet: {'; '.join(wishes)}."]
    if holders := config.example_secret_holders():
        lines += ["", f"  The example's passwords work from this machine only: {', '.join(holders)}.",
                  f"  For other machines: {program} init my.toml && {program} serve --config my.toml"]
    return "\n".join(lines)


def _first_call(config: Config, file: Path, here: str, names: Sequence[str], program: str) -> list[str]:
    """What to type into a softphone; nothing where nobody could call."""
    if not config.users or not config.conferences:
        return [f"  Nobody can call yet: {file} needs [[users]] and [[conferences]].", ""]
    user, room = config.users[0], config.conferences[0]
    transport, host, port = listen_parts(config.sip.listen[0])
    if transport == "tls" and names:
        host = names[0]
    elif host in ANYWHERE:
        host = "127.0.0.1" if is_example_secret(user.password) else here
    server = f"{f'[{host}]' if ':' in host else host}:{port}"
    password = user.password if is_example_secret(user.password) else None
    lines = ["  A first call, from any softphone (Linphone, baresip, Zoiper):",
             f"    user {user.extension}, password {password or f'as in {file}'}, server {server}, {transport.upper()}",
             f"    dial {room.extension}{_keys_in_words(room)}",
             f"  or without one: {program} {_command(user, room, server, transport, password)}", ""]
    return lines


def _keys_in_words(room: ConferenceConfig) -> str:
    if room.access_code is None:
        return ""
    if room.access_code in EXAMPLE_CODES:
        return f", and when asked, key {room.access_code}#"
    return ", and when asked, key its access code and #"


def _command(user: UserConfig, room: ConferenceConfig, server: str, transport: str, password: str | None) -> str:
    over = "" if transport == "udp" else f";transport={transport}"
    words = [f"call 'sip:{room.extension}@{server}{over}' --user {user.extension}",
             f"--password {password or '...'}"]
    if room.access_code is not None:
        words.append(f"--dtmf '{room.access_code if room.access_code in EXAMPLE_CODES else '...'}#'")
    return " ".join(words)
