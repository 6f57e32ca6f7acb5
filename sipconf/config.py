"""The admin's TOML file as validated, frozen models. Reading only: `reload` watches it, `config_check` holds the
rules that tie one part of the file to another, `config_values` its small notations, `config_faults` words what is
wrong, `config_lines` finds the line.

`load` either returns a whole Config or raises ConfigError with every fault of the file and its line.
"""

import ipaddress
import stat
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    ValidationInfo,
)

from sipconf import config_values as values
from sipconf.config_check import cross_faults
from sipconf.config_faults import ConfigError, Fault, endless_fault, syntax_fault, validation_faults
from sipconf.config_lines import key_lines, line_of

MAX_FILE_BYTES = 4 << 20

# What the shipped example contains. Everybody can read it there, so it proves nothing about who knows it.
EXAMPLE_SECRETS = frozenset({"change-me", "s3cret-101", "s3cret-102", "s3cret-103"})
EXAMPLE_CODES = frozenset({"4321", "9876", "7531"})


def is_example_secret(secret: str | None) -> bool:
    """True for a password of the shipped example: to be accepted from loopback addresses only."""
    return secret in EXAMPLE_SECRETS


def is_loopback(host: str) -> bool:
    """True for an address of this very machine, IPv4-mapped IPv6 included."""
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _file_path(value: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    return base / value.expanduser() if base else value.expanduser()


NonEmpty = Annotated[str, Field(min_length=1, max_length=255)]
Secret = Annotated[str, Field(min_length=1, max_length=255)]
Extension = Annotated[str, AfterValidator(values.extension)]
Code = Annotated[str, AfterValidator(values.code)]
Encryption = Literal["optional", "required"]
FilePath = Annotated[Path, AfterValidator(_file_path)]
Seconds = Annotated[float, Field(strict=True, ge=0, le=86400)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class SipConfig(_Section):
    """[sip]: addresses, listeners, digest. drop_unknown: silence for strangers who do not address our domain.
    session_expires: seconds after which telephones that know session timers are asked whether they still live.
    encryption: "required": no call is taken or made in the clear."""

    domain: Annotated[str, AfterValidator(values.host)] = "localhost"
    listen: Annotated[tuple[Annotated[str, AfterValidator(values.listen_url)], ...], Field(min_length=1)] = (
        values.DEFAULT_LISTEN
    )
    advertise: Annotated[str, AfterValidator(values.address)] | None = None
    local_networks: tuple[Annotated[str, AfterValidator(values.network)], ...] | None = None
    digest: Annotated[tuple[Literal["MD5", "SHA-256"], ...], Field(min_length=1)] = ("MD5",)
    drop_unknown: StrictBool = False
    session_expires: Annotated[StrictInt, AfterValidator(values.session_expires)] = 1800
    encryption: Encryption = "optional"


class RtpConfig(_Section):
    """[rtp]: media ports, after how many seconds without RTP a telephone counts as dead (0: never), how much delay the
    jitter buffers may add on a bad line, and the codecs, those preferred first."""

    ports: Annotated[str, AfterValidator(values.ports)] = values.DEFAULT_PORTS
    silence_timeout: Seconds = 60.0
    max_delay_ms: Annotated[StrictInt, Field(ge=40, le=1000)] = 200
    codecs: Annotated[tuple[Annotated[str, AfterValidator(values.codec_name)], ...], Field(min_length=1),
                      AfterValidator(values.no_twice)] = values.CODECS

    @property
    def port_range(self) -> tuple[int, int]:
        """First and last port; equal: everything on one UDP port."""
        return values.port_range(self.ports)


class MediaConfig(_Section):
    """[media]: the processes that mix. workers None: one for each core but one, at least one. priority: how they rank
    against other programs, and shared_sockets: that calls have two sockets together, as far as the system permits."""

    workers: Annotated[StrictInt, Field(ge=1, le=256)] | None = None
    priority: Literal["normal", "nice", "realtime"] = "nice"
    shared_sockets: StrictBool = True


class OpusConfig(_Section):
    """[opus]: how we encode it. bit_rate: bit/s, at most. complexity: processor time against quality.
    forward_error_correction: telephones that lose packets are told each twice. dtx: silence is not sent."""

    bit_rate: Annotated[StrictInt, Field(ge=6000, le=510_000)] = 32_000
    complexity: Annotated[StrictInt, Field(ge=0, le=10)] = 5
    forward_error_correction: StrictBool = True
    dtx: StrictBool = False


class HttpConfig(_Section):
    """[http]: console, API, SIP over WebSocket. trusted_proxies: addresses or networks whose word counts for where a
    request came from; origins: empty means any."""

    listen: Annotated[str, AfterValidator(values.listen_address)] = "127.0.0.1:8080"
    tls_listen: Annotated[str, AfterValidator(values.listen_address)] | None = None
    admin_password: Secret | None = Field(default=None, repr=False)
    trusted_proxies: tuple[Annotated[str, AfterValidator(values.network)], ...] = ()
    origins: tuple[Annotated[str, AfterValidator(values.origin)], ...] = ()


class TlsConfig(_Section):
    """[tls]: the certificate chain and its key, in PEM."""

    certificate: FilePath
    key: FilePath


class PromptsConfig(_Section):
    """[prompts]: a folder of WAV files that replace ours by name."""

    directory: FilePath | None = None


class LogConfig(_Section):
    """[log]: how much is logged and in what form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class StoreConfig(_Section):
    """[store]: the database of bindings and records."""

    path: FilePath = Path("sipconf.sqlite3")


class RecordingsConfig(_Section):
    """[recordings]: where recordings go."""

    directory: FilePath = Path("recordings")


class LimitsConfig(_Section):
    """[limits]: what this server takes on at most. Connections are those of SIP over TCP, TLS and WebSockets; a source
    is an IPv4 address or an IPv6 network of 64 bits."""

    max_calls: Annotated[StrictInt, Field(ge=1, le=100_000)] = 5000
    max_connections: Annotated[StrictInt, Field(ge=1, le=100_000)] = 4096
    max_connections_per_source: Annotated[StrictInt, Field(ge=1, le=100_000)] = 512


class UserConfig(_Section):
    """One of [[users]]: a person's extension."""

    extension: Extension
    name: Annotated[str, Field(max_length=255)] = ""
    password: Secret = Field(repr=False)


class ConferenceConfig(_Section):
    """One of [[conferences]]. max_participants None: as many as the server takes. encryption: "required": calls in the
    clear are refused. guests None: visitors of the join page may come where there is an access code."""

    name: Annotated[str, Field(max_length=255)] = ""
    extension: Extension
    access_code: Code | None = Field(default=None, repr=False)
    administrator: Extension | None = None
    administrator_code: Code | None = Field(default=None, repr=False)
    wait_for_administrator: StrictBool = False
    when_administrator_leaves: Literal["continue", "wait", "end"] = "continue"
    max_participants: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = None
    tones: StrictBool = True
    announce_alone: StrictBool = True
    level_matching: StrictBool = True
    guards: StrictBool = True
    encryption: Encryption = "optional"
    guests: StrictBool | None = None


class IncomingNumberConfig(_Section):
    """One of [[incoming_numbers]]: what a telephone number of ours leads to."""

    number: Annotated[str, AfterValidator(values.number)]
    destination: Literal["conference"] = "conference"
    conference: Extension


class TrunkConfig(_Section):
    """One of [[trunks]]: a provider or the company's own PBX (peer)."""

    name: NonEmpty
    host: Annotated[str, AfterValidator(values.trunk_host)]
    username: NonEmpty | None = None
    password: Secret | None = Field(default=None, repr=False)
    registers: StrictBool = Field(default=False, alias="register")
    peer: StrictBool = False
    allow: tuple[NonEmpty, ...] = ()
    addresses: tuple[Annotated[str, AfterValidator(values.address)], ...] = ()

    @property
    def host_port(self) -> tuple[str, int]:
        """Where requests to this trunk go (port 5060 where none is written)."""
        return values.host_and_port(self.host, default_port=5060)


class Config(_Section):
    """The whole file. Every section may be left out."""

    sip: SipConfig = SipConfig()
    rtp: RtpConfig = RtpConfig()
    media: MediaConfig = MediaConfig()
    opus: OpusConfig = OpusConfig()
    http: HttpConfig = HttpConfig()
    tls: TlsConfig | None = None
    prompts: PromptsConfig = PromptsConfig()
    log: LogConfig = LogConfig()
    store: StoreConfig = Field(default_factory=dict)  # type: ignore[arg-type]
    recordings: RecordingsConfig = Field(default_factory=dict)  # type: ignore[arg-type]
    limits: LimitsConfig = LimitsConfig()
    users: tuple[UserConfig, ...] = ()
    conferences: tuple[ConferenceConfig, ...] = ()
    incoming_numbers: tuple[IncomingNumberConfig, ...] = ()
    trunks: tuple[TrunkConfig, ...] = ()

    def example_secret_holders(self) -> list[str]:
        """Who still has a password of the shipped example, for a warning at the start."""
        holders = [f"user {user.extension}" for user in self.users if is_example_secret(user.password)]
        if is_example_secret(self.http.admin_password):
            holders.append("[http] admin_password")
        return holders

    def not_served_yet(self) -> list[str]:
        """What the file asks for and this version does not do, for a warning at the start."""
        wishes = []
        for trunk in self.trunks:
            keys = [key for key, wanted in (("register", trunk.registers), ("allow", trunk.allow)) if wanted]
            wishes += [f'{", ".join(keys)} of trunk "{trunk.name}"'] if keys else []
        return wishes

    def holds_secrets(self) -> bool:
        """Is there a password that is nobody else's business?"""
        secrets = [self.http.admin_password, *(user.password for user in self.users),
                   *(trunk.password for trunk in self.trunks)]
        return any(secret is not None and not is_example_secret(secret) for secret in secrets)


def is_open_to_all(path: Path) -> bool:
    """True for a file that every user of this machine may read."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def load(path: Path, wall: float | None = None) -> Config:
    """Read and validate the file. Raises ConfigError with every fault. wall: the time, for `sipconf check`: a
    certificate that is not valid then is a fault too, where a server goes on with it and complains."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        hint = f"there is no such file; `sipconf init {path}` writes one"
        raise ConfigError([Fault(str(path), 0, hint)]) from None
    except OSError as error:
        raise ConfigError([Fault(str(path), 0, f"cannot be read: {error.strerror}")]) from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError([Fault(str(path), 0, f"larger than the {MAX_FILE_BYTES} bytes that are read")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([Fault(str(path), line, "not UTF-8 text; save the file as UTF-8")]) from None
    return parse(text, path, wall)


def parse(text: str, path: Path, wall: float | None = None) -> Config:
    """Validate the text of a file; path names it in faults, and relative paths are relative to its folder."""
    try:
        raw: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([syntax_fault(str(path), text, str(error))]) from None
    except (RecursionError, ValueError):  # tomllib translates neither nesting nor numbers without end
        raise ConfigError([endless_fault(str(path), text)]) from None
    lines = key_lines(text)
    faults = []
    config = None
    try:
        config = Config.model_validate(raw, context={"base": path.parent})
    except ValidationError as error:
        faults += validation_faults(error, Config, raw)
    faults += cross_faults(raw, path.parent, wall)
    if config is None or faults:
        located = {Fault(str(path), line_of(lines, where), message) for where, message in faults}
        raise ConfigError(sorted(located, key=lambda fault: (fault.line, fault.message)))
    return config
