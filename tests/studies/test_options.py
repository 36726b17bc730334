from argparse import Namespace
from dataclasses import replace

import pytest

from gdshare.distill.loop import LostError
from gdshare.errors import UsageError
from gdshare.method import Settings
from studies import options
from studies.hospitals import hospitals_of
from studies.options import FULL, QUICK, VARIANTS, Trial, cells_of, table_of, try_variant
from studies.runner import Needed, Piece, Result, Store, run

TINY = replace(QUICK, variants=QUICK.variants[:2], outer_steps=2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A tiny study: its cells, their store and results."""
    store = Store("options", tmp_path_factory.mktemp("options"))
    (hospital,) = hospitals_of(TINY.phantoms, store.out, store)
    cells = cells_of(TINY, hospital, 1)
    run(cells, store, lambda line: None)
    return cells, store, store.results(cells)


def table_from(**trials):
    """The table of some trials of the defaults and of the first two variants."""
    names = {"defaults": "defaults", "epochs": "--epochs 3", "batch": "--batch 48"}
    plan = replace(FULL, variants=tuple(names[name] for name in trials))
    results = {
        options.name_of(names[name], seed): result
        for name, own in trials.items()
        for seed, result in enumerate(own)
    }
    return table_of(plan, len(trials["defaults"]), results)


def found(score, **others):
    facts = {"outer_steps": 9, "losses": [1.0, 2.0], "accuracy": 0.5, "patch_score": score}
    return Result(facts | others)


def test_every_variant_is_one_that_a_user_may_choose_and_is_not_the_default():
    told_nothing = Trial.of(FULL, VARIANTS[0]).settings()
    names = {name.replace("_", "-") for name in Settings.model_fields}
    for variant in VARIANTS[1:]:
        assert Trial.of(FULL, variant).settings() != told_nothing, variant
        flags = [word[2:] for word in variant.split() if word.startswith("--")]
        assert flags
        assert set(flags) <= names
        assert [flag.replace("-", "_") for flag in flags] == list(Trial.of(FULL, variant).options)
    method = told_nothing.method().model_dump() | {"outer_steps": 600}
    assert method == Settings(network="convnet").method().model_dump()


def test_the_table_is_of_what_was_found_and_the_defaults_gain_nothing(finished):
    _, _, results = finished
    table = table_of(TINY, 1, results)
    assert [row[0] for row in table.rows] == list(TINY.variants)
    default, window = table.rows
    score = results["unroll-window-window-2-0"].number("patch_score")
    assert window[4].data == [score]
    assert default[5].data == [0.0]
    assert window[5].data == [score - default[4].data[0]]
    assert "--unroll window --window 2" in str(table)
    assert default[6].data is None


def test_seeds_are_compared_seed_by_seed():
    table = table_from(defaults=[found(0.5), found(0.7)], epochs=[found(0.6), found(0.7)])
    assert table.rows[1][5].data == pytest.approx([0.1, 0.0])
    assert "+0.050  0.071" in str(table)


def test_a_variant_that_leaves_the_numbers_is_told_and_stops_nobody():
    lost = found(0.3, losses=[1.0, None])
    assert "not finite" in str(table_from(defaults=[found(0.3)], epochs=[lost]))


def test_a_distillation_that_gives_up_is_told_and_stops_nobody(tmp_path, monkeypatch, finished):
    def gives_up(*given):
        raise LostError("the last 20 derivatives")

    monkeypatch.setattr(options, "distil_in_piece", gives_up)
    monkeypatch.setattr(options, "seconds_a_step", lambda *given: 1.0)
    cells, store, results = finished
    cohort = Needed(store.folder(cells[1]), Result())
    lost = try_variant(Piece(tmp_path, 0, {"cohort": cohort}), Trial.of(TINY, VARIANTS[1]))
    sound = results["defaults-0"]
    table = table_from(defaults=[sound, sound], epochs=[lost, sound], batch=[lost] * 2)
    assert table.rows[1][5].data == [0.0]
    assert "--epochs 3 (gave up on 1)" in str(table)
    assert str(table).splitlines()[-1].split() == ["--batch", "48", "gave", "up"]


def test_a_variant_gets_as_many_steps_as_cost_the_same_measured_once(
    finished, tmp_path, monkeypatch
):
    def seconds(cohort, settings, steps):
        return 4.0 if settings.unroll == "greedy" else 1.0

    def lost(cohort, settings, piece):
        told.append(settings.outer_steps)
        raise LostError("enough")

    told = []
    monkeypatch.setattr(options, "seconds_a_step", seconds)
    monkeypatch.setattr(options, "distil_in_piece", lost)
    cells, store, _ = finished
    piece = Piece(tmp_path, 0, {"cohort": Needed(store.folder(cells[1]), Result())})
    greedy = Trial.of(FULL, "--unroll greedy")
    try_variant(piece, greedy)
    monkeypatch.setattr(options, "seconds_a_step", None)
    try_variant(piece, greedy)
    assert told == [75, 75]


def test_other_defaults_are_other_cells(finished):
    cells, store, _ = finished
    (hospital,) = hospitals_of(TINY.phantoms, store.out, store)
    others = cells_of(replace(TINY, inits=3), hospital, 1)
    assert store.done(cells) == {cell.name for cell in cells}
    assert store.done(others) == {"phantom-0", "cohort"}


def test_missing_films_are_told_with_the_option_that_names_them(tmp_path):
    chosen = Namespace(quick=False, seeds=None, data=tmp_path)
    with pytest.raises(UsageError, match="--data"):
        options.study(chosen, Store("options", tmp_path))
