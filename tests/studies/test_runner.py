import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from gdshare.errors import RunError
from studies import runner
from studies.runner import PIECE_S, Cell, Result, Store, claimed, forecast, run

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import sys, time
from pathlib import Path
from studies.runner import Cell, Result, Store, run
def share(piece, parameters):
    with (piece.folder / "log").open("a") as log:
        log.write(sys.argv[2] + "\\n")
    time.sleep(0.05)
    return Result({"by": sys.argv[2]})
def hang(piece, parameters):
    (piece.folder / "half").write_text("kept")
    piece.keep()
    print("working", flush=True)
    time.sleep(600)
cells = []
if sys.argv[2] == "hang":
    cells.append(Cell("cell", "any", hang, None))
else:
    for n in range(12):
        needs = {} if n < 4 else {"before": cells[n - 4]}
        cells.append(Cell(f"cell-{n}", "any", share, None, n, needs))
    print("ready", flush=True)
    sys.stdin.readline()
run(cells, Store("test", Path(sys.argv[1])), lambda line: None, pause=0.02)
"""


@dataclass(frozen=True)
class Size:
    side: int = 3


class Clock:
    """A clock that the test moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def started(*arguments):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def silent(line):
    pass


def noting(log):
    def work(piece, parameters):
        log.append(piece.folder.name.partition(".")[0])
        return Result({"seed": piece.seed})

    return work


def cell(name, function, **changes):
    return Cell(name, "any", function, **{"parameters": None, **changes})


def chain(log):
    """Three cells, of which the first in the list needs the others."""
    first = cell("first", noting(log))
    second = cell("second", noting(log), needs={"before": first})
    return [cell("late", noting(log), needs={"a": first, "b": second}), first, second]


def test_cells_are_done_in_order_once_what_they_need_is_done(tmp_path):
    log = []
    run(chain(log), Store("test", tmp_path), silent)
    assert log == ["first", "second", "late"]


def test_a_function_gets_parameters_seed_and_what_it_needs(tmp_path):
    def side(piece, size):
        (piece.folder / "file").write_text("kept")
        return Result({"side": size.side}, {"row": np.arange(size.side)})

    def double(piece, parameters):
        need = piece.needs["other"]
        assert (need.folder / "file").read_text() == "kept"
        return Result({"twice": 2 * need.result.number("side"), "seed": piece.seed})

    first = cell("first", side, parameters=Size(4))
    store = Store("test", tmp_path)
    cells = [first, cell("second", double, seed=7, needs={"other": first})]
    run(cells, store, silent)
    results = store.results(cells)
    assert results["second"].facts == {"twice": 8, "seed": 7}
    assert results["first"].arrays["row"].tolist() == [0, 1, 2, 3]


def test_a_second_call_does_nothing_again(tmp_path):
    log, said = [], []
    run(chain(log), Store("test", tmp_path), silent)
    run(chain(log), Store("test", tmp_path), said.append)
    assert len(log) == 3
    assert said == []


@pytest.mark.parametrize(
    "change", [{"parameters": Size(5)}, {"seed": 1}, {"version": 2}, {"name": "other"}]
)
def test_whatever_decides_a_result_is_in_the_digest_of_the_cell_and_of_all_that_need_it(change):
    def pair(**changes):
        first = replace(cell("first", noting([]), parameters=Size(4)), **changes)
        return first, cell("second", noting([]), needs={"before": first})

    before, after = pair(), pair(**change)
    assert before[0].digest == pair()[0].digest
    assert all(old.digest != new.digest for old, new in zip(before, after, strict=True))


def test_other_parameters_never_meet_old_results(tmp_path):
    log, store = [], Store("test", tmp_path)
    for side in (3, 4, 3):
        run([cell("x", noting(log), parameters=Size(side))], store, silent)
    assert log == ["x", "x"]


