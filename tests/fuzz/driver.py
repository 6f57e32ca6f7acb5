"""Runs a target's inputs in batches, judges them, and keeps what broke. An input is named by (target, seed, number)."""

import random
import traceback
from dataclasses import dataclass
from pathlib import Path

BATCH = 256
"""Inputs that meet the same house, one after the other; the next batch meets a new one."""


class Broken(AssertionError):
    """What must never happen has: the oracle's own word."""


def expect(holds: bool, what: str) -> None:
    """Raise Broken where it does not hold."""
    if not holds:
        raise Broken(what)


class Target:
    """What is fuzzed. name; ending: of the files that its inputs are kept in."""

    name: str
    ending: str

    def begin(self, rng: random.Random) -> None:
        """A new house for a batch; none where nothing is remembered between inputs."""
        return None

    def make(self, rng: random.Random) -> bytes:
        """The next input."""
        raise NotImplementedError

    def judge(self, data: bytes) -> None:
        """Feed it. Raises Broken, or whatever escaped, where something is wrong."""
        raise NotImplementedError

    def end(self) -> None:
        """What must hold after the batch."""
        return None

    def evidence(self, data: bytes) -> bytes:
        """What to keep of a fault, when `data` was the last input."""
        return data


@dataclass(frozen=True, slots=True)
class Fault:
    """An input that broke something. alone: it does so in a new house too, without those before it."""

    target: str
    ending: str
    seed: int
    number: int
    data: bytes
    error: str
    where: str
    alone: bool

    def __str__(self) -> str:
        after = "" if self.alone else " (after the inputs before it)"
        return f"{self.target} seed {self.seed} number {self.number}{after}: {self.error} at {self.where}"


def run_batch(target: Target, seed: int, batch: int) -> list[Fault]:
    """All inputs of one batch. After a fault the rest meets a new house."""
    rng = random.Random(f"{target.name}/{seed}/{batch}")
    faults = []
    target.begin(rng)
    data, number = b"", batch * BATCH
    for number in range(batch * BATCH, (batch + 1) * BATCH):
        data = target.make(rng)
        try:
            target.judge(data)
        except Exception as error:
            faults.append(_fault(target, seed, number, data, error))
            target.begin(rng)
    try:
        target.end()
    except Exception as error:
        faults.append(_fault(target, seed, number, data, error))
    return faults


def replay(target: Target, seed: int, number: int) -> tuple[bytes, Fault | None]:
    """The input of that name, and what it breaks."""
    batch = number // BATCH
    rng = random.Random(f"{target.name}/{seed}/{batch}")
    target.begin(rng)
    for at in range(batch * BATCH, number + 1):
        data = target.make(rng)
        try:
            target.judge(data)
        except Exception as error:
            if at == number:
                return data, _fault(target, seed, number, data, error)
            target.begin(rng)
    return data, None


def breaks(target: Target, data: bytes) -> Exception | None:
    """What an input breaks in a new house: the judge of a file."""
    target.begin(random.Random(0))
    try:
        target.judge(data)
        target.end()
    except Exception as error:
        return error
    return None


def _fault(target: Target, seed: int, number: int, data: bytes, error: Exception) -> Fault:
    data = target.evidence(data)
    frames = traceback.extract_tb(error.__traceback__)
    place = next((frame for frame in reversed(frames) if "sipconf/" in frame.filename), frames[-1])
    where = f"{Path(place.filename).name}:{place.lineno} {place.name}"
    alone = breaks(target, data) is not None
    return Fault(target.name, target.ending, seed, number, data, f"{type(error).__name__}: {error}"[:300], where, alone)


def keep(fault: Fault, folder: Path) -> Path:
    """Write the input of a fault under the next free number; the same input is kept once."""
    folder.mkdir(parents=True, exist_ok=True)
    for known in folder.glob(f"*.{fault.ending}"):
        if known.read_bytes() == fault.data:
            return known
    numbers = [int(path.name[:3]) for path in folder.glob("[0-9][0-9][0-9]-*")]
    path = folder / f"{max(numbers, default=0) + 1:03}-fuzz-{fault.target}.{fault.ending}"
    path.write_bytes(fault.data)
    return path
