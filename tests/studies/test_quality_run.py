import json
import re
import shutil
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import stdev

import pytest

from benchmarks.command import write_figures
from benchmarks.pieces.archive import restore, store
from benchmarks.pieces.claims import Watch, done, seconds_of
from benchmarks.pieces.record import open_plan
from gdshare import pooling
from gdshare.distill.score import CHANCE
from gdshare.errors import DivergedError, RunError, UsageError
from studies.quality import __main__ as command
from studies.quality import distilled
from studies.quality.cross import read_crossed
from studies.quality.data import as_data
from studies.quality.figures import PRIMARY, READINGS
from studies.quality.hospitals import phantom_hospitals, real_hospitals
from studies.quality.plan import FULL, QUICK, Crossing, Phantoms
from studies.quality.schedule import KINDS, folds_of, pieces_of
from studies.quality.spread import mean
from studies.quality.standing import CROSS
from studies.quality.tables import text

TINY = replace(
    QUICK,
    protocol=QUICK.protocol.model_copy(update={"patch": 24, "stride": 12}),
    arms=tuple(
        arm.model_copy(update={"outer_steps": steps, "epochs": 1, "steps": 2, "score_inits": 1})
        for arm, steps in zip(QUICK.arms, (4, 2), strict=True)
    ),
    training=replace(QUICK.training, epochs=1),
    sizes=(10,),
    film_stride=24,
    networks=2,
    teams=(1, 2),
    schemes=pooling.SCHEMES,
    crossing=Crossing(factors=(0.3, 1.0), choosing=1, judging=2, folds=2),
    score_patches=10,
    phantoms=Phantoms(hospitals=2, per_diagnosis=4, size=128),
)


