"""A round's record: how far it has come and every answer so far, in ``ROUND/round.sqlite``.

A round that was killed goes on from here: what is in the record is not asked, measured or drawn
again. Each write is one transaction, on the disk when the call returns. The stages, in order:

============  ================================================================================
announced     the order is there, nobody was asked
collecting    hospitals are asked to hand over what they released
screened      each sound bundle is measured, admitted or quarantined, and that is in the ledger
trained       the model is in the round's folder
validated     validation films are counted
fixed         one ε is fixed
tested        test films are counted
closed        the result is written
============  ================================================================================

With too few hospitals a round stops at ``collecting`` or ``trained``, where it waits for more.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeGuard

from pydantic import JsonValue

from gdshare.errors import FederationError
from gdshare.ledger import Anchor
from gdshare.messages import Fields
from gdshare.storage import own_mode, write_bytes

BUSY_S = 30.0
"""How long a writer waits for another, who writes a row."""
FORMAT = 1
SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS stages (stage TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, node TEXT NOT NULL, at TEXT NOT NULL, fields TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS contents (
    key TEXT NOT NULL REFERENCES answers (key), name TEXT NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (key, name));
CREATE TABLE IF NOT EXISTS known (node TEXT, digest TEXT, PRIMARY KEY (node, digest));
CREATE TABLE IF NOT EXISTS nodes (
    node TEXT PRIMARY KEY, site TEXT NOT NULL, doing TEXT NOT NULL,
    done INTEGER NOT NULL, total INTEGER NOT NULL, since TEXT NOT NULL);
PRAGMA user_version = {FORMAT};
COMMIT;
"""

RUN, LEDGER, LEDGER_END = "run", "ledger", "ledger-end"

Clock = Callable[[], datetime]


class Stage(StrEnum):
    """How far a round has come; see the module's docstring."""

    ANNOUNCED = "announced"
    COLLECTING = "collecting"
    SCREENED = "screened"
    TRAINED = "trained"
    VALIDATED = "validated"
    FIXED = "fixed"
    TESTED = "tested"
    CLOSED = "closed"


@dataclass(frozen=True)
class NodeState:
    """What a node is doing, as far as the aggregator knows.

    Attributes:
        node: Flower's number.
        site: its hospital; empty while that is not known.
        doing: ``offline``, ``asked``, ``fetching``, ``training``, ``counting``, ``answered``, or
            ``refused: REASON``.
        done, total: films of a count, or bytes of a transfer; 0 and 0 where there is nothing to
            count.
        since: UTC, of the last change.
    """

    node: int
    site: str
    doing: str
    done: int
    total: int
    since: datetime


