"""The ledger: who did what to which bundle, when and why; lines are only ever added.

::

    LEDGER         an ``Entry`` a line, each holding the SHA-256 of the line before it
    LEDGER.head    the number and the SHA-256 of the last line, written after it

A line is compact JSON, ASCII, its keys sorted, so that it can be written in one way only. Whoever
alters, takes out or inserts a line breaks the chain behind it. Whoever cuts off its end breaks with
the head beside it; whoever rewrites both breaks with every **anchor**: a line's number and SHA-256
that somebody else was given, on a receipt or on paper, and still has.

A kill while a line is written leaves a piece of one, which the next writer cuts off: what it was to
record had not been done yet, since a line is on the disk before the act.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_serializer

from gdshare.errors import LedgerError
from gdshare.lock import lock, lock_beside
from gdshare.storage import append, write_bytes

MODE = 0o600
START = "0" * 64
"""In the place of a line before the first."""
MAX_TOLD = 1000
"""Characters of a reason, a name or a thing."""
MAX_LINE = 64 * 1024
"""Bytes: three texts of 1000 characters, twelve bytes each at worst."""
MAX_BYTES = 1024**3
_NOT_SO = "; keep this file as evidence, and put its last good copy back"

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it holds characters that steer a terminal")
    return text


_Told = Annotated[str, Field(max_length=MAX_TOLD), AfterValidator(_printable)]


class Entry(BaseModel):
    """One line.

    Attributes:
        number: from 1.
        at: when, UTC, in whole seconds, by the clock of whoever wrote it.
        act: what was done, such as ``release`` or ``refuse``.
        by: who did it, in the hospital's or the aggregator's own words.
        what: what it was done to, such as ``st-mary-3``.
        digest: of that; null where nothing has one.
        why: the reason.
        before: SHA-256 of the line before, without its end; zeros for the first.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    number: Annotated[int, Field(ge=1)]
    at: Annotated[datetime, Field(strict=False)]
    act: Annotated[str, Field(pattern="^[a-z][a-z-]{0,39}$")]
    by: Annotated[_Told, Field(min_length=1)]
    what: _Told
    digest: Sha256 | None
    why: _Told
    before: Sha256

    @field_serializer("at")
    def _seconds(self, at: datetime) -> str:
        return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def line(self) -> bytes:
        """As it is written, without its end."""
        told = self.model_dump(mode="json")
        return json.dumps(told, separators=(",", ":"), sort_keys=True).encode("ascii")


@dataclass(frozen=True)
class Anchor:
    """A line that somebody remembers: its number, and the SHA-256 of its bytes without the end."""

    number: int
    sha256: str


def read_ledger(path: Path, anchors: Sequence[Anchor] = ()) -> list[Entry]:
    """Read a ledger whole and check it: form, chain, head and anchors.

    Args:
        path: of it; a ledger that is not there is empty.
        anchors: that it must agree with.

    Returns:
        its acts, the oldest first.

    Raises:
        LedgerError: altered, cut short, at odds with an anchor, or not readable.
    """
    # A writer may be between a line and its head. Whoever may only read cannot keep writers away.
    with ExitStack() as held:
        with suppress(OSError):
            if path.exists():
                held.enter_context(lock(lock_beside(path)))
        return _checked(path, anchors)[0]


def head_of(entries: Sequence[Entry]) -> Anchor:
    """What to write down, or to give to somebody else, in order to recognise the ledger by."""
    return anchor_of(entries[-1]) if entries else Anchor(0, START)


def anchor_of(act: Entry) -> Anchor:
    """What names a line that was read."""
    return Anchor(act.number, _sha256(act.line()))


def in_one_line(text: str) -> str:
    """Make a message fit for a line: printable, in one line, short."""
    return "".join(one if one.isprintable() else " " for one in text)[:MAX_TOLD]


