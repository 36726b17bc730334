"""A round's record: kept at once, read by others meanwhile, the same after a kill."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aggregator.record import RoundRecord, Stage, open_record, read_record
from gdshare.errors import FederationError
from gdshare.ledger import Anchor

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
NODE = 2**64 - 7
"""Flower's numbers fill 64 bits."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "round.sqlite"


def opened(path: Path) -> AbstractContextManager[RoundRecord]:
    return open_record(path, lambda: NOW)


def test_answer_is_kept_with_its_bytes_and_its_numbers(path: Path) -> None:
    fields = {"bundle.sig": b"\0\xff", "tp": [1, 2], "noise": 0.5, "word": "ok", "flag": True}
    with opened(path) as record:
        record.keep("collect/1", NODE, fields)
    with opened(path) as record:
        assert record.answer("collect/1") == fields
        assert record.keys("collect/") == {"collect/1": NODE}
        assert record.answer("collect/2") is None


def test_first_of_two_answers_counts(path: Path) -> None:
    with opened(path) as record:
        record.keep("k", 1, {"tp": [1], "file": b"a"})
        record.keep("k", 1, {"tp": [2], "other": b"b"})
        assert record.answer("k") == {"tp": [1], "file": b"a"}


def test_value_of_no_agreed_kind_becomes_nothing(path: Path) -> None:
    with opened(path) as record:
        record.keep("k", 1, {"x": [b"bytes"], "y": {"a": 1}})
        assert record.answer("k") == {"x": None, "y": None}


def test_stages_and_nodes_are_seen_by_a_reader(path: Path) -> None:
    with opened(path) as record:
        record.begin(7, Anchor(3, "a" * 64))
        record.reach(Stage.COLLECTING)
        record.reach(Stage.COLLECTING)
        record.note(NODE, "asked", "east")
        record.note(NODE, "counting", "", 10, 23)
        with read_record(path) as reader:
            assert reader.stage is Stage.COLLECTING
            assert reader.history() == [(Stage.COLLECTING, NOW)]
            [state] = reader.nodes()
            assert (state.node, state.site, state.doing) == (NODE, "east", "counting")
            assert (state.done, state.total, state.since) == (10, 23, NOW)
            assert (reader.run, reader.ledger_before) == ("7", Anchor(3, "a" * 64))


def test_round_that_goes_on_keeps_where_the_ledger_stood(path: Path) -> None:
    with opened(path) as record:
        record.begin(1, Anchor(3, "a" * 64))
        record.begin(2, Anchor(9, "b" * 64))
        assert (record.run, record.ledger_before) == ("2", Anchor(3, "a" * 64))


def test_no_record_is_an_error_that_makes_none(path: Path) -> None:
    with pytest.raises(FederationError, match="no round was begun there"), read_record(path):
        pass
    assert not path.exists()


def test_damaged_record_is_an_error_in_plain_words(path: Path) -> None:
    path.write_bytes(b"this is no database, although it is long enough to be taken for one" * 40)
    with pytest.raises(FederationError, match="cannot be used"), opened(path):
        pass


def test_record_of_a_newer_gdshare_is_left_alone(path: Path) -> None:
    with opened(path):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(FederationError, match="newer gdshare"), opened(path):
        pass
    assert path.read_bytes() == before


KILLED = """
import sys
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from aggregator.record import open_record
with open_record(Path(sys.argv[1]), lambda: datetime.now(UTC)) as record:
    for number in range(100_000):
        record.keep(f"k/{number}", 1, {"n": number, "file": bytes(20_000)})
        print(number, flush=True)
"""


def test_what_was_kept_survives_a_kill(path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
    with opened(path) as record:
        kept = record.keys("k/")
        assert {f"k/{number}" for number in said} <= set(kept)
        for key in kept:
            answer = record.answer(key)
            assert answer is not None
            assert answer["file"] == bytes(20_000), "an answer is there whole or not at all"


def test_write_that_a_kill_cut_off_is_rolled_back_by_a_reader(path: Path, tmp_path: Path) -> None:
    """As the disk was in the middle of a transaction: pages changed, and a hot journal."""
    with opened(path) as record:
        for number in range(50):
            record.keep(f"k/{number}", 1, {"file": bytes(5000)})
    torn = tmp_path / "torn"
    torn.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA cache_size = 5")
        connection.execute("UPDATE contents SET content = zeroblob(6000)")
        for file in tmp_path.glob("round.sqlite*"):
            shutil.copy(file, torn / file.name)
        connection.rollback()
    assert (torn / "round.sqlite-journal").stat().st_size > 0
    with read_record(torn / "round.sqlite") as record:
        assert record.answer("k/7") == {"file": bytes(5000)}