class RoundRecord:
    """The record of one round, open for one writer; ``open_record`` makes it."""

    def __init__(self, connection: sqlite3.Connection, now: Clock) -> None:
        """Take over an open database."""
        self._connection, self._now = connection, now

    @property
    def stage(self) -> Stage:
        """The stage that was reached last."""
        row = self._row("SELECT stage FROM stages ORDER BY rowid DESC LIMIT 1")
        return Stage(row[0]) if row else Stage.ANNOUNCED

    def has_reached(self, stage: Stage) -> bool:
        """Whether the round has come to a stage, or past it."""
        stages = list(Stage)
        return stages.index(self.stage) >= stages.index(stage)

    def reach(self, stage: Stage) -> None:
        """Note that the round has come to a stage, if it is not there already."""
        if stage != self.stage:
            self._write("INSERT INTO stages VALUES (?, ?)", stage, self._moment())

    def answer(self, key: str) -> Fields | None:
        """The kept answer to a question, or None."""
        row = self._row("SELECT fields FROM answers WHERE key = ?", key)
        if row is None:
            return None
        fields: dict[str, object] = json.loads(row[0])
        contents = self._rows("SELECT name, content FROM contents WHERE key = ?", key)
        return fields | {name: bytes(content) for name, content in contents}

    def keep(self, key: str, node: int, fields: Fields) -> None:
        """Keep the answer to a question; of two answers the first counts.

        Args:
            key: of the question.
            node: who answered.
            fields: a stranger's; a value of no kind that is agreed becomes None.
        """
        plain = {name: _plain(value) for name, value in fields.items() if not _content(value)}
        contents = [(key, name, value) for name, value in fields.items() if _content(value)]
        with self._connection:
            added = self._connection.execute(
                "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)",
                (key, str(node), self._moment(), json.dumps(plain)),
            )
            if added.rowcount:
                self._connection.executemany("INSERT INTO contents VALUES (?, ?, ?)", contents)

    def close(self) -> None:
        """Note that the result is written, and delete the files in all answers."""
        self.drop_contents()
        self.reach(Stage.CLOSED)

    def drop_contents(self) -> None:
        """Delete the files in all answers: bundles, of which the round needs none any more."""
        self._write("DELETE FROM contents")

    def forget(self, keys: Iterable[str]) -> None:
        """Drop answers, so that their questions are asked again."""
        with self._connection:
            for key in keys:
                self._connection.execute("DELETE FROM contents WHERE key = ?", (key,))
                self._connection.execute("DELETE FROM answers WHERE key = ?", (key,))

    def keys(self, prefix: str) -> dict[str, int]:
        """Every answered question whose key begins so, with the node that answered."""
        rows = self._rows("SELECT key, node FROM answers ORDER BY key")
        return {key: int(node) for key, node in rows if key.startswith(prefix)}

    def fact(self, name: str) -> JsonValue:
        """A value that the round has found, or None."""
        row = self._row("SELECT value FROM facts WHERE name = ?", name)
        return None if row is None else json.loads(row[0])

    def set_fact(self, name: str, value: JsonValue) -> None:
        """Keep a value, in place of an earlier one."""
        self._write("INSERT OR REPLACE INTO facts VALUES (?, ?)", name, json.dumps(value))

    def forget_facts(self, prefix: str) -> None:
        """Drop values whose names begin so."""
        self._write("DELETE FROM facts WHERE substr(name, 1, ?) = ?", len(prefix), prefix)

    def end(self, line: int) -> None:
        """Note the ledger's last line when a process stopped working on the round."""
        self.set_fact(LEDGER_END, line)

    @property
    def ledger_end(self) -> int | None:
        """Number of the ledger's last line when the round was last worked on; None: unknown."""
        fact = self.fact(LEDGER_END)
        return fact if isinstance(fact, int) else None

    @property
    def ledger_before(self) -> Anchor | None:
        """The ledger's last line before the round, once that is known."""
        fact = self.fact(LEDGER)
        match fact:
            case [int(number), str(sha256)]:
                return Anchor(number, sha256)
        return None

    def begin(self, run: int, ledger: Anchor) -> None:
        """Note who runs the round from now on, and where the ledger stood when it began.

        Args:
            run: Flower's number of the run.
            ledger: the last line; a round that goes on keeps its own.
        """
        self.set_fact(RUN, str(run))
        if self.ledger_before is None:
            self.set_fact(LEDGER, [ledger.number, ledger.sha256])

    @property
    def run(self) -> str:
        """Flower's number of the run that was the last to work on the round."""
        return str(self.fact(RUN))

    def known(self, node: int) -> frozenset[str]:
        """Digests of the bundles and models that a node has."""
        rows = self._rows("SELECT digest FROM known WHERE node = ?", str(node))
        return frozenset(digest for (digest,) in rows)

    def set_known(self, node: int, digests: Sequence[str]) -> None:
        """Note what a node has."""
        with self._connection:
            rows = [(str(node), digest) for digest in digests]
            self._connection.executemany("INSERT OR IGNORE INTO known VALUES (?, ?)", rows)

    def set_unknown(self, node: int) -> None:
        """Note that a node has lost what it had."""
        self._write("DELETE FROM known WHERE node = ?", str(node))

    def note(self, node: int, doing: str, site: str = "", done: int = 0, total: int = 0) -> None:
        """Note what a node is doing; the same again changes nothing, and no site an earlier one."""
        row = self._row("SELECT site, doing, done, total FROM nodes WHERE node = ?", str(node))
        site = site or (row[0] if row else "")
        if row != (site, doing, done, total):
            values = (str(node), site, doing, done, total, self._moment())
            self._write("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?, ?, ?, ?)", *values)

    def nodes(self) -> list[NodeState]:
        """What each node is doing."""
        rows = self._rows("SELECT * FROM nodes ORDER BY site, node")
        return [_node_state(row) for row in rows]

    def history(self) -> list[tuple[Stage, datetime]]:
        """Every stage in the order it was reached, and when (UTC)."""
        rows = self._rows("SELECT stage, at FROM stages ORDER BY rowid")
        return [(Stage(stage), datetime.fromisoformat(at)) for stage, at in rows]

    def _moment(self) -> str:
        return self._now().astimezone(UTC).isoformat(timespec="milliseconds")

    def _write(self, statement: str, *values: object) -> None:
        with self._connection:
            self._connection.execute(statement, values)

    def _row(self, query: str, *values: object) -> Any:
        return self._connection.execute(query, values).fetchone()

    def _rows(self, query: str, *values: object) -> list[Any]:
        return self._connection.execute(query, values).fetchall()