class Ledger:
    """A ledger that nobody else writes to for as long as ``open_ledger`` holds it.

    Attributes:
        entries: all of them, the oldest first.
    """

    def __init__(self, path: Path) -> None:
        """Read it; see ``read_ledger``."""
        self._path = path
        self.entries, self._length = _checked(path, ())

    def write(
        self, now: datetime, act: str, by: str, what: str, digest: str | None, why: str
    ) -> Anchor:
        """Add a line; it is on the disk when this returns.

        Args:
            now: UTC.
            act, by, what, digest, why: see ``Entry``.

        Returns:
            the line's number and SHA-256.

        Raises:
            LedgerError: a value that no line takes, or the file cannot be written.
        """
        added = _act(head_of(self.entries), now, act, by, what, digest, why)
        line = added.line() + b"\n"
        head = Anchor(added.number, _sha256(added.line()))
        try:
            append(self._path, line, self._length, MODE)
            write_bytes(_head_path(self._path), _head_line(head), MODE)
        except OSError as error:
            raise _unwritable(self._path, error) from error
        self.entries.append(added)
        self._length += len(line)
        return head


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """Read a ledger and keep other writers away until the block ends.

    Args:
        path: of it; made, mode 600, with the first line.

    Raises:
        LedgerError: what is there is altered or cut short, so nothing is added to it; or it cannot
            be written.
    """
    with ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(lock(lock_beside(path)))
        except OSError as error:
            raise _unwritable(path, error) from error
        yield Ledger(path)


def _unwritable(path: Path, error: OSError) -> LedgerError:
    return LedgerError(
        f"cannot be written ({error.strerror}), so nothing was done",
        path,
        "make room, or mend its permissions",
    )


def _act(
    head: Anchor, now: datetime, act: str, by: str, what: str, digest: str | None, why: str
) -> Entry:
    try:
        return Entry(
            number=head.number + 1,
            at=now.astimezone(UTC).replace(microsecond=0),
            act=act,
            by=by,
            what=what,
            digest=digest,
            why=why,
            before=head.sha256,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise LedgerError(
            f"the ledger does not take {first['loc'][0]} ({first['msg']})",
            remedy="shorten it, in one line",
        ) from error


def _checked(path: Path, anchors: Sequence[Anchor]) -> tuple[list[Entry], int]:
    """The acts, and the length of their lines in bytes."""
    content = _content(path)
    length = content.rfind(b"\n") + 1
    entries, sums = _chain(path, content[:length])
    head = _read_head(path)
    # A kill between a line and its head leaves the head one line behind.
    if head is not None and head.number < len(entries) - 1:
        raise LedgerError(f"its head knows only line {head.number}{_NOT_SO}", path)
    if head is None and len(entries) > 1:
        raise LedgerError(f"its head, {_head_path(path).name}, is missing{_NOT_SO}", path)
    for anchor in (*anchors, *([head] if head is not None else [])):
        if not 1 <= anchor.number <= len(entries):
            raise LedgerError(
                f"was cut short: line {anchor.number} was there, and there are "
                f"{len(entries)}{_NOT_SO}",
                path,
            )
        if sums[anchor.number] != anchor.sha256:
            raise LedgerError(f"line {anchor.number} is not the one that was there{_NOT_SO}", path)
    return entries, length


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LedgerError(f"larger than {MAX_BYTES // 1024**2} MB, so no ledger", path)
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise LedgerError(f"cannot be read ({error.strerror})", path, "check the path") from error


def _chain(path: Path, content: bytes) -> tuple[list[Entry], list[str]]:
    """The acts, and the sums of their lines after ``START``."""
    entries: list[Entry] = []
    sums = [START]
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            if len(line) > MAX_LINE:
                raise ValueError("too long")
            act = Entry.model_validate(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise LedgerError(f"line {number} is no act of a ledger{_NOT_SO}", path) from error
        if act.line() != line:
            raise LedgerError(f"line {number} was written by another program{_NOT_SO}", path)
        if act.number != number or act.before != sums[-1]:
            raise LedgerError(
                f"line {number} does not follow the line before it: one of them was "
                f"altered, taken out or put in{_NOT_SO}",
                path,
            )
        entries.append(act)
        sums.append(_sha256(line))
    return entries, sums


def _read_head(path: Path) -> Anchor | None:
    try:
        number, digest = _head_path(path).read_text("ascii").split()
        head = Anchor(int(number), digest)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise LedgerError(f"no head of a ledger{_NOT_SO}", _head_path(path)) from error
    if head.number < 1:
        raise LedgerError(f"no head of a ledger{_NOT_SO}", _head_path(path))
    return head


def _head_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.head")


def _head_line(head: Anchor) -> bytes:
    return f"{head.number} {head.sha256}\n".encode("ascii")


def _sha256(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
