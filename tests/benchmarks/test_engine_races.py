"""The races as a study: run once, resumed, archived; and the committed archive of them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.command import machine
from benchmarks.engine import __main__ as command
from benchmarks.engine import races
from benchmarks.engine.races import (
    COURSES,
    STUDY,
    Evaluation,
    cells_of,
    evaluations,
    finishes,
    study,
)
from benchmarks.engine.ssnl import CHECKOUT_VARIABLE, digest
from benchmarks.engine.tasks import PNEUMONIA, data_digest
from gdshare.errors import RunError, UsageError
from gdshare.storage import write_json
from studies.pneumonia import write_synthetic
from studies.runner import PIECE_S, Store, forecast, run

ARCHIVE = Path(__file__).parents[2] / "benchmarks" / "archive" / "engine"
GOLDEN = Path(__file__).parent / "golden" / "races.txt"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A few drawn images in place of PneumoniaMNIST."""
    folder = tmp_path_factory.mktemp("data")
    (folder / PNEUMONIA).parent.mkdir()
    write_synthetic(folder / PNEUMONIA, 6)
    return folder


@pytest.fixture(scope="module")
def course(data):
    theirs, ours = COURSES[0].theirs, COURSES[0].ours
    return replace(
        COURSES[0],
        data_sha256=data_digest(data / PNEUMONIA),
        theirs=replace(theirs, rival="recipe", budget=0.1, batch=4),
        ours=replace(ours, budget=0.1, batch=4, outer_steps=3),
    )


def hold(seeds, data, store, checkout, say, courses=COURSES, reporting=False):
    """Run what is to be run, and report it."""
    declared = study(seeds, data, checkout, store, reporting, courses)
    if not reporting:
        run(declared.cells, store, say)
    return declared.report(store.results(declared.cells))


@pytest.fixture(scope="module")
def held(data, course, tmp_path_factory):
    """Their recipe and our engine on one seed."""
    folder, said = tmp_path_factory.mktemp("races"), []
    store = Store(STUDY, folder / "out", folder / "archive")
    return store, hold(1, data, store, None, said.append, courses=[course]), said


def test_both_sides_run_and_are_compared(held, course):
    store, report, _ = held
    [finish] = finishes(course, 1, store.results(cells_of([course], 1, Path(), None)))
    assert 0 <= finish.target.value <= 1
    assert finish.ours[-1].cpu_seconds > 0
    figures = report.figures["time_to_quality"]["pneumonia"]
    assert figures["rival"] == "recipe"
    assert report.figures["time_to_quality_ratio_vs_ssnl"] == figures["ratio_mean"]
    assert report.text.startswith("CPU-seconds to the best score of recipe")


def test_what_the_whole_will_take_is_said_beforehand(held):
    _, _, said = held
    assert said[0] == "races: 1 of 1 cells left, 0 CPU-minutes expected"
    cells = cells_of(COURSES, 3, Path(), None)
    assert forecast(cells, Store(STUDY, Path("none"))).cpu_seconds == pytest.approx(18_003)
    assert all(cell.resumable for cell in cells if cell.cpu_seconds > PIECE_S)


def test_another_machine_compares_what_the_archive_holds_and_runs_nothing(held, course, tmp_path):
    store, report, _ = held
    elsewhere = Store(STUDY, tmp_path / "out", store.archive)
    assert hold(1, tmp_path, elsewhere, None, pytest.fail, [course]) == report
    assert hold(1, tmp_path, elsewhere, None, pytest.fail, [course], reporting=True) == report


def test_scores_and_their_machine_are_archived_and_no_image_is(held):
    store, _, _ = held
    assert {path.name for path in store.archive.iterdir()} - {f".{STUDY}.lock"} == {"races.json"}
    record = json.loads((store.archive / "races.json").read_text())["cells"]["pneumonia-recipe-0"]
    assert record["facts"]["machine"] == machine()
    assert record["cpu_seconds"] > record["facts"]["theirs"][-1]["cpu_seconds"] > 0.1
    assert record["parameters"]["recipe"]["outer_rate"] == 0.01
    assert record["parameters"]["defaults"]["outer_rate"] == 0.05
    assert record["parameters"]["initialiser"] == "zero-head/1"


def test_races_of_other_parameters_are_not_compared(held, data, course, tmp_path):
    store, _, _ = held
    longer = replace(course, ours=replace(course.ours, budget=0.2))
    elsewhere = Store(STUDY, tmp_path, store.archive)
    with pytest.raises(RunError, match="other parameters"):
        hold(1, data, elsewhere, None, pytest.fail, courses=[longer])


def test_a_race_begun_on_another_machine_is_not_gone_on_with(data, course, tmp_path):
    store = Store(STUDY, tmp_path)
    [cell] = cells_of([course], 1, data, None)
    store.folder(cell).mkdir()
    write_json(store.folder(cell) / races.MACHINE, {"machine": "another", "torch": "3"})
    with pytest.raises(RunError, match="begun on another machine"):
        hold(1, data, store, None, lambda line: None, courses=[course])