def test_the_whole_is_foretold_and_each_cell_is_told_with_its_time(tmp_path):
    said, clock = [], Clock()

    def slow(piece, parameters):
        clock.now += 120.0
        return Result()

    cells = [Cell(name, "any", slow, None, cpu_seconds=60) for name in "xyz"]
    store = Store("test", tmp_path)
    assert str(forecast(cells, store)) == "3 of 3 cells left, 3 CPU-minutes expected"
    run(cells, store, said.append, clock=clock)
    assert said[:3] == [
        "test: 3 of 3 cells left, 3 CPU-minutes expected",
        "x: begun, 60 CPU-seconds expected",
        "x: done, 120 CPU-seconds; 2 of 3 cells left, 2 CPU-minutes expected",
    ]
    assert forecast(cells, store).left == 0
    assert store.results(cells)["z"].cpu_seconds == 120.0


def test_a_long_cell_is_done_in_pieces_of_twenty_cpu_minutes(tmp_path):
    clock, pieces = Clock(), []

    def train(piece, parameters):
        path = piece.folder / "step"
        step = int(path.read_text()) if path.exists() else 0
        pieces.append(step)
        while step < 5:
            clock.now += 500.0
            step += 1
            path.write_text(str(step))
            piece.keep()
        return Result({"steps": step})

    long = cell("long", train, cpu_seconds=2500, resumable=True)
    store = Store("test", tmp_path)
    said = []
    run([long], store, said.append, minutes=10, clock=clock)
    assert (pieces, store.done([long])) == ([0], set())
    assert said[-1] == "stopped after 10 CPU-minutes; the same command goes on"
    assert forecast([long], store).cpu_seconds == 1500.0
    run([long], store, said.append, clock=clock)
    assert pieces == [0, 2, 5]
    assert store.results([long])["long"].cpu_seconds == 2500.0
    with pytest.raises(ValueError, match="not resumable"):
        cell("long", train, cpu_seconds=PIECE_S + 1)


def test_with_its_time_nearly_over_a_call_begins_only_what_fits(tmp_path):
    clock, log = Clock(), []

    def work(piece, parameters):
        log.append(piece.folder.name[0])
        clock.now += 500.0
        return Result()

    cells = [
        cell(name, work, cpu_seconds=seconds)
        for name, seconds in zip("xyz", (900, 900, 60), strict=True)
    ]
    store = Store("test", tmp_path)
    run(cells, store, silent, minutes=10, clock=clock)
    assert log == ["x", "z"]  # the first whatever it takes; the second would end too late
    run(cells, store, silent, minutes=10, clock=clock)
    assert log == ["x", "z", "y"]


def test_two_processes_share_the_cells_and_none_is_done_twice(tmp_path):
    both = [started(tmp_path, own) for own in ("one", "two")]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in both:
        process.communicate(timeout=60)
        assert process.returncode == 0
    logs = [(folder / "log").read_text().split() for folder in tmp_path.iterdir()]
    assert len(logs) == 12
    assert all(len(log) == 1 for log in logs)
    assert {log[0] for log in logs} == {"one", "two"}


def test_the_cell_of_a_killed_process_is_taken_up_with_what_was_kept(tmp_path):
    process = started(tmp_path, "hang")
    assert process.stdout.readline() == "working\n"
    (folder,) = tmp_path.iterdir()
    with claimed(folder) as mine:
        assert not mine
    said, kept = [], []

    def say(line):
        said.append(line)
        if line.startswith("waiting"):
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()

    def work(piece, parameters):
        kept.append((piece.folder / "half").read_text())
        return Result()

    (folder / "seconds.json").write_text("5.0")
    store = Store("test", tmp_path)
    run([cell("cell", work)], store, say, clock=lambda: 0.0, pause=0.05)
    assert kept == ["kept"]
    assert said[1] == "waiting for other processes; 1 cells are left"
    assert store.results([cell("cell", work)])["cell"].cpu_seconds == 5.0  # kept work had its price


def test_seconds_of_kept_work_add_up_and_lost_work_is_not_counted(tmp_path):
    clock, store = Clock(), Store("test", tmp_path)

    def failing(piece, parameters):
        clock.now += 3.0
        piece.keep()
        clock.now += 100.0
        raise RunError("no")

    def finishing(piece, parameters):
        clock.now += 4.0
        return Result()

    with pytest.raises(RunError):
        run([cell("x", failing)], store, silent, clock=clock)
    assert not store.done([cell("x", failing)])
    run([cell("x", finishing)], store, silent, clock=clock)
    assert store.results([cell("x", finishing)])["x"].cpu_seconds == 7.0


