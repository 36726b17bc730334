from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gdshare.audit.figures import Result
from gdshare.cohort import open_cohort
from gdshare.distill.problem import prepare
from gdshare.patch_tensors import as_tensors
from studies.attacks.bundles import patches_start
from studies.attacks.plan import FULL, QUICK
from studies.attacks.report import report_of
from studies.attacks.schedule import cells_of, name_of, reading_cell
from studies.hospitals import COHORT, hospitals_of
from studies.runner import Store, run

KINDS = tuple(kind for kind in QUICK.kinds if kind.word in ("soft", "real"))
PLAN = replace(QUICK, kinds=KINDS)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Store, hospitals, cells and results of two kinds of bundles."""
    folder = tmp_path_factory.mktemp("attacks")
    store = Store("attacks", folder / "out", folder / "archive")
    hospitals = hospitals_of(PLAN.phantoms, Path(), store)
    cells = cells_of(PLAN, hospitals, None)
    run(cells, store, lambda line: None)
    return store, hospitals, cells, store.results(cells)


def audit_of(measured, word):
    _, hospitals, _, results = measured
    kind = next(kind for kind in KINDS if kind.word == word)
    return results[f"audit-{name_of(hospitals[0].name, kind, 0)}"].facts["audit"]


def figure(audit, name):
    return next(own["attack"] for own in audit["results"] if own["attack"]["name"] == name)


def test_repeats_are_other_bundles_of_the_same_patients_by_the_same_attacks(measured):
    _, hospitals, cells, results = measured
    name = name_of(hospitals[0].name, KINDS[0], 0)
    found = results[f"repeats-{name}"].facts["found"]
    assert set(found) == {
        *("membership-bundle/1", "membership-lira/1", "membership-loss/1"),
        *("nearest-patch/1", "reidentification-lineup/1"),
    }
    assert all(len(own) == KINDS[0].repeats for own in found.values())
    first = figure(audit_of(measured, "soft"), "nearest-patch/1")
    assert found["nearest-patch/1"][0][0] != first["figure"]  # other images
    table = report_of(PLAN, hospitals, cells, results).figures["tables"][-2]
    assert [row[:2] for row in table["rows"]] == [[kind.title, "2"] for kind in KINDS]
    both = [first["figure"], found["nearest-patch/1"][0][0]]
    assert table["rows"][0][6][0] == pytest.approx(sum(both) / 2)


def test_with_more_seeds_no_cell_is_made_twice(measured):
    _, hospitals, cells, _ = measured
    more = cells_of(replace(PLAN, seeds=3), hospitals, None)
    names = [cell.name for cell in more]
    assert len(names) == len(set(names))
    digests = {cell.name: cell.digest for cell in more}
    assert all(digests[cell.name] == cell.digest for cell in cells)


def test_images_that_start_from_real_patches_are_found_near_to_them(measured):
    soft, real = (figure(audit_of(measured, word), "nearest-ratio/1") for word in ("soft", "real"))
    assert real["low"] > 0.5 > soft["high"]


def test_every_bundle_has_every_attack_its_control_and_what_it_is_worth(measured):
    _, hospitals, cells, results = measured
    report = report_of(PLAN, hospitals, cells, results)
    for table in report.figures["tables"][:-2]:
        rows = {row[0]: row for row in table["rows"]}
        assert {"patch score", "AUC of films", "membership-bundle/1", "identifiers/1"} <= set(rows)
        assert 0.0 <= rows["patch score"][1] <= 1.0
        found = audit_of(measured, "soft" if "default" in table["title"] else "real")
        for own in found["results"]:
            result, control = Result.model_validate(own), own["control"]
            attack = result.counted if result.counts else result.attack
            row = rows[attack.name]
            assert row[1] == [attack.figure, attack.low, attack.high]
            assert row[3] == [control[part] for part in ("figure", "low", "high", "unrelated")]
    assert "control did not fire" in report.text  # four shadows of four steps see nothing
    assert report_of(PLAN, hospitals, cells, {}).text.startswith("CPU-seconds")


def test_start_from_patches_is_a_training_patch_of_each_class(measured):
    store, _, cells, _ = measured
    cut = next(cell for cell in cells if cell.kind == "cohorts" and cell.needs)
    cohort = open_cohort(store.folder(cut) / COHORT)
    problem = prepare(cohort, KINDS[0].settings, "cpu")
    images = patches_start(problem).unknowns.images
    for label, image in enumerate(images):
        x, _ = as_tensors(problem.train, problem.rows[label], problem.protocol)
        assert any(torch.equal(image, own) for own in x)
    assert torch.equal(images, patches_start(problem).unknowns.images)


def test_shadows_that_are_broken_off_go_on_with_the_next(measured, tmp_path):
    """A piece of 20 CPU-minutes may end in any training step."""
    _, _, cells, _ = measured
    store = Store("attacks", tmp_path / "out", None)
    wanted = [cell for cell in cells if "soft" in cell.name or cell.kind == "cohorts"]
    pieces = []

    def say(line):
        if line.startswith("shadows") and "begun" in line:
            pieces.append(line)

    shadows = [cell for cell in wanted if not cell.name.startswith("audit")]

    def clock():
        return 2000.0 * any(store.out.glob("shadows-*/audit-work/shadow-001.safetensors"))

    run(shadows, store, say, clock=clock)
    assert len(pieces) == 2
    kept = store.folder(shadows[-1]) / "audit-work"
    whole = measured[0].folder(shadows[-1]) / "audit-work"
    names = sorted(path.name for path in whole.glob("*.safetensors"))
    assert [path.name for path in sorted(kept.glob("*.safetensors"))] == names
    assert all((kept / name).read_bytes() == (whole / name).read_bytes() for name in names)


def test_the_whole_table_is_expected_within_six_cpu_hours():
    store = Store("attacks", Path("unused"))
    hospitals = hospitals_of(QUICK.phantoms, Path(), store)
    read = reading_cell(QUICK, store, Path())
    two = [replace(hospitals[0], name=name) for name in FULL.names]
    cells = cells_of(FULL, two, read)
    assert sum(cell.cpu_seconds for cell in cells) < 6 * 3600
    assert [cell.name for cell in cells][-3:] == ["images-soft", "images-e1", "images-e8"]
    assert {kind.word for kind in FULL.kinds} >= {"soft", "hard", "real", "e8", "fixed"}
