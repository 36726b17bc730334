import json
import shutil
import sys
from contextlib import ExitStack
from dataclasses import replace

import pytest

from benchmarks.engine import __main__ as command
from benchmarks.engine import races
from benchmarks.engine.race import COURSES, Score
from benchmarks.engine.races import hold, pieces_of, scores
from benchmarks.engine.ssnl import digest
from benchmarks.pieces.claims import Watch, claimed
from benchmarks.versions import machine
from gdshare.errors import CohortError, RunError, UsageError
from gdshare.storage import write_json
from studies.pneumonia.images import REAL, synthetic_images

PNEUMONIA, TB = COURSES
TINY = replace(PNEUMONIA, budget=0.1, batch=4, ours_batch=4, ours_steps=3, ours_budget=0.1)


def silent(line):
    pass


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """Their recipe and our engine, each in a real process of its own, on a few drawn images."""
    folder = tmp_path_factory.mktemp("race")
    (folder / REAL).parent.mkdir(parents=True)
    shutil.move(synthetic_images(folder, 6), folder / REAL)
    told = hold(1, folder, folder / "out", folder / "archive", None, silent, [TINY])
    return folder, told


def test_both_sides_run_and_are_compared(held):
    _, [result] = held
    assert result.stand_in == "recipe"
    [one] = result.finishes
    assert 0 <= one.target.value <= 1
    assert 0 <= one.best.value <= 1


def test_a_finished_race_tells_the_cpu_seconds_of_both_processes(held):
    folder, _ = held
    told = races.facts(folder / "out", "pneumonia-recipe-0")
    spent = [told[side][-1]["cpu_seconds"] for side in races.SIDES]
    assert told["cpu_seconds"] > sum(spent)
    assert spent[0] >= 0.1


def test_scores_are_kept_in_the_archive_and_no_image_is(held):
    folder, _ = held
    names = {path.name for path in (folder / "archive").rglob("*") if path.is_file()}
    assert names == {"plan.json", "done.json"}


def test_another_machine_compares_what_the_archive_holds_and_runs_nothing(held, monkeypatch):
    folder, told = held
    monkeypatch.setattr(races, "run_alone", None)
    assert hold(1, folder, folder / "new", folder / "archive", None, silent, [TINY]) == told


def test_a_run_that_another_process_is_still_at_is_left_to_it(held):
    """Its parent killed, a run's own process may go on for a while."""
    folder, _ = held
    run = folder / "out" / "pneumonia-recipe-0" / "theirs"
    before = (run / "scores.jsonl").read_bytes()
    words = races._options(TINY, "recipe", 0, folder, folder, None)
    with (
        claimed(run),
        pytest.raises(RunError, match="another process is at this run"),
    ):
        races.run_alone(
            [sys.executable, "-m", "benchmarks.engine.timed_run", *words, "--out", str(run)]
        )
    assert (run / "scores.jsonl").read_bytes() == before


def test_a_process_that_outlived_its_parent_is_waited_for(held, monkeypatch):
    folder, _ = held
    folder = folder / "out" / "pneumonia-recipe-0"
    said, slept = [], []
    with ExitStack() as stack:
        stack.enter_context(claimed(folder / "theirs"))

        def sleep(seconds):
            slept.append(seconds)
            if len(slept) == 3:
                stack.close()  # it ends

        monkeypatch.setattr(races.time, "sleep", sleep)
        races._wait_for(folder / "theirs", said.append)
    assert len(slept) == 3
    assert len(said) == 1
    assert "still at it" in said[0]


def test_two_sides_of_different_machines_are_not_compared(held, tmp_path, monkeypatch):
    folder, _ = held
    race = tmp_path / "pneumonia-recipe-0"
    shutil.copytree(folder / "out" / "pneumonia-recipe-0", race)
    told = json.loads((race / "ours" / "run.json").read_text())
    write_json(race / "ours" / "run.json", told | {"machine": "another"})
    monkeypatch.setattr(races, "run_alone", lambda command: None)
    watch = Watch.start(race, lambda: 0.0)
    with pytest.raises(RunError, match=r"different machines.*another"):
        races._race({"theirs": (), "ours": ()}, silent, race, watch)


