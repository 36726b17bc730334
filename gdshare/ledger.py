"""The ledger: who did what to which bundle, when and why; lines are only ever added.

::

    LEDGER         one ``Entry`` per line, with the SHA-256 of the line before it
    LEDGER.head    number and SHA-256 of the last line, written after it

A line is compact ASCII JSON with sorted keys, so that there is one way to write it. Altering,
removing or inserting a line breaks the chain behind it. Cutting off the end contradicts the head
beside it; rewriting both contradicts every **anchor**: a line's number and SHA-256 that somebody
else keeps, on a receipt or on paper.

A line is on the disk before the act it records. A kill while it is written leaves part of a line;
the next writer cuts that off, since its act was not done.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_serializer

from gdshare.errors import LedgerError
from gdshare.lock import lock, lock_beside
from gdshare.plain_files import read_plain
from gdshare.storage import append, make_folder, own_mode, write_bytes

log = logging.getLogger(__name__)

START = "0" * 64
"""The first line's predecessor."""
MAX_TEXT = 1000
"""Characters of a reason, a name or a subject."""
MAX_LINE = 64 * 1024
"""Bytes: three texts of 1000 characters, of twelve bytes each at worst."""
MAX_BYTES = 1024**3
MAX_HEAD = 1024
_KEEP_IT = "keep this file as evidence, and put its last good copy back"

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it holds characters that steer a terminal")
    return text


_Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_printable)]


class Entry(BaseModel):
    """One line.

    Attributes:
        number: from 1.
        at: when, UTC, in whole seconds, by the writer's clock.
        act: what was done, such as ``release`` or ``refuse``.
        by: who did it, in the hospital's or the aggregator's own words.
        what: what it was done to, such as ``st-mary-3``.
        digest: of that; null where there is none.
        why: the reason.
        before: SHA-256 of the line before, without its line end; zeros for the first.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    number: Annotated[int, Field(ge=1)]
    at: Annotated[datetime, Field(strict=False)]
    act: Annotated[str, Field(pattern="^[a-z][a-z-]{0,39}$")]
    by: Annotated[_Text, Field(min_length=1)]
    what: _Text
    digest: Sha256 | None
    why: _Text
    before: Sha256

    @field_serializer("at")
    def _seconds(self, at: datetime) -> str:
        return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def line(self) -> bytes:
        """The line as it is written, without its line end."""
        values = self.model_dump(mode="json")
        return json.dumps(values, separators=(",", ":"), sort_keys=True).encode("ascii")


@dataclass(frozen=True)
class Anchor:
    """What identifies a line: its number, and the SHA-256 of its bytes without the line end."""

    number: int
    sha256: str


def read_ledger(path: Path, anchors: Sequence[Anchor] = ()) -> list[Entry]:
    """Read a whole ledger and check its form, chain, head and anchors.

    Args:
        path: the ledger; a missing one is empty.
        anchors: lines that it must still have.

    Returns:
        its entries, the oldest first.

    Raises:
        LedgerError: altered, cut short, without an anchor's line, or not readable.
        LockedError: a writer keeps it locked.
    """
    # A writer may be between a line and its head. Without the right to write, read unlocked.
    with ExitStack() as stack:
        with suppress(OSError):
            if path.exists():
                stack.enter_context(lock(lock_beside(path)))
        return _checked(path, anchors)[0]


def head_of(entries: Sequence[Entry]) -> Anchor:
    """The anchor of the last line: what to keep elsewhere, to recognise the ledger by."""
    return anchor_of(entries[-1]) if entries else Anchor(0, START)


def anchor_of(act: Entry) -> Anchor:
    """The anchor of an entry's line."""
    return Anchor(act.number, _sha256(act.line()))


def in_one_line(text: str) -> str:
    """Make a message fit for the ledger: printable, in one line, short."""
    return "".join(char if char.isprintable() else " " for char in text)[:MAX_TEXT]


