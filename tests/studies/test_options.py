import json
from dataclasses import replace

import pytest

from benchmarks.command import write_figures
from benchmarks.pieces.claims import facts
from gdshare.distill.loop import LostError
from gdshare.errors import RunError, UsageError
from gdshare.method import Settings
from studies.options import __main__ as command
from studies.options import trial
from studies.options.table import as_data, rows_of, text
from studies.options.trial import Cost
from studies.options.variants import DEFAULT, FULL, QUICK, VARIANTS

TINY = replace(QUICK, variants=QUICK.variants[:2], outer_steps=2, timed_steps=2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("options")
    return out, command.run(TINY, out / "no-data", out, 1, out / "archive")


def test_every_variant_is_one_that_a_user_may_choose_and_is_not_the_default():
    told_nothing = FULL.settings(DEFAULT, 300, 0)
    names = {name.replace("_", "-") for name in Settings.model_fields}
    for variant in VARIANTS[1:]:
        assert FULL.settings(variant, 300, 0) != told_nothing, variant.name
        flags = [word[2:] for word in variant.name.split() if word.startswith("--")]
        assert flags
        assert set(flags) <= names
        assert [flag.replace("-", "_") for flag in flags] == list(variant.told)
    method = told_nothing.method().model_dump() | {"outer_steps": 600}
    assert method == Settings().method().model_dump()


def test_a_variant_gets_as_many_steps_as_cost_the_same():
    assert Cost(own=0.2, default=0.1).steps(300) == 150
    assert Cost(own=1000.0, default=0.1).steps(300) == 1


def test_the_table_is_of_what_was_found_and_the_defaults_gain_nothing(finished, tmp_path):
    out, rows = finished
    assert [row.name for row in rows] == [one.name for one in TINY.variants]
    told = facts(out, "unroll-window-window-2-0")
    assert rows[1].score == [told["patch_score"]]
    assert rows[0].gains == [0.0]
    assert rows[1].gains == [rows[1].score[0] - rows[0].score[0]]
    assert "--unroll window --window 2" in text(rows)
    write_figures(tmp_path / "figures.json", command.NAME, {"variants": as_data(rows)})
    data = json.loads((tmp_path / "figures.json").read_text())
    assert [one["variant"] for one in data["variants"]] == [row.name for row in rows]
    assert data["variants"][0]["gain_deviation"] is None


def test_seeds_are_compared_seed_by_seed():
    def found(score):
        return {"outer_steps": 9, "losses": [1.0, 2.0], "accuracy": 0.5, "patch_score": score}

    variant = VARIANTS[1]
    rows = rows_of({DEFAULT: [found(0.5), found(0.7)], variant: [found(0.6), found(0.7)]})
    assert rows[1].gains == pytest.approx([0.1, 0.0])
    assert "+0.050  0.071" in text(rows)


def test_a_variant_that_leaves_the_numbers_is_told_and_stops_nobody():
    gone = {"outer_steps": 9, "losses": [1.0, None], "accuracy": 0.3, "patch_score": 0.3}
    rows = rows_of({DEFAULT: [gone | {"losses": [1.0, 1.0]}], VARIANTS[1]: [gone]})
    assert rows[1].loss is None
    assert "not finite" in text(rows)


def test_a_distillation_that_gives_up_is_told_and_stops_nobody(tmp_path, monkeypatch, finished):
    def gives_up(*given):
        raise LostError("the last 20 derivatives")

    monkeypatch.setattr(trial, "distil_in_piece", gives_up)
    monkeypatch.setattr(trial, "seconds_a_step", lambda *given: 1.0)
    cohort = finished[0] / command.COHORT / command.COHORT
    lost = trial.try_variant(TINY, cohort, VARIANTS[1], 0, tmp_path, None)
    sound = facts(finished[0], "defaults-0")
    rows = rows_of({DEFAULT: [sound, sound], VARIANTS[1]: [lost, sound], VARIANTS[2]: [lost] * 2})
    assert [row.gave_up for row in rows] == [0, 1, 2]
    assert rows[1].gains == [0.0]
    assert "--epochs 3 (gave up on 1)" in text(rows)
    assert text(rows).splitlines()[-1].split() == ["--batch", "48", "gave", "up"]
    assert as_data(rows)[2]["gain_mean"] is None


def test_the_cost_is_of_the_variant_and_of_the_defaults_and_measured_once(
    finished, tmp_path, monkeypatch
):
    def seconds(cohort, settings, steps):
        return 4.0 if settings.unroll == "greedy" else 1.0

    monkeypatch.setattr(trial, "seconds_a_step", seconds)
    greedy = next(one for one in VARIANTS if "greedy" in one.name)
    cost = trial._cost(TINY, None, greedy, tmp_path / "cost.json")
    assert (cost.own, cost.default) == (4.0, 1.0)
    monkeypatch.setattr(trial, "seconds_a_step", None)
    assert trial._cost(TINY, None, greedy, tmp_path / "cost.json") == cost


def test_other_defaults_or_films_do_not_mix_with_trials_that_are_there(finished, monkeypatch):
    out, _ = finished
    with pytest.raises(RunError, match=r"defaults\.score_inits"):
        command.run(replace(TINY, inits=3), out / "no-data", out, 1)
    with pytest.raises(UsageError, match="--data"):
        command.run(FULL, out / "no-data", out / "new", 1)


def test_a_second_call_does_no_trial(finished, capsys):
    out, rows = finished
    assert command.run(TINY, out / "no-data", out, 1) == rows
    assert capsys.readouterr().err == ""


def test_another_machine_tells_what_the_archive_holds_and_does_no_trial(finished, tmp_path, capsys):
    out, rows = finished
    assert command.run(TINY, tmp_path, tmp_path / "new", 1, out / "archive") == rows
    assert capsys.readouterr().err == ""
    names = {path.name for path in (out / "archive").rglob("*") if path.is_file()}
    assert names == {"plan.json", "done.json"}


def test_no_seed_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--seeds 0"):
        command.run(TINY, tmp_path, tmp_path / "out", 0)
    assert not (tmp_path / "out").exists()