def test_what_a_race_depends_on_is_kept_with_it(held, tmp_path):
    folder, _ = held
    assert races.facts(folder / "archive", "pneumonia-recipe-0")["machine"] == machine()
    plan = json.loads((folder / "archive" / "plan.json").read_text())
    assert plan["plan"]["recipe"]["outer_rate"] == 0.01
    assert plan["plan"]["ours"]["convnet"]["outer_rate"] == 0.05
    assert set(plan["plan"]["initialisers"]) == {"convnet", "resnet18"}


def test_another_checkout_of_theirs_is_another_plan(held, tmp_path):
    folder, _ = held
    (tmp_path / "networks").mkdir()
    (tmp_path / "train_distilled_image.py").write_text("one = 1\n")
    (tmp_path / "networks" / "__init__.py").write_text("")
    before = digest(tmp_path)
    assert digest(tmp_path) == before
    (tmp_path / "networks" / "__init__.py").write_text("two = 2\n")
    assert digest(tmp_path) != before
    with pytest.raises(RunError, match=r"tables\.ssnl"):
        hold(1, folder, folder / "out", None, tmp_path, silent, [TINY])
    with pytest.raises(UsageError, match="no checkout"):
        hold(1, folder, folder / "out", None, folder, silent, [TINY])


def test_runs_of_another_plan_are_not_compared(held):
    folder, _ = held
    longer = replace(TINY, budget=0.2)
    with pytest.raises(RunError, match=r"courses\.pneumonia\.budget.*--archive"):
        hold(1, folder, folder / "else", folder / "archive", None, silent, [longer])


def test_films_are_cut_before_their_runs_and_for_them_alone(tmp_path):
    both = pieces_of(COURSES, "ssnl", 2, tmp_path, tmp_path, tmp_path, silent)
    assert [one.name for one in both if one.needs == ("cohort",)] == [
        "tb-ssnl-0",
        "tb-ssnl-1",
    ]
    assert both[0].name == "cohort"
    alone = pieces_of(COURSES[:1], "ssnl", 1, tmp_path, tmp_path, tmp_path, silent)
    assert [one.name for one in alone] == ["pneumonia-ssnl-0"]


def test_the_longest_races_are_begun_first(tmp_path):
    pieces = pieces_of(COURSES, "ssnl", 2, tmp_path, tmp_path, tmp_path, silent)
    names = [one.name for one in pieces if one.kind == "race"]
    assert names == ["tb-ssnl-0", "tb-ssnl-1", "pneumonia-ssnl-0", "pneumonia-ssnl-1"]


def test_a_divergence_has_no_score(tmp_path):
    looks = [
        {"cpu_seconds": 1, "step": 1, "score": 0.5, "deviation": 0.1},
        {"cpu_seconds": 2, "diverged": True},
    ]
    (tmp_path / "one").mkdir()
    write_json(tmp_path / "one" / "done.json", {"ours": looks})
    assert scores(tmp_path, "one", "ours") == [Score(1, 0.5, 0.1)]


def test_no_seed_and_no_data_are_refused_and_leave_no_folder(tmp_path):
    with pytest.raises(UsageError, match="--seeds 0"):
        hold(0, tmp_path, tmp_path / "out", None, None, silent)
    with pytest.raises(CohortError, match="--data"):
        hold(1, tmp_path, tmp_path / "out", None, None, silent, [PNEUMONIA])
    with pytest.raises(UsageError, match="--data"):
        hold(1, tmp_path, tmp_path / "out", None, None, silent, [TB])
    assert not (tmp_path / "out").exists()


def test_one_part_alone_can_be_asked_for(monkeypatch, tmp_path):
    done = []
    monkeypatch.setattr(command, "full_speeds", lambda *words: done.append("speed") or {})
    monkeypatch.setattr(command, "qualities", lambda *words: done.append("quality") or {})
    for words in ([], ["--only", "speed"], ["--only", "quality"]):
        monkeypatch.setattr("sys.argv", ["x", *words, "--json", str(tmp_path / "figures.json")])
        command.main()
    assert done == ["speed", "quality", "speed", "quality"]
    monkeypatch.setattr("sys.argv", ["x", "--quick", "--only", "quality"])
    with pytest.raises(SystemExit):
        command.main()