class Ledger:
    """A ledger that is locked by ``open_ledger``.

    Attributes:
        entries: all entries, the oldest first.
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
            the line's anchor.

        Raises:
            LedgerError: a value that the ledger does not allow, or the file cannot be written.
        """
        added = _act(head_of(self.entries), now, act, by, what, digest, why)
        line = added.line() + b"\n"
        head = Anchor(added.number, _sha256(added.line()))
        try:
            mode = own_mode(self._path.parent)
            append(self._path, line, self._length, mode)
            write_bytes(_head_path(self._path), _head_line(head), mode)
        except OSError as error:
            raise _unwritable(self._path, error) from error
        self.entries.append(added)
        self._length += len(line)
        log.debug("%s: line %d: %s %s", self._path, added.number, act, what)
        return head

    def write_once(
        self, since: int, now: datetime, act: str, by: str, what: str, digest: str | None, why: str
    ) -> None:
        """Add a line, unless a line after ``since`` says the same: who was killed says it again.

        Args:
            since: number of a line.
            now, act, by, what, digest, why: see ``write``.

        Raises:
            LedgerError: see ``write``.
        """
        said = {(e.act, e.what, e.digest, e.why) for e in self.entries[since:]}
        if (act, what, digest, why) not in said:
            self.write(now, act, by, what, digest, why)


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """Read a ledger and lock it until the block ends.

    Args:
        path: the ledger; made with the first line, for the owner or for the group that shares its
            folder.

    Raises:
        LedgerError: the ledger was altered or cut short, so nothing is added; or it cannot be
            written.
        LockedError: another writer keeps it locked.
    """
    with ExitStack() as stack:
        try:
            make_folder(path.parent)
            stack.enter_context(lock(lock_beside(path)))
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
            f"the ledger does not allow {first['loc'][0]} ({first['msg']})",
            remedy=f"write it in one line of UTF-8, {MAX_TEXT} characters at most",
        ) from error


def _checked(path: Path, anchors: Sequence[Anchor]) -> tuple[list[Entry], int]:
    """The entries, and the length of their lines in bytes."""
    content = _content(path)
    length = content.rfind(b"\n") + 1
    entries, sums = _chain(path, content[:length])
    head = _read_head(path)
    # A kill between a line and its head leaves the head one line behind.
    if head is not None and head.number < len(entries) - 1:
        raise LedgerError(f"its head knows only line {head.number}", path, _KEEP_IT)
    if head is None and len(entries) > 1:
        raise LedgerError(f"its head, {_head_path(path).name}, is missing", path, _KEEP_IT)
    for anchor in (*anchors, *([head] if head is not None else [])):
        if not 1 <= anchor.number <= len(entries):
            raise LedgerError(
                f"was cut short: line {anchor.number} was there, and there are {len(entries)}",
                path,
                _KEEP_IT,
            )
        if sums[anchor.number] != anchor.sha256:
            raise LedgerError(f"line {anchor.number} is not the one that was there", path, _KEEP_IT)
    return entries, length


def _content(path: Path) -> bytes:
    try:
        return read_plain(path, MAX_BYTES)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> LedgerError:
    return LedgerError(
        f"cannot be read ({error.strerror})",
        path,
        "check the path, and give your group access to the folder, the ledger and its head",
    )


def _chain(path: Path, content: bytes) -> tuple[list[Entry], list[str]]:
    """The entries, and ``START`` followed by their lines' digests."""
    entries: list[Entry] = []
    sums = [START]
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            if len(line) > MAX_LINE:
                raise ValueError("too long")
            entry = Entry.model_validate(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise LedgerError(f"line {number} is no entry of a ledger", path, _KEEP_IT) from error
        if entry.line() != line:
            raise LedgerError(f"line {number} was written by another program", path, _KEEP_IT)
        if entry.number != number or entry.before != sums[-1]:
            raise LedgerError(
                f"line {number} does not follow the line before it: one of them was "
                f"altered, taken out or put in",
                path,
                _KEEP_IT,
            )
        entries.append(entry)
        sums.append(_sha256(line))
    return entries, sums


def _read_head(path: Path) -> Anchor | None:
    try:
        number, digest = read_plain(_head_path(path), MAX_HEAD).decode("ascii").split()
        head = Anchor(int(number), digest)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(_head_path(path), error) from error
    except ValueError as error:
        raise LedgerError("not the head of a ledger", _head_path(path), _KEEP_IT) from error
    if head.number < 1:
        raise LedgerError("not the head of a ledger", _head_path(path), _KEEP_IT)
    return head


def _head_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.head")


def _head_line(head: Anchor) -> bytes:
    return f"{head.number} {head.sha256}\n".encode("ascii")


def _sha256(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
