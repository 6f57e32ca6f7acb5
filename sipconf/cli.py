"""The verbs of the command `sipconf`. What they do is elsewhere, imported when it is done: the start is quick.

Every error a person can mend is one clear line (or one for each fault of a file) and exit status 1.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sipconf.shell import Server

DEFAULT_CONFIG = Path("config/conferences.toml")

_FILE = click.Path(path_type=Path, readable=False)  # whether it may be read is said by who reads it, in one line


def _program() -> str:
    """How this command is typed here: `make run` starts one that is not on the PATH."""
    return sys.argv[0] if Path(sys.argv[0]).name == "sipconf" else "sipconf"


class _Verbs(click.Group):
    """Shows this project's own errors as lines, not as traces."""

    def invoke(self, ctx: click.Context) -> Any:
        from sipconf.errors import SipconfError

        try:
            return super().invoke(ctx)
        except SipconfError as error:
            click.echo(str(error), err=True)
            ctx.exit(1)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="sipconf")
def main() -> None:
    """Telephone conferences: a SIP conference server.

    serve runs it; check and init are about its file; status, invite, kick, mute, lock and apply ask a running
    server; call is a telephone without a screen.
    """


@main.command()
@click.option("--config", type=_FILE, default=DEFAULT_CONFIG, show_default=True, help="The configuration file.")
def serve(config: Path) -> None:
    """Run the server until SIGTERM or Ctrl-C."""
    from sipconf.app import serve as run

    run(config, _program())


@main.command()
@click.argument("file", type=_FILE)
def check(file: Path) -> None:
    """Tell whether a configuration file is in order.

    Exit status 1, and FILE:LINE: what is wrong and what would be right for each fault, when it is not.
    """
    from sipconf.clock import SYSTEM_CLOCK
    from sipconf.config import load

    config = load(file, SYSTEM_CLOCK.wall())
    if config.prompts.directory is not None:
        from sipconf.mixer.edge.wavfile import load_sounds  # NumPy: only where there is something to look at

        for name in load_sounds(config.prompts.directory).unknown:
            click.echo(f"{config.prompts.directory / name}: replaces no sound of ours")
    counts = ((len(config.users), "user"), (len(config.conferences), "conference"), (len(config.trunks), "trunk"))
    content = ", ".join(f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in counts)
    click.echo(f"{file}: in order ({content})")
    if wishes := config.not_served_yet():
        click.echo(f"{file}: not served yet: {'; '.join(wishes)}")
    if holders := config.example_secret_holders():
        click.echo(f"{file}: passwords of the example, good from this machine only: {', '.join(holders)}")


@main.command()
@click.argument("file", type=_FILE)
def init(file: Path) -> None:
    """Write a commented configuration with secrets of its own. An existing file is left alone."""
    from sipconf.config_template import write_new

    write_new(file)
    click.echo(f"{file}: written; read it, then: {_program()} serve --config {file}")


@main.command()
@click.argument("uri")
@click.option("--user", metavar="EXT", help="Call as this user of the server.")
@click.option("--password", metavar="P", envvar="SIPCONF_CALL_PASSWORD", help="That user's password.")
@click.option("--dtmf", metavar="KEYS", help="Keys pressed once the call is up, as in 1234#.")
@click.option("--play", metavar="F.wav", type=_FILE, help="Say the content of this file instead of silence.")
@click.option("--record", metavar="F.wav", type=_FILE, help="Write what is heard into this file.")
@click.option("--duration", metavar="S", type=click.FloatRange(min=0), help="Hang up after this many seconds.")
def call(
    uri: str,
    user: str | None,
    password: str | None,
    dtmf: str | None,
    play: Path | None,
    record: Path | None,
    duration: float | None,
) -> None:
    """Call URI (as in sip:2001@127.0.0.1), print each response and a summary at the end."""
    from sipconf.softphone import main as telephone

    sys.exit(
        telephone(
            uri, user=user, password=password, dtmf=dtmf, play=play, record=record, duration=duration
        )
    )


def _server_option(command: Any) -> Any:
    return click.option(
        "--config",
        type=_FILE,
        help=f"Find the server by this file; else by SIPCONF_URL and SIPCONF_PASSWORD, else by {DEFAULT_CONFIG}.",
    )(command)


def _server(config: Path | None) -> "Server":
    from sipconf.shell import find_server

    return find_server(config, DEFAULT_CONFIG)


@main.command()
@_server_option
def status(config: Path | None) -> None:
    """Show the conferences and who is in them."""
    from sipconf.shell import status_table

    server = _server(config)
    conferences = server.ask("GET", "/api/conferences")
    people = {
        item["extension"]: server.ask("GET", "/api/conferences", item["extension"], "participants")
        for item in conferences
        if item.get("participants")
    }
    click.echo(status_table(conferences, people))


@main.command()
@click.argument("room")
@click.argument("number")
@_server_option
def invite(room: str, number: str, config: Path | None) -> None:
    """Call NUMBER into the conference ROOM. Not served yet.

    NUMBER is an extension or a telephone number. This version's server refuses it with a word of explanation.
    """
    from sipconf.shell import ApiRefusal

    try:
        participant = _server(config).ask("POST", "/api/conferences", room, "invite", body={"to": number})
    except ApiRefusal as refusal:
        if refusal.status in (404, 405, 501):
            refusal.add("If the conference exists: invitations are served by the HTTP API of a later version.")
        raise
    click.echo(f"{number} is being called into {room} as {participant.get('id', '?')}")


@main.command()
@click.argument("room")
@click.argument("participant", metavar="ID")
@_server_option
def kick(room: str, participant: str, config: Path | None) -> None:
    """Send the participant ID (see status) out of the conference ROOM."""
    _server(config).ask("DELETE", "/api/conferences", room, "participants", participant)
    click.echo(f"{participant} was sent out of {room}")


@main.command()
@click.argument("room")
@click.argument("participant", metavar="ID")
@click.option("--off", is_flag=True, help="Let them be heard again.")
@_server_option
def mute(room: str, participant: str, off: bool, config: Path | None) -> None:
    """Mute the participant ID (see status) of the conference ROOM."""
    path = ("/api/conferences", room, "participants", participant)
    _server(config).ask("PATCH", *path, body={"muted": not off})
    click.echo(f"{participant} is {'no longer ' if off else ''}muted in {room}")


@main.command()
@click.argument("room")
@click.option("--off", is_flag=True, help="Let people in again.")
@_server_option
def lock(room: str, off: bool, config: Path | None) -> None:
    """Lock the conference ROOM: nobody else gets in."""
    _server(config).ask("PATCH", "/api/conferences", room, body={"locked": not off})
    click.echo(f"{room} is {'open' if off else 'locked'}")


@main.command()
@_server_option
def apply(config: Path | None) -> None:
    """Put the configuration file into use now."""
    from sipconf.shell import changes_text

    click.echo(changes_text(_server(config).ask("POST", "/api/apply")))