@contextmanager
def open_record(path: Path, now: Clock) -> Iterator[RoundRecord]:
    """Open a round's record to write to it; it is made if it is missing.

    Args:
        path: the file.
        now: the clock, UTC.

    Raises:
        FederationError: it is damaged, of a newer gdshare, or the disk is full.
    """
    if not path.exists():
        write_bytes(path, b"", own_mode(path.parent))
    with _opened(path, str(path)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.executescript(SCHEMA)
        yield RoundRecord(connection, now)


@contextmanager
def read_record(path: Path) -> Iterator[RoundRecord]:
    """Open a round's record to read it, also while the round is running.

    Raises:
        FederationError: there is none, or it is damaged.
    """
    if not path.is_file():
        raise FederationError(
            "no round was begun there", path.parent, "give the --out of gdshare aggregate"
        )
    # Writable, so that a write which a kill cut off is rolled back; where it may not be, as it is.
    mode = "rw" if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK) else "ro"
    with _opened(path, f"{path.absolute().as_uri()}?mode={mode}") as connection:
        connection.execute("PRAGMA query_only = ON")
        yield RoundRecord(connection, _no_clock)


@contextmanager
def _opened(path: Path, address: str) -> Iterator[sqlite3.Connection]:
    try:
        with closing(
            sqlite3.connect(address, timeout=BUSY_S, uri=address.startswith("file:"))
        ) as connection:
            [version] = connection.execute("PRAGMA user_version").fetchone()
            if version > FORMAT:
                raise FederationError(
                    "the round's record is of a newer gdshare", path, "use that one"
                )
            yield connection
    except sqlite3.Error as error:
        raise FederationError(
            f"the round's record cannot be used ({error})",
            path,
            "make room if the disk is full; otherwise hold a new round",
        ) from error


def _no_clock() -> datetime:
    raise AssertionError("a record that is read is not written")


def _content(value: object) -> TypeGuard[bytes]:
    return isinstance(value, bytes)


def _plain(value: object) -> JsonValue:
    """A value that JSON has; None for a stranger's of another kind."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list) and all(isinstance(item, (int, float, str)) for item in value):
        return list(value)
    return None


def _node_state(row: Any) -> NodeState:
    node, site, doing, done, total, since = row
    return NodeState(int(node), site, doing, done, total, datetime.fromisoformat(since))
