import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.pieces.claims import (
    Piece,
    claimed,
    do_pieces,
    done,
    facts,
    seconds_of,
    with_needs,
)
from gdshare.errors import RunError

ROOT = Path(__file__).resolve().parents[2]

SHARED = """
import sys, time
from pathlib import Path
from benchmarks.pieces.claims import Piece, do_pieces
out, own = Path(sys.argv[1]), sys.argv[2]
def work(folder, watch):
    with (folder / "log").open("a") as log:
        log.write(own + "\\n")
    time.sleep(0.05)
    return {"by": own}
pieces = [Piece(f"piece-{n}", "any", work, () if n < 4 else (f"piece-{n - 4}",)) for n in range(12)]
print("ready", flush=True)
sys.stdin.readline()
do_pieces(out, pieces, lambda line: None, pause=0.02)
"""

STUCK = """
import sys, time
from pathlib import Path
from benchmarks.pieces.claims import Piece, do_pieces
def work(folder, watch):
    (folder / "half").write_text("kept")
    watch.keep()
    print("working", flush=True)
    time.sleep(600)
do_pieces(Path(sys.argv[1]), [Piece("piece", "any", work)], lambda line: None)
"""


def started(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def silent(line):
    pass


def noting(log):
    def work(folder, watch):
        log.append(folder.name)
        return {"of": folder.name}

    return work


def test_pieces_are_done_in_order_once_their_needs_are_done(tmp_path):
    log = []
    work = noting(log)
    pieces = [Piece("late", "b", work, ("first", "second")), Piece("first", "a", work)]
    pieces.append(Piece("second", "a", work, ("first",)))
    do_pieces(tmp_path, pieces, silent)
    assert log == ["first", "second", "late"]
    assert facts(tmp_path, "late")["of"] == "late"


def test_a_second_call_does_nothing_again(tmp_path):
    log, said = [], []
    pieces = [Piece(name, "a", noting(log)) for name in "xyz"]
    do_pieces(tmp_path, pieces, silent)
    do_pieces(tmp_path, pieces, said.append)
    assert log == ["x", "y", "z"]
    assert said == []


def test_start_and_end_of_a_piece_are_told_with_its_time(tmp_path):
    said, ticks = [], iter([10.0, 52.4])
    do_pieces(tmp_path, [Piece("x", "a", noting([]))], said.append, lambda: next(ticks))
    assert said == ["x: begun", "x: done, 42 CPU-seconds"]
    assert seconds_of(facts(tmp_path, "x")) == pytest.approx(42.4)


def test_two_processes_share_the_pieces_and_none_is_done_twice(tmp_path):
    both = [started(SHARED, tmp_path, own) for own in ("one", "two")]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in both:
        process.communicate(timeout=60)
        assert process.returncode == 0
    logs = [(tmp_path / f"piece-{n}" / "log").read_text().split() for n in range(12)]
    assert all(len(log) == 1 for log in logs)
    assert {log[0] for log in logs} == {"one", "two"}
    for n, log in enumerate(logs):
        assert facts(tmp_path, f"piece-{n}")["by"] == log[0]


def test_a_claim_is_held_against_everybody_else_and_given_back(tmp_path):
    with claimed(tmp_path) as mine:
        assert mine
        with claimed(tmp_path) as again:
            assert not again
    with claimed(tmp_path) as mine:
        assert mine


def test_the_piece_of_a_killed_process_is_taken_up_with_what_was_kept(tmp_path):
    process = started(STUCK, tmp_path)
    assert process.stdout.readline() == "working\n"
    with claimed(tmp_path / "piece") as mine:
        assert not mine
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (tmp_path / "piece" / "seconds.json").write_text(json.dumps({"cpu_seconds": 5.0}))
    found = []

    def work(folder, watch):
        found.append((folder / "half").read_text())
        return {}

    do_pieces(tmp_path, [Piece("piece", "any", work)], silent, lambda: 0.0)
    assert found == ["kept"]
    assert seconds_of(facts(tmp_path, "piece")) == 5.0  # what was kept had its price


def test_with_only_claimed_pieces_left_a_process_waits_for_them(tmp_path):
    process = started(STUCK, tmp_path)
    assert process.stdout.readline() == "working\n"
    log, said = [], []

    def say(line):
        said.append(line)
        if line.startswith("waiting"):
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()

    do_pieces(tmp_path, [Piece("piece", "any", noting(log))], say, pause=0.05)
    assert log == ["piece"]
    assert said[0] == "waiting for other processes; 1 pieces are left"


def test_a_failing_piece_is_not_done_and_can_be_tried_again(tmp_path):
    def broken(folder, watch):
        raise RunError("no")

    with pytest.raises(RunError):
        do_pieces(tmp_path, [Piece("x", "a", broken)], silent)
    assert not done(tmp_path, "x")
    log = []
    do_pieces(tmp_path, [Piece("x", "a", noting(log))], silent)
    assert log == ["x"]


def test_seconds_of_kept_work_add_up_over_attempts(tmp_path):
    now = [0.0]

    def stopped(folder, watch):
        now[0] += 3.0
        watch.keep()
        now[0] += 100.0  # spent on what is lost
        raise RunError("killed")

    def finishing(folder, watch):
        now[0] += 4.0
        return {}

    with pytest.raises(RunError):
        do_pieces(tmp_path, [Piece("x", "a", stopped)], silent, lambda: now[0])
    do_pieces(tmp_path, [Piece("x", "a", finishing)], silent, lambda: now[0])
    assert seconds_of(facts(tmp_path, "x")) == 7.0


def test_one_kind_brings_what_it_needs_and_nothing_else():
    pieces = [
        Piece("cohort", "cohorts", silent),
        Piece("distil", "distil", silent, ("cohort",)),
        Piece("real", "real", silent, ("cohort",)),
        Piece("films", "films", silent, ("distil",)),
    ]
    assert [one.name for one in with_needs(pieces, "films")] == ["cohort", "distil", "films"]
    assert [one.name for one in with_needs(pieces, "real")] == ["cohort", "real"]


def test_asking_for_a_piece_that_is_not_done_says_what_to_do(tmp_path):
    with pytest.raises(RunError, match="not done"):
        facts(tmp_path, "x")


def test_a_damaged_record_is_refused(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "done.json").write_text("{")
    with pytest.raises(RunError, match=r"done\.json: cannot be read"):
        facts(tmp_path, "x")


def test_a_piece_done_since_we_looked_is_not_done_again(tmp_path):
    log = []
    second = Piece("second", "a", noting(log))

    def first(folder, watch):  # another process does the second piece meanwhile
        do_pieces(tmp_path, [second], silent)
        return {}

    began = time.monotonic()
    do_pieces(tmp_path, [Piece("first", "a", first), second], silent, pause=5.0)
    assert log == ["second"]
    assert time.monotonic() - began < 30