def test_one_kind_brings_what_it_needs_and_nothing_else(tmp_path):
    log = []
    cohort = Cell("cohort", "cohorts", noting(log), None)
    distil = Cell("distil", "distil", noting(log), None, needs={"cohort": cohort})
    real = Cell("real", "real", noting(log), None, needs={"cohort": cohort})
    films = Cell("films", "films", noting(log), None, needs={"images": distil})
    run([cohort, distil, real, films], Store("test", tmp_path), silent, kind="films")
    assert log == ["cohort", "distil", "films"]


def filled(tmp_path, log):
    """An archive of the first two cells of a chain, and the chain in the order of its needs."""
    late, first, second = chain(log)
    wide = cell("wide", lambda piece, _: Result({}, {"row": np.arange(3)}))
    run([first, second, wide], Store("test", tmp_path / "here", tmp_path / "archive"), silent)
    log.clear()
    return [first, second, late, wide]


def test_another_machine_goes_on_from_the_archive(tmp_path):
    log = []
    cells = filled(tmp_path, log)
    assert {path.name for path in (tmp_path / "archive").glob("[!.]*")} == {"test.json", "test.npz"}
    there = Store("test", tmp_path / "there", tmp_path / "archive")
    results = there.results(cells)
    assert set(results) == {"first", "second", "wide"}
    assert results["wide"].arrays["row"].tolist() == [0, 1, 2]
    run(cells[:2], there, silent)
    assert log == []
    # the third cell may open files of what it needs, and an archive has none
    assert forecast(cells, there).left == 3
    run(cells, there, silent)
    assert log == ["first", "second", "late"]
    assert there.done(cells) == {one.name for one in cells}


def test_an_archive_is_never_overwritten_by_other_parameters_or_another_torch(
    tmp_path, monkeypatch
):
    cells = filled(tmp_path, [])
    store = Store("test", tmp_path / "there", tmp_path / "archive")
    changed = [cell("first", noting([]), parameters={"size": {"side": 4}})]
    with pytest.raises(RunError, match=r"first was computed with other parameters; .*--archive"):
        run(changed, store, silent)
    monkeypatch.setattr(runner.torch, "__version__", "0.0")
    with pytest.raises(RunError, match=r"and this is 0\.0.*--archive"):
        run(cells, store, silent)
    assert set(store.results(cells)) == {"first", "second", "wide"}  # to be read by any
    with pytest.raises(RunError, match=r"and this is 0\.0.*--out"):
        Store("test", tmp_path / "here").results(cells)


def test_damaged_results_are_refused(tmp_path):
    cells = filled(tmp_path, [])
    store = Store("test", tmp_path / "here")
    (store.folder(cells[0]) / "done.json").write_text("{")
    with pytest.raises(RunError, match=r"done\.json: cannot be read"):
        store.results(cells)
    (tmp_path / "archive" / "test.npz").write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(RunError, match=r"test\.npz: cannot be read"):
        Store("test", tmp_path / "new", tmp_path / "archive").results(cells)


def test_a_cell_done_since_we_looked_is_not_done_again(tmp_path):
    log, store = [], Store("test", tmp_path)
    second = cell("second", noting(log))

    def first(piece, parameters):  # another process does the second cell meanwhile
        run([second], store, silent)
        return Result()

    run([cell("first", first), second], store, silent)
    assert log == ["second"]


def test_the_archive_tells_what_each_cell_was_computed_from(tmp_path):
    filled(tmp_path, [])
    archive = json.loads((tmp_path / "archive" / "test.json").read_text())
    first, second = archive["cells"]["first"], archive["cells"]["second"]
    assert second["needs"] == {"before": "first"}
    assert set(first) == {"parameters", "seed", "version", "needs", "facts", "cpu_seconds"}
