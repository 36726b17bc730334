import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gdshare.audit import ATTACKS
from gdshare.audit.figures import Result as Found
from gdshare.protocol import PatchClass
from studies.attacks.image_sets import SetMaking
from studies.attacks.images import UNTRIED
from studies.attacks.plan import FULL, QUICK
from studies.attacks.report import report_of
from studies.attacks.schedule import cells_of, name_of_images, reading_cell
from studies.features import with_class_i
from studies.hospitals import hospitals_of
from studies.readings import IMAGES, READ, open_reading
from studies.runner import Store, read_arrays, run

PLAN = replace(QUICK, kinds=())
SOFT, GUARDED = (f"images-{word}" for word in ("soft", "e8"))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Store, hospitals, cells and results of both kinds of sets of drawn images."""
    folder = tmp_path_factory.mktemp("images")
    store = Store("attacks", folder / "out", folder / "archive")
    hospitals = hospitals_of(PLAN.phantoms, Path(), store)
    cells = cells_of(PLAN, (), reading_cell(PLAN, store, Path()))
    run(cells, store, lambda line: None)
    return store, hospitals, cells, store.results(cells)


def attacks_on(measured, name):
    results = measured[3][name].facts["results"]
    return {own["attack"]["name"]: own for own in results}


def shown(facts):
    """What the table says of an attack, with the ends of its interval."""
    result = Found.model_validate(facts)
    attack = result.counted if result.counts else result.attack
    return [attack.figure, attack.low, attack.high]


def cell_of(measured, name):
    return next(cell for cell in measured[2] if cell.name == name)


def test_five_images_that_a_set_is_overfitted_to_are_recognised(measured):
    for attack in attacks_on(measured, SOFT).values():
        assert attack["control"]["low"] > 0.5
    assert attacks_on(measured, SOFT)["membership-bundle/1"]["patients"]["members"] == 24
    assert attacks_on(measured, SOFT)["membership-bundle/1"]["patients"]["others"] == 24


def test_a_guarantee_makes_other_sets_and_its_controls_have_none(measured):
    def images(name, made):
        return read_arrays(measured[0].folder(cell_of(measured, name)) / f"{made}.npz")["images"]

    for made in ("set-0", "shadow-000"):
        assert not np.array_equal(images(SOFT, made), images(GUARDED, made))
    assert not np.array_equal(images(SOFT, "set-0"), images(SOFT, "set-1"))


def test_sets_that_are_broken_off_go_on_with_the_next_to_the_same_figures(measured, tmp_path):
    store = Store("attacks", tmp_path / "out", None)
    wanted = [cell for cell in measured[2] if cell.name != GUARDED]
    cell, pieces = cell_of(measured, SOFT), []
    for needed in wanted:
        if needed.name != SOFT:
            shutil.copytree(measured[0].folder(needed), store.folder(needed))

    def say(line):
        if line.startswith(SOFT) and "begun" in line:
            pieces.append(line)

    def clock():
        return 2000.0 * (store.folder(cell) / "shadow-001.npz").exists()

    run(wanted, store, say, clock=clock)
    assert len(pieces) == 2
    assert store.results(wanted)[SOFT].facts == measured[3][SOFT].facts


def test_drawn_windows_of_class_i_are_the_same_whoever_the_patients_are(measured):
    read = next(cell for cell in measured[2] if cell.kind == READ)
    films, reference = open_reading(measured[0].folder(read))
    drawn = []
    for own in (films["train"], films["train"].at(torch.arange(3)), films["val"]):
        beside = with_class_i(own, reference)
        rows = beside.classes == PatchClass.I
        assert rows.any()
        assert (beside.films[rows] == -1).all()
        assert torch.equal(beside.features[~rows], own.features)
        drawn.append(beside.features[rows])
    assert all(torch.equal(own, drawn[0]) for own in drawn)


def test_validation_images_choose_no_training_step():
    for plan in (QUICK, FULL):
        for kind in plan.images.kinds:
            assert kind.settings.score_every == kind.settings.outer_steps
    settings = QUICK.images.kinds[0].settings.model_copy(update={"score_every": 2})
    with pytest.raises(ValueError, match="scored after the last training step"):
        SetMaking(settings, None, None)


def test_the_tables_say_what_was_found_what_was_not_tried_and_why(measured):
    _, hospitals, cells, results = measured
    report = report_of(PLAN, hospitals, cells, results)
    *tables, repeated, cost = report.figures["tables"]
    assert [table["title"] for table in tables] == [
        f"soft labels, {IMAGES}, seed 0",
        f"ε = 8, {IMAGES}, seed 0",
    ]
    for table, name in zip(tables, (SOFT, GUARDED), strict=True):
        rows = {row[0]: row for row in table["rows"]}
        tried = attacks_on(measured, name)
        assert {*tried, *UNTRIED} == set(ATTACKS)
        assert not {*tried} & {*UNTRIED}
        for attack in ATTACKS:
            assert rows[attack][1] == (shown(tried[attack]) if attack in tried else UNTRIED[attack])
        scores = results[name].numbers("scores")
        assert rows["patch score"][1] == scores[0]
        assert len(scores) == 2
        spread = next(row for row in repeated["rows"] if row[0] in table["title"])
        assert spread[1] == "2"
        assert spread[-1][0] == pytest.approx(sum(scores) / 2)
        bundle = [tried["membership-bundle/1"]["attack"]["figure"]]
        bundle += [own[0] for own in results[name].facts["found"]["membership-bundle/1"]]
        assert spread[2][0] == pytest.approx(sum(bundle) / 2)
    assert cost["rows"][-1][1] > 0
    assert [name_of_images(kind) for kind in PLAN.images.kinds] == [SOFT, GUARDED]