def stamps(out):
    return {
        path.relative_to(out): path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole tiny benchmark; the tests below look at it, and none spoils it."""
    out = tmp_path_factory.mktemp("quality")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooling, "UNION_STEPS", 3)
        report = command.run(TINY, out / "no-data", out)
    return out, report


def fold_of(out, number=0):
    return folds_of(out, TINY, phantom_hospitals(out, TINY.phantoms))[number]


OURS = [f"distilled on {network}, k = {k}" for network in ("ConvNet", "ResNet18") for k in (1, 2)]
BETTER = ["30 real, ResNet18 better norm"]
THEIRS = [*BETTER, "30 real, ResNet18 GroupNorm"]
THEIRS += ["30 real, ResNet18 BatchNorm", "30 real, ConvNet"]


def test_every_model_has_a_row_in_every_reading(finished):
    _, report = finished
    assert [(one.way, one.rule) for one in report.readings] == list(READINGS)
    shown = text(report)
    for reading in report.readings:
        assert [line.name for line in reading.lines] == OURS + THEIRS
        for line in reading.lines:
            assert list(line.merits) == ["all", "phantom-0", "phantom-1"]
            assert line.merits["all"][0].confusion.films == 16  # every film, once
        pairs = [(pair.first, pair.second) for pair in reading.pairs]
        assert pairs == [(ours, theirs) for ours in OURS for theirs in THEIRS]
    for name in (*OURS, *THEIRS, "phantom-1", "films-real-30-convnet", "soft-label"):
        assert name in shown
    assert [one.name for one in report.left_out] == OURS + THEIRS
    told = as_data(report)["validation_patients_left_out"]
    assert [one["model"] for one in told] == OURS + THEIRS
    assert "no test patient has a part in it" in shown
    assert [one.name for one in report.patches] == [*OURS[::2], *THEIRS]
    assert report.gaps == ()
    assert "Not told" not in shown


def test_the_primary_figures_are_marked_and_no_others(finished):
    _, report = finished
    for reading in report.readings:
        primary = (reading.way, reading.rule) == PRIMARY
        assert reading.primary == primary
        for line in reading.lines:
            assert line.primary == (primary and line.name in [OURS[1], *BETTER])
        for pair in reading.pairs:
            named = pair.first == OURS[1] and pair.second in BETTER
            assert pair.primary == (primary and named)
    lines = text(report).splitlines()
    assert sum(line.startswith("Primary: ") for line in lines) == 2
    assert lines[0].startswith("Primary, named before any figure of this benchmark was seen:")
    assert "k = 2 networks" in lines[0]
    assert sum(" (primary)" in line for line in lines) == 1 + 2 * len(BETTER)
    data = as_data(report)
    assert data["primary"] == {"way": "votes", "rule": "coarse", "k": 2}
    marked = [reading["primary"] for reading in data["films"]]
    assert marked == [True] + [False] * (len(READINGS) - 1)
    names = [one["model"] for one in data["films"][0]["models"] if one["primary"]]
    assert names == [OURS[1], *BETTER]
    assert sum(one["primary"] for one in data["films"][0]["differences"]) == len(BETTER)


def test_images_of_each_network_are_tried_on_each(finished):
    out, report = finished
    pairs = [(one.giver, one.receiver) for one in report.transfers]
    assert sorted(pairs) == sorted(product(("convnet", "resnet18"), repeat=2))
    found = [read_crossed(fold_of(out, n), site) for n in (0, 1) for site in fold_of(out).sites]
    for index, one in enumerate(report.transfers):
        assert len(one.scores) == len(one.factors) == 4  # 2 folds of 2 hospitals
        assert one.scores == [mean(pieces[index].values) for pieces in found]
        assert set(one.factors) <= {0.3, 1.0}
    assert "images of ConvNet train ResNet18" in text(report)
    told = as_data(report)["cross_networks"]
    assert told["chance"] == pytest.approx(1 / 3)
    assert told["pairs"][0]["deviation"] == stdev(report.transfers[0].scores)


def test_all_figures_go_to_json(finished, tmp_path):
    _, report = finished
    figures = {"plan": TINY.as_data(), **as_data(report)}
    write_figures(tmp_path / "figures.json", command.NAME, figures)
    data = json.loads((tmp_path / "figures.json").read_text())
    assert {"date", "command", "versions", "plan", "films", "patch_scores"} <= set(data)
    assert data["plan"]["arms"]["resnet18"]["outer_steps"] == 2
    assert data["missing"] == []
    assert data["cpu_seconds_total"] == pytest.approx(sum(data["cpu_seconds"].values()))
    assert list(data["cpu_seconds_by_kind"]) == sorted(KINDS)
    assert data["cpu_seconds_total"] == pytest.approx(sum(data["cpu_seconds_by_kind"].values()))
    assert len(data["films"]) == len(READINGS)
    first = data["films"][0]["models"][0]
    assert len(first["figures"]["all"]["counts"]) == 2  # two single networks
    assert len(first["thresholds"]) == 2
    assert all(len(folds) == 2 for folds in first["thresholds"])


def test_stopped_early_it_tells_what_is_complete_and_what_is_missing(finished):
    out, whole = finished
    fold = fold_of(out, 1)
    lost = [fold.films("resnet18"), fold.films("real-30-batch"), fold.cross("phantom-0")]
    kept = {out / name / "done.json": (out / name / "done.json").read_bytes() for name in lost}
    try:
        for path in kept:
            path.unlink()
        report = command.run(TINY, out / "no-data", out, "report")
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    assert [line.name for line in report.readings[0].lines] == [*OURS[:2], THEIRS[1], THEIRS[3]]
    assert report.readings[0].lines[:2] == whole.readings[0].lines[:2]
    assert report.transfers == []
    assert [(gap.what, gap.done, gap.total) for gap in report.gaps] == [
        ("distilled on ResNet18", 1, 2),
        ("30 real, ResNet18 BatchNorm", 1, 2),
        (CROSS, 3, 4),
    ]
    assert len(report.spent) == len(whole.spent) - 3
    shown = text(report)
    assert f"distilled on ResNet18 (1 of 2), 30 real, ResNet18 BatchNorm (1 of 2), {CROSS}" in shown
    assert "images of ConvNet train" not in shown
    assert len(as_data(report)["missing"]) == 3


def test_the_second_call_does_no_work_and_tells_the_same(finished, capsys):
    out, report = finished
    before = stamps(out)
    again = command.run(TINY, out / "no-data", out)
    assert stamps(out) == before
    assert capsys.readouterr().err == ""
    assert text(again) == text(report)


def test_an_archive_tells_the_same_and_a_new_folder_goes_on_from_it(finished, tmp_path):
    out, report = finished
    archive = tmp_path / "archive"
    command.run(TINY, out / "no-data", out, "report", archive)
    names = {path.name for path in archive.rglob("*") if path.is_file()}
    assert names == {"plan.json", "done.json", "seen.npz"}
    new = tmp_path / "new"
    for hospital in phantom_hospitals(out, TINY.phantoms):  # the films' own tables
        shutil.copytree(hospital.table.parent, new / hospital.name / "films")
    again = command.run(TINY, out / "no-data", new, archive=archive)
    assert text(again) == text(report)
    assert not list(new.rglob("claim"))  # no piece was even tried


def test_what_an_open_piece_asks_for_is_not_taken_from_an_archive(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(pooling, "UNION_STEPS", 3)
    out, whole = finished
    fold = fold_of(out)
    archive, new = tmp_path / "archive", tmp_path / "new"
    hospitals = phantom_hospitals(out, TINY.phantoms)
    pieces = pieces_of(folds_of(out, TINY, hospitals), hospitals)
    store(out, archive, pieces)
    (archive / fold.cross("phantom-0") / "done.json").unlink()
    restore(new, archive, pieces)
    left = {piece.name for piece in pieces if not done(new, piece.name)}
    runs = {fold.distil(arm, "phantom-0") for arm in TINY.arms}  # whose images it reads
    cut = {fold.cohort(site) for site in fold.sites}  # and what these are distilled from
    assert left == {fold.cross("phantom-0"), *runs, *cut, "phantom-0", "phantom-1"}
    report = command.run(TINY, out / "no-data", new, archive=archive)  # and all of it can be done
    assert report.transfers == whole.transfers


def test_a_partial_archive_tells_what_is_complete_in_it(finished, tmp_path):
    out, whole = finished
    archive, new = tmp_path / "archive", tmp_path / "new"
    hospitals = phantom_hospitals(out, TINY.phantoms)
    store(out, archive, pieces_of(folds_of(out, TINY, hospitals), hospitals))
    (archive / fold_of(out).cross("phantom-0") / "done.json").unlink()
    for hospital in hospitals:
        shutil.copytree(hospital.table.parent, new / hospital.name / "films")
    report = command.run(TINY, out / "no-data", new, "report", archive)
    assert report.readings == whole.readings
    assert [gap.what for gap in report.gaps] == [CROSS]
    assert not list(new.glob("fold-*"))


def test_what_is_done_is_in_the_archive_even_if_the_next_piece_fails(tmp_path, monkeypatch):
    def full(*given):
        raise RunError("the disk is full")

    monkeypatch.setattr("studies.quality.folds.label_cohort", full)
    with pytest.raises(RunError, match="the disk is full"):
        command.run(TINY, tmp_path, tmp_path / "out", archive=tmp_path / "archive")
    assert done(tmp_path / "archive", "phantom-1")


def test_report_alone_does_no_piece(finished, tmp_path):
    with pytest.raises(RunError, match="no model is complete"):
        command.run(TINY, tmp_path, tmp_path / "new", "report")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["plan.json"]


def test_one_kind_of_piece_does_what_it_needs_and_prints_no_table(tmp_path):
    assert command.run(TINY, tmp_path, tmp_path / "new", "cohorts") is None
    made = {path.name for path in (tmp_path / "new" / "fold-1").iterdir()}
    assert made == {"cohort-phantom-0", "cohort-phantom-1"}


def test_a_file_of_figures_is_not_promised_where_none_are_worked_out(tmp_path, monkeypatch, capsys):
    words = ["quality", "--only", "cohorts", "--json", str(tmp_path / "figures.json")]
    monkeypatch.setattr(sys, "argv", [*words, "--out", str(tmp_path / "new")])
    with pytest.raises(SystemExit):
        command.main()
    assert "nothing for --json" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_film_piece_that_was_killed_shows_only_the_films_it_lacks(finished):
    out, _ = finished
    fold = fold_of(out)
    folder = out / fold.films("real-30-convnet")
    kept = {path: path.read_bytes() for path in folder.iterdir()}
    (folder / "done.json").unlink()
    (folder / "00003.npz").unlink()
    before = stamps(folder)
    command.run(TINY, out / "no-data", out, "films")
    after = stamps(folder)
    changed = {str(path) for path in after if after[path] != before.get(path)}
    assert changed == {"claim", "seconds.json", "done.json", "seen.npz", "00003.npz"}
    assert (folder / "seen.npz").read_bytes() == kept[folder / "seen.npz"]
    assert (folder / "00003.npz").read_bytes() == kept[folder / "00003.npz"]
    assert seconds_of(fold.facts(fold.films("real-30-convnet"))) > 0
    for path, content in kept.items():
        path.write_bytes(content)


def test_a_distillation_that_was_killed_goes_on_to_the_same_bytes(finished, tmp_path):
    out, _ = finished
    fold = fold_of(out, 1)
    arm, site = fold.plan.arms[0], fold.sites[0]

    class Killed(Exception):  # noqa: N818 - no error of the code's
        pass

    class Dying(Watch):
        def keep(self):
            raise Killed

    folder = tmp_path / "piece"
    (folder / "run").mkdir(parents=True)
    (folder / "run" / ".run.json.lost").touch()  # killed before, while writing its record
    dying = Dying(folder / "s", 0.0, 0.0, lambda: 0.0)
    with pytest.raises(Killed):
        distilled.distil_site(fold, arm, site, folder, dying)
    assert not (folder / "run" / "distilled.safetensors").exists()
    found = distilled.distil_site(fold, arm, site, folder, Watch.start(folder, lambda: 0.0))
    result = "run/distilled.safetensors"
    assert (folder / result).read_bytes() == (out / fold.distil(arm, site) / result).read_bytes()
    told = fold.facts(fold.distil(arm, site))
    assert found == {key: told[key] for key in found}


def test_a_way_of_pooling_that_leaves_the_numbers_scores_chance(finished, monkeypatch):
    out, _ = finished
    fold = fold_of(out)
    arm, watch = fold.plan.arms[0], Watch.start(out, lambda: 0.0)
    kept = distilled.train_pooled

    def only_sequential(brought, protocol, scheme, seed):
        if scheme != "sequential":
            raise DivergedError("not finite")
        return kept(brought, protocol, scheme, seed)

    monkeypatch.setattr(distilled, "train_pooled", only_sequential)
    scores = distilled.choose_scheme(fold, arm, out, watch)["scores"]
    assert scores.pop("sequential") != [CHANCE]
    assert scores
    assert all(values == pytest.approx([CHANCE]) for values in scores.values())


def test_no_two_distillations_share_a_seed():
    first, second = FULL.arms
    runs = [FULL.settings_of(*one) for one in product(FULL.arms, "abc", range(3))]
    assert len({run.seed for run in runs}) == 18
    assert FULL.settings_of(first, "a", 0) == runs[0]
    assert runs[0].network == first.network != runs[-1].network == second.network


def test_all_kinds_of_baseline_get_the_same_patches_in_the_same_order():
    group, batch, convnet = (FULL.training_of(one, 1) for one in FULL.baselines[-3:])
    assert group == batch == replace(convnet, network="resnet18")
    assert (group.network, convnet.network) == ("resnet18", "convnet")
    assert FULL.training_of(FULL.baselines[0], 0).seed != group.seed


def test_the_full_plan_is_the_sources_experiment():
    assert [one.patches for one in FULL.baselines] == [3000] * 2 + [6000] * 2 + [9000] * 3
    assert [arm.network for arm in FULL.arms] == ["convnet", "resnet18"]
    assert [arm.images for arm in FULL.arms] == [3, 3]
    assert (FULL.protocol.stride, FULL.film_protocol.stride) == (13, 52)


def test_what_matters_most_comes_first_and_nothing_ever_waits():
    out = Path("nowhere")
    hospitals = phantom_hospitals(out, Phantoms())
    pieces = pieces_of(folds_of(out, FULL, hospitals), hospitals)
    names = [piece.name for piece in pieces]
    # cohorts; two arms of distillations, scheme, films; trainings, films; one fold crossed
    assert len(names) == len(set(names)) == 3 * (3 + 2 * (3 + 1 + 1) + 7 * 2) + 3

    def turn(piece):
        if piece.kind == "cross" or re.search("fold-0/distil-resnet18", piece.name):
            return 1
        if "9000-convnet" in piece.name:
            return 2
        return 3 if "-resnet18" in piece.name else 0

    turns = [turn(piece) for piece in pieces]
    assert turns == sorted(turns)
    assert [turns.count(one) for one in range(4)] == [3 * (3 + 5 + 6 * 2), 3 + 3, 3 * 2, 2 * 3 + 6]
    seen = set()
    for piece in pieces:
        assert set(piece.needs) <= seen
        seen.add(piece.name)


def test_a_folder_of_another_plan_or_of_other_films_is_refused(tmp_path):
    open_plan(tmp_path, QUICK.as_data(), {"here": "abc"})
    open_plan(tmp_path, QUICK.as_data(), {"here": "abc"})
    with pytest.raises(RunError, match=r"plan\.folds 2 -> 3.*--out"):
        open_plan(tmp_path, replace(QUICK, folds=3).as_data(), {"here": "abc"})
    longer = QUICK.arms[0].model_copy(update={"outer_steps": 9})
    with pytest.raises(RunError, match=r"plan\.arms\.convnet\.outer_steps 4 -> 9"):
        open_plan(tmp_path, replace(QUICK, arms=(longer, QUICK.arms[1])).as_data(), {"here": "abc"})
    with pytest.raises(RunError, match=r"tables\.here"):
        open_plan(tmp_path, QUICK.as_data(), {"here": "abd"})


def test_plans_that_cannot_be_held_are_refused():
    with pytest.raises(UsageError, match="--folds 1"):
        command.planned(quick=True, folds=1)
    with pytest.raises(UsageError, match="more networks"):
        replace(QUICK, networks=3)
    with pytest.raises(UsageError, match="no team of 3"):
        replace(QUICK, primary=3)
    for arms in ((), QUICK.arms[:1] * 2):
        with pytest.raises(UsageError, match="named by their network"):
            replace(QUICK, arms=arms)
    assert command.planned(quick=False, folds=5).folds == 5


def test_missing_films_are_told_with_the_option_that_names_them(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="--data"):
        real_hospitals(tmp_path)
    arguments = ["quality", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit, match="--data"):
        command.main()
    assert not (tmp_path / "out").exists()
