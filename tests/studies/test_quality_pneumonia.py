import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from benchmarks.command import write_figures
from benchmarks.engine import tasks
from benchmarks.engine.timed_run import CHECKPOINT
from benchmarks.pieces.claims import Watch, facts
from gdshare.errors import CohortError, RunError, UsageError
from gdshare.method import Settings
from gdshare.metrics import Interval
from studies.pneumonia import __main__ as command
from studies.pneumonia.distilled import distil
from studies.pneumonia.figures import Judged, balanced_accuracy, gap, resamples
from studies.pneumonia.images import synthetic_images
from studies.pneumonia.judging import read_judged
from studies.pneumonia.plan import FULL, QUICK, PneumoniaPlan
from studies.pneumonia.real import batches
from studies.pneumonia.report import Report, Row
from studies.pneumonia.tables import answer, as_data, text

TINY = replace(QUICK, outer_steps=2, score_every=1, epochs=1, networks=2, synthetic=6)
TRUTH = np.array([0, 0, 1, 1, 1, 1, 1, 1], np.uint8)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole tiny comparison of two seeds; the tests below look at it, and none spoils it."""
    out = tmp_path_factory.mktemp("pneumonia")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "SCORE_INITS", 2)
        yield out, command.run(TINY, out / "no-data", out, 2)


def test_all_rows_are_told_and_go_to_json(finished, tmp_path):
    _, report = finished
    shown = text(report)
    for name in ("2 distilled, k = 1", "2 distilled, k = 2", "12 real", "Target", "patient"):
        assert name in shown
    figures = {"plan": TINY.as_data(), **as_data(report)}
    write_figures(tmp_path / "figures.json", command.NAME, figures)
    data = json.loads((tmp_path / "figures.json").read_text())
    assert {"versions", "plan", "target_reached", "target_reached_by_whole_interval"} <= set(data)
    single, team, real = data["balanced_accuracy"]
    assert [len(row["values"]) for row in (single, team, real)] == [2, 2, 2]
    assert single["points_to_real"] == pytest.approx(100 * (single["mean"] - real["mean"]))
    low, high = team["points_to_real_interval"]
    assert low <= team["points_to_real"] <= high
    assert "points_to_real" not in real
    assert set(data["cpu_seconds_by_kind"]) == {"distil", "real", "judge"}


def test_the_figures_are_those_of_the_calls_on_disk(finished):
    out, report = finished
    for seed in range(2):
        seen = read_judged(out, seed)
        assert seen.distilled.shape == (2, 12)
        alone = [balanced_accuracy(one, seen.truth) for one in seen.distilled]
        assert report.singles.values[seed] == pytest.approx(np.mean(alone))
        assert report.real.values[seed] == balanced_accuracy(seen.real, seen.truth)


def test_choices_are_made_by_validation_images(finished):
    out, report = finished
    for seed, chosen in enumerate(report.chosen):
        trials = {
            trial: facts(out, f"real-{seed}-{trial.batches}-{trial.rate:g}")["score"]
            for trial in TINY.trials
        }
        assert trials[chosen.trial] == chosen.real_score == max(trials.values())
        with safe_open(out / f"distil-{seed}" / "run" / CHECKPOINT, framework="pt") as checkpoint:
            lines = json.loads(checkpoint.metadata()["progress"])["lines"]
        scores = {line["step"]: line["score"] for line in lines}
        assert list(scores) == [0, 1, 2]
        assert scores[chosen.step] == chosen.distilled_score == max(scores.values())


def test_a_second_call_does_no_work_and_more_seeds_may_follow(finished, capsys):
    out, report = finished
    again = command.run(TINY, out, out, 2)
    assert text(again) == text(report)
    assert capsys.readouterr().err == ""
    assert len(command.run(TINY, out, out, 1).chosen) == 1


def test_another_plan_in_the_folder_is_refused(finished):
    out, _ = finished
    with pytest.raises(RunError, match=r"plan\.epochs 1 -> 2"):
        command.run(replace(TINY, epochs=2), out, out, 2)


def test_a_distillation_that_was_killed_goes_on_to_the_same_images(finished, tmp_path):
    out, _ = finished
    file = synthetic_images(out, TINY.synthetic)

    class Killed(Exception):  # noqa: N818 - no error of the code's
        pass

    class Dying(Watch):
        def keep(self):
            if self.clock():
                raise Killed

    ticks = iter([0.0, 1.0])  # dies at the second score
    with pytest.raises(Killed):
        distil(TINY, file, 0, tmp_path, Dying(tmp_path / "s", 0.0, 0.0, lambda: next(ticks)))
    assert not (tmp_path / "run" / "distilled-000002.safetensors").exists()
    found = distil(TINY, file, 0, tmp_path, Watch.start(tmp_path, lambda: 0.0))
    told = facts(out, "distil-0")
    assert found == {key: told[key] for key in found}
    for step in range(3):
        name = f"run/distilled-{step:06d}.safetensors"
        assert (tmp_path / name).read_bytes() == (out / "distil-0" / name).read_bytes()


def test_balanced_accuracy_weighs_both_classes_alike():
    assert balanced_accuracy(np.ones(8, np.uint8), TRUTH) == 0.5
    assert balanced_accuracy(TRUTH, TRUTH) == 1.0
    assert balanced_accuracy(np.array([0, 1, 1, 1, 1, 0, 0, 0], np.uint8), TRUTH) == 0.5


def test_most_votes_decide_and_what_makes_no_team_is_left_out():
    called = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1]], np.uint8)
    seen = Judged(np.zeros(3, np.uint8), called, np.zeros(3, np.uint8))
    assert seen.teams(5).tolist() == [[1, 1, 0]]
    assert seen.teams(2).tolist() == [[1, 0, 0], [0, 0, 0]]  # a tie is normal
    assert seen.teams(1).tolist() == called.tolist()


def test_each_resample_keeps_the_images_of_each_class():
    drawn = resamples(TRUTH, np.random.default_rng(0), 50)
    assert (drawn[:, TRUTH == 0].sum(1) == 2).all()
    assert (drawn[:, TRUTH == 1].sum(1) == 6).all()
    assert len({tuple(row) for row in drawn}) > 10


def test_the_gap_is_that_of_mean_accuracies_on_the_same_resamples():
    generator = np.random.default_rng(1)
    ours = [generator.integers(0, 2, 8).astype(np.uint8) for _ in range(3)]
    theirs = [TRUTH, generator.integers(0, 2, 8).astype(np.uint8)]
    drawn = resamples(TRUTH, generator, 40)
    found = gap(ours, theirs, TRUTH, drawn)

    def points(truth, rows):
        first, second = (
            np.mean([balanced_accuracy(one[rows], truth[rows]) for one in models])
            for models in (ours, theirs)
        )
        return 100 * (first - second)

    assert found.points == pytest.approx(points(TRUTH, np.arange(8)))
    each = [points(TRUTH, np.repeat(np.arange(8), times.astype(int))) for times in drawn]
    low, high = np.percentile(each, [2.5, 97.5])
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high))
    nothing = gap(ours, ours, TRUTH, drawn)
    assert (nothing.points, nothing.interval) == (0.0, Interval(0.0, 0.0))


@pytest.mark.parametrize(
    ("points", "low", "words"),
    [
        (-2.0, -2.9, ("come within 3", "wholly above")),
        (-2.0, -4.0, ("come within 3", "not wholly above")),
        (-3.1, -5.0, ("NOT within 3", "not wholly above")),
    ],
)
def test_the_answer_says_whether_the_target_is_reached(points, low, words):
    found = gap([TRUTH], [TRUTH], TRUTH, np.ones((1, 8)))
    single = Row("ours", [0.8], replace(found, points=points, interval=Interval(low, 0.0)))
    report = Report(4708, 10, single, single, Row("real", [0.8], None), [], ())
    for word in words:
        assert word in answer(report)


def test_a_plain_pass_shows_each_image_once_and_a_balanced_one_each_class_alike():
    classes = torch.tensor([0] * 5 + [1] * 15)
    plain = list(batches("plain", classes, 8, 0, 1))
    assert sorted(torch.cat(plain).tolist()) == list(range(20))
    balanced = list(batches("balanced", classes, 8, 0, 1))
    assert len(balanced) == len(plain) == 3
    assert all((classes[rows] == 1).sum() == 4 for rows in balanced)
    for way in ("plain", "balanced"):
        first, again, other = (
            torch.cat(list(batches(way, classes, 8, 0, epoch))).tolist() for epoch in (1, 1, 2)
        )
        assert first == again != other


def test_the_full_plan_is_the_target_of_one_image_a_class():
    told_nothing = Settings()
    assert (FULL.steps, FULL.batch) == (told_nothing.trajectory, told_nothing.batch)
    assert FULL.outer_steps == told_nothing.outer_steps
    assert (FULL.networks, FULL.team) == (10, 5)
    tried = {(trial.batches, trial.rate) for trial in FULL.trials}
    assert tried == {(way, rate) for way in ("plain", "balanced") for rate in (1e-3, 3e-4)}


def test_what_cannot_be_done_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="more networks"):
        PneumoniaPlan(networks=4, team=5)
    with pytest.raises(UsageError, match="--seeds 0"):
        command.run(TINY, tmp_path, tmp_path / "out", 0)
    with pytest.raises(CohortError, match=r"medmnist/pneumoniamnist\.npz.*--data.*--quick"):
        command.run(FULL, tmp_path, tmp_path / "out", 1)
    arguments = ["pneumonia", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit, match="--data"):
        command.main()
    assert not (tmp_path / "out").exists()


def test_damaged_calls_are_refused(tmp_path):
    (tmp_path / "judge-0").mkdir()
    (tmp_path / "judge-0" / "calls.npz").write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(RunError, match=r"calls\.npz"):
        read_judged(tmp_path, 0)