def test_no_seed_other_data_and_other_code_are_refused_before_anything_is_run(
    data, course, tmp_path
):
    store = Store(STUDY, tmp_path / "out")
    with pytest.raises(UsageError, match="--seeds 0"):
        hold(0, data, store, None, pytest.fail)
    for missing in COURSES:
        with pytest.raises(UsageError, match="--data"):
            hold(1, tmp_path, store, None, pytest.fail, courses=[missing])
    with pytest.raises(UsageError, match="not the data of the race pneumonia"):
        hold(1, data, store, None, pytest.fail, courses=COURSES[:1])
    own = replace(course, theirs=replace(course.theirs, rival="ssnl"))
    for checkout, refusal in ((None, "needs a checkout"), (tmp_path, "no checkout")):
        with pytest.raises(UsageError, match=refusal):
            hold(1, data, store, checkout, pytest.fail, courses=[own])
    (tmp_path / "networks").mkdir()
    (tmp_path / "train_distilled_image.py").write_text("a = 1\n")
    with pytest.raises(UsageError, match="not their code as published"):
        hold(1, data, store, tmp_path, pytest.fail, courses=[own])
    assert not (tmp_path / "out").exists()


def test_every_imported_file_of_a_checkout_counts(tmp_path):
    (tmp_path / "networks").mkdir()
    (tmp_path / "train_distilled_image.py").write_text("a = 1\n")
    before = digest(tmp_path)
    assert digest(tmp_path) == before
    (tmp_path / "networks" / "resnet.py").write_text("")
    assert digest(tmp_path) != before


def test_films_are_cut_for_their_own_races_and_the_longest_are_begun_first():
    cells = cells_of(COURSES, 2, Path(), None)
    names = ["cohort", "tb-ssnl-0", "tb-ssnl-1", "pneumonia-ssnl-0", "pneumonia-ssnl-1"]
    assert [cell.name for cell in cells] == names
    assert [bool(cell.needs) for cell in cells] == [False, True, True, False, False]
    assert [cell.name for cell in cells_of(COURSES[:1], 1, Path(), None)] == ["pneumonia-ssnl-0"]


def test_a_divergence_has_no_score():
    lines = [
        {"cpu_seconds": 1, "step": 1, "score": 0.5, "deviation": 0.1},
        {"cpu_seconds": 2, "step": 2, "diverged": True},
    ]
    assert evaluations(lines) == (Evaluation(1, 0.5, 0.1),)


def test_parts_can_be_asked_for_alone(monkeypatch, tmp_path):
    done = []
    monkeypatch.setattr(command, "full_speeds", lambda *words: done.append("speed") or {})

    def measure(declared, store, chosen):
        done.append(chosen.only or "quality")

    monkeypatch.setattr(command, "measure", measure)
    monkeypatch.setattr(races, "study", lambda *words: None)
    for words in ([], ["--only", "speed"], ["--only", "quality"], ["--only", "report"]):
        where = ["--data", str(tmp_path), "--ssnl", str(tmp_path)]
        monkeypatch.setattr("sys.argv", ["x", *where, *words])
        command.main()
        done.append(".")
    assert done == ["speed", "quality", ".", "speed", ".", "quality", ".", "report", "."]


@pytest.mark.parametrize("words", [["--quick", "--only", "quality"], ["--only", "cohort"]])
def test_what_would_not_be_measured_is_refused(words, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["x", *words])
    with pytest.raises(SystemExit):
        command.main()
    assert words[0] in capsys.readouterr().err


@pytest.mark.parametrize("paths", [["--data", "."], ["--data", "none", "--ssnl", "."]])
def test_without_the_data_or_their_code_the_speed_is_still_measured(
    paths, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(command, "full_speeds", lambda *words: {"speedup_vs_ssnl": 2.0})
    figures = tmp_path / "figures.json"
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(CHECKOUT_VARIABLE, raising=False)
    monkeypatch.setattr("sys.argv", ["x", *paths, "--json", str(figures)])
    command.main()
    assert "time to quality: skipped" in capsys.readouterr().out
    written = json.loads(figures.read_text())
    assert written["speedup_vs_ssnl"] == 2.0
    assert written["time_to_quality_ratio_vs_ssnl"] is None


def test_the_committed_races_are_those_that_the_code_declares_and_print_as_before(
    monkeypatch, tmp_path, capsys
):
    store = Store(STUDY, tmp_path, ARCHIVE)
    cells = cells_of(COURSES, 3, Path(), None)
    assert store.done(cells) == set(store.archived(cells)) == {cell.name for cell in cells}
    assert [path.name for path in ARCHIVE.glob("[!.]*")] == ["races.json"]
    monkeypatch.setattr("sys.argv", ["x", "--only", "report", "--archive", str(ARCHIVE)])
    command.main()
    assert capsys.readouterr().out == GOLDEN.read_text(encoding="utf-8")
