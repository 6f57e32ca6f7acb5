"""What the file says of who may call whom, in the words of the floors below: people, conferences, numbers, trunks."""

from sipconf.conference.directory import ConferenceSpec, Directory, IncomingNumberSpec, UserSpec
from sipconf.config import Config, is_example_secret, is_loopback
from sipconf.sip.trunk import TrunkSpec


def directory_of(config: Config) -> Directory:
    """Who can be dialled, as the conference floor knows it."""
    return Directory(
        users=[UserSpec(user.extension, user.name) for user in config.users],
        conferences=[ConferenceSpec(
            room.name, room.extension, room.access_code, room.administrator, room.administrator_code,
            room.wait_for_administrator, room.when_administrator_leaves, room.max_participants, room.tones,
            room.announce_alone, room.level_matching, room.guards, room.encryption == "required", room.guests)
            for room in config.conferences],
        incoming_numbers=[IncomingNumberSpec(each.number, each.conference) for each in config.incoming_numbers],
    )


def password_from(password: str, source: str) -> str | None:
    """A password as it counts for somebody who asks from this address: one of the shipped example counts on this
    machine only."""
    return None if is_example_secret(password) and not is_loopback(source) else password


def trunks_of(config: Config) -> list[TrunkSpec]:
    """The trunks, as the gate of the user agent knows them."""
    return [TrunkSpec(each.name, frozenset(each.addresses), each.peer) for each in config.trunks]


def peers_of(config: Config) -> frozenset[str]:
    """Names of the trunks that are the company's own exchange."""
    return frozenset(each.name for each in config.trunks if each.peer)
