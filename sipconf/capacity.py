"""What the file and the machine say about media workers: how many there are, their settings, and room for how many
calls. Starts none.
"""

import os
import resource

from sipconf.config import Config
from sipconf.media.placement import MOST_LEGS
from sipconf.media.supervisor import WorkerSettings

FILES_WANTED = 65536
LEGS_EACH = 1000
"""Legs that a worker must have ports for before there is another: a room lives whole on one and can be no larger."""


def worker_settings(config: Config) -> WorkerSettings:
    """What the file says about media, for one worker that had all the ports."""
    first, last = config.rtp.port_range
    sounds = str(config.prompts.directory) if config.prompts.directory else None
    opus = (config.opus.bit_rate, config.opus.complexity, config.opus.forward_error_correction, config.opus.dtx)
    return WorkerSettings(first, last, sounds, config.rtp.silence_timeout, config.rtp.max_delay_ms,
                          config.media.priority, config.log.level, config.log.format, opus,
                          config.media.shared_sockets)


def workers_of(config: Config) -> int:
    """How many media workers there shall be: as the file says, or one for each core but the one that signals, as long
    as each has its LEGS_EACH."""
    if config.media.workers is not None:
        return config.media.workers
    return max(1, min(len(os.sched_getaffinity(0)) - 1, _pairs(config) // LEGS_EACH))


def raise_file_limit() -> None:
    """Every call takes two sockets of a worker, which inherits this limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def room_for_calls(config: Config, capacities: list[int]) -> str:
    """One line on how many calls fit, and what would have to change for more. capacities: legs that each worker has
    ports and open files for, as it reports."""
    taken = [min(capacity, MOST_LEGS) for capacity in capacities]
    fit, limit, count = sum(taken), config.limits.max_calls, len(capacities)
    pairs = _pairs(config) - count + config.rtp.port_range[0] % 2  # the first port of each is the browsers'
    workers = "1 media worker" if count == 1 else f"{count} media workers"
    reasons = [f"{workers}, the largest room {max(taken)}", f"ports {config.rtp.ports} allow {pairs}"]
    if config.rtp.port_range[0] == config.rtp.port_range[1]:
        reasons[1] = f"everything on UDP port {config.rtp.ports}"
    if fit < sum(capacities):
        reasons.append(f"a media worker takes {MOST_LEGS}")
    if sum(capacities) < pairs:
        reasons.append(f"open files allow {fit}")
    if limit < fit:
        reasons.append(f"[limits] max_calls {limit}")
    return f"room for {min(fit, limit)} calls at once: {', '.join(reasons)}"


def _pairs(config: Config) -> int:
    """Legs that the ports allow: an even one and the next for each."""
    first, last = config.rtp.port_range
    return (last + 1 - first - first % 2) // 2
