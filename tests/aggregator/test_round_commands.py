"""``gdshare status`` and ``gdshare receipts``, for a round that is running, stopped or closed."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bundle_run_kit import PASSPHRASE
from command_kit import gdshare
from round_kit import World, released

from aggregator.flower.folder import LOCK, RECORD
from aggregator.flower.order import read_order, write_order
from aggregator.record import Stage, open_record
from gdshare.errors import FederationError
from gdshare.lock import lock

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A round that stopped while hospitals counted."""
    with open_record(tmp_path / RECORD, lambda: NOW) as record:
        record.reach(Stage.COLLECTING)
        record.reach(Stage.TRAINED)
        record.note(2**63 + 5, "counting", "east", 10, 23)
        record.note(7, "offline", "north")
        record.note(8, "fetching", "", 4096, 0)
        record.note(9, "refused: too-few-films", "west")
    return tmp_path


def test_status_says_who_is_doing_what_since_when(stopped: Path) -> None:
    shown = gdshare("status", stopped).out
    assert "trained since 2026-02-03T04:05:06Z; nobody is at work on it" in shown
    assert "gdshare aggregate --resume goes on" in shown
    rows = {line.split("│")[1].strip(): line for line in shown.splitlines() if "│" in line}
    assert "counting film 10 of 23" in rows["east"]
    assert "offline" in rows["north"]
    assert "transferring" in rows["node 8"]
    assert "refused: too-few-films" in rows["west"]


def test_status_for_programs(stopped: Path) -> None:
    state = json.loads(gdshare("status", stopped, "--json", check=True).out)
    assert (state["stage"], state["running"]) == ("trained", False)
    assert [step["stage"] for step in state["history"]] == ["collecting", "trained"]
    east = next(node for node in state["nodes"] if node["site"] == "east")
    assert east["node"] == str(2**63 + 5), "a number that JSON readers would round"
    assert (east["doing"], east["done"], east["total"]) == ("counting", 10, 23)


def test_status_of_a_running_round(stopped: Path) -> None:
    with lock(stopped / LOCK):
        assert "nobody is at work" not in gdshare("status", stopped, check=True).out


def test_status_where_no_round_is(tmp_path: Path) -> None:
    ended = gdshare("status", tmp_path)
    assert ended.status == 4
    assert "no round was begun there" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_watching_ends_when_nobody_is_at_work(stopped: Path) -> None:
    assert gdshare("status", stopped, "--watch").status == 0


@pytest.fixture
def held(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A closed round without receipts, as after a kill of its command."""
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    result = released(world).hold(world.grid(), ensemble=1)
    write_order(world.folder / "out", result.order)
    gdshare("keys", "new", "--name", "tokyo", "--out", world.folder / "keys", check=True)
    return world


def test_receipts_are_signed_after_the_round(held: World) -> None:
    out, key = held.folder / "out", held.folder / "keys" / "tokyo.key"
    words = ("receipts", out, "--key", key, "--name", "tokyo")
    gdshare(*words, check=True)
    names = sorted(path.name for path in (out / "receipts").iterdir())
    assert names == ["east-1.receipt", "north-1.receipt", "west-1.receipt"]
    receipts = [word for name in names for word in ("--receipt", out / "receipts" / name)]
    public = key.with_suffix(".pub")
    gdshare("ledger", "verify", held.ledger, *receipts, "--key", public, check=True)
    gdshare(*words, check=True)
    assert sorted(path.name for path in (out / "receipts").iterdir()) == names


def test_receipts_of_a_folder_that_is_no_round(held: World, tmp_path: Path) -> None:
    key = held.folder / "keys" / "tokyo.key"
    ended = gdshare("receipts", tmp_path / "none", "--key", key, "--name", "tokyo")
    assert ended.status == 4
    assert "no readable order" in ended.err
    with pytest.raises(FederationError):
        read_order(tmp_path / "none")
