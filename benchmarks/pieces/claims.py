"""Pieces of work that several processes share out by locks, each done once and kept when done.

The rules, in the order in which a process follows them:

1. A piece whose ``done.json`` is there is done.
2. A piece waits until all that it needs are done.
3. Who locks a piece's ``claim`` does it. A lock dies with its process, so the piece of a killed
   process is free again, and whoever takes it up finds in the folder what was kept of it.
4. With nothing left but pieces that others are at, a process waits for them.
"""

import fcntl
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue, TypeAdapter

from gdshare.errors import RunError
from gdshare.storage import write_json

CLAIM, SECONDS, DONE = "claim", "seconds.json", "done.json"
CPU_SECONDS = "cpu_seconds"

Facts = dict[str, JsonValue]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Watch:
    """CPU-seconds of one piece, over all attempts, as far as what they did was kept.

    Attributes:
        path: where they are noted.
        before: of earlier attempts.
        began: the clock at the start of this one.
        clock: CPU-seconds of this process.
    """

    path: Path
    before: float
    began: float
    clock: Clock

    @classmethod
    def start(cls, folder: Path, clock: Clock) -> "Watch":
        """Go on from what earlier attempts noted in ``folder``."""
        path = folder / SECONDS
        before = seconds_of(_read(path)) if path.exists() else 0.0
        return cls(path, before, clock(), clock)

    @property
    def seconds(self) -> float:
        """Spent so far."""
        return self.before + self.clock() - self.began

    def keep(self) -> None:
        """Note what is spent so far: a further part of the piece is safe on the disk."""
        write_json(self.path, {CPU_SECONDS: self.seconds})


@dataclass(frozen=True)
class Piece:
    """One piece of work.

    Attributes:
        name: its folder, below the benchmark's.
        kind: what --only calls it.
        work: does it in its folder and returns what is to be known of it; after a kill it is called
            again, and goes on with what it finds there.
        needs: names of the pieces that must be done before.
    """

    name: str
    kind: str
    work: Callable[[Path, Watch], Facts]
    needs: tuple[str, ...] = ()


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Hold a folder for this process alone while the block runs; False: another one holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / CLAIM).open("wb") as stream:
        yield _locked(stream.fileno())  # closing the file unlocks it


def done(out: Path, name: str) -> bool:
    """Whether a piece is done."""
    return (out / name / DONE).exists()


def facts(out: Path, name: str) -> Facts:
    """What a done piece left to be known, its CPU-seconds among it.

    Raises:
        RunError: it is not done, or its record is damaged.
    """
    return _read(out / name / DONE)


def seconds_of(told: Facts) -> float:
    """The CPU-seconds among a piece's facts."""
    return TypeAdapter(float).validate_python(told[CPU_SECONDS])


def do_pieces(
    out: Path,
    pieces: Iterable[Piece],
    say: Callable[[str], None],
    clock: Clock = time.process_time,
    pause: float = 1.0,
    after: Callable[[], None] = lambda: None,
) -> None:
    """Do every piece that is not done yet, beside any other processes that do the same.

    Args:
        out: folder of the whole benchmark.
        pieces: in the order to do them in; all that one of them needs is among them.
        say: told of each piece's start and end.
        clock: CPU-seconds of this process.
        pause: seconds between looks while others are at the last pieces.
        after: called whenever a piece is done here.
    """
    left = list(pieces)
    waiting = False
    while left := [piece for piece in left if not done(out, piece.name)]:
        # One at a time: what it or another process has done may have freed an earlier piece.
        worked = any(_try(out, piece, say, clock) for piece in left)
        if worked:
            after()
        else:
            if not waiting:
                say(f"waiting for other processes; {len(left)} pieces are left")
            time.sleep(pause)
        waiting = not worked


def with_needs(pieces: Sequence[Piece], kind: str) -> list[Piece]:
    """The pieces of one kind and all that they need, in the same order."""
    by_name = {piece.name: piece for piece in pieces}
    wanted: set[str] = set()
    left = [piece.name for piece in pieces if piece.kind == kind]
    while left:
        name = left.pop()
        if name not in wanted:
            wanted.add(name)
            left += by_name[name].needs
    return [piece for piece in pieces if piece.name in wanted]


def _try(out: Path, piece: Piece, say: Callable[[str], None], clock: Clock) -> bool:
    """Do a piece if it is free and ready; whether it was done here."""
    if not all(done(out, need) for need in piece.needs):
        return False
    folder = out / piece.name
    with claimed(folder) as mine:
        if not mine or done(out, piece.name):  # done since we looked
            return False
        say(f"{piece.name}: begun")
        watch = Watch.start(folder, clock)
        found = piece.work(folder, watch)
        seconds = watch.seconds
        write_json(folder / DONE, found | {CPU_SECONDS: seconds})
    say(f"{piece.name}: done, {seconds:.0f} CPU-seconds")
    return True


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path) -> Facts:
    try:
        found: Facts = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RunError(
            f"{path}: this piece is not done; do it by the same command without --only"
        ) from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}); remove it, and run again") from error
    return found
