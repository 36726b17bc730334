from dataclasses import replace
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gdshare.errors import RunError
from studies.hospitals import Phantoms, hospitals_of
from studies.quality.plan import FULL as QUALITY
from studies.quality.schedule import cells_of as cells_of_quality
from studies.rivals.cells import ALONE, rows_of
from studies.rivals.picture import draw
from studies.rivals.plan import FULL, QUICK
from studies.rivals.report import Reader
from studies.rivals.schedule import cells_of, rivals_of
from studies.rivals.sending import REAL_PIXELS
from studies.runner import Result, Store, run

TINY = replace(
    QUICK,
    shared=replace(
        QUICK.shared,
        protocol=QUICK.shared.protocol.model_copy(update={"patch": 24, "stride": 24, "side": 8}),
        film_stride=52,
        phantoms=Phantoms(hospitals=2, per_diagnosis=12, size=128),
    ),
)
IMAGES = (
    "{} random real patches",
    "{} medoids, soft labels",
    "{} images, distribution matching",
)
ROWS = [
    *(f"{count} distilled images, scattering" for count in (3, 6)),
    ALONE,
    "one-shot average",
    "all real patches pooled",
    *(f"{name}, {rounds}" for name in ("FedAvg", "FedProx") for rounds in ("1 round", "2 rounds")),
    *(
        row
        for title in ("linear head on ConvNet", "linear head on scattering")
        for row in (f"{ALONE}, {title}", f"{title}, averaged", f"{title}, sums")
    ),
    *(
        title.format(count) + network
        for title in IMAGES
        for network in ("", ", scattering")
        for count in (3, 6)
    ),
]


class World:
    """A whole tiny study."""

    def __init__(self, out):
        self.store = Store("rivals", out)
        self.hospitals = hospitals_of(TINY.shared.phantoms, out, self.store)
        self.cells = cells_of(TINY, self.hospitals)
        run(self.cells, self.store, lambda line: None)
        self.results = self.store.results(self.cells)

    def reader(self, results, shared=()):
        return Reader(TINY, self.hospitals, results, dict(shared), 50)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The tests below look at it, and none spoils it."""
    return World(tmp_path_factory.mktemp("rivals"))


def test_every_rival_has_a_row_with_its_price(world):
    report = world.reader(world.results).report(world.cells)
    table = report.figures["tables"][0]
    rows = {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["rows"]}
    assert list(rows) == ROWS
    assert report.figures["missing"] == []
    sent = {title: row["bytes sent"] for title, row in rows.items()}
    assert sent[ALONE] == 0
    assert sent["FedAvg, 2 rounds"] == 2 * sent["FedAvg, 1 round"] == 2 * sent["one-shot average"]
    image = 4 * (8 * 8 + 3)  # float32: pixels and label
    assert sent["6 random real patches"] - sent["3 random real patches"] == 3 * image
    assert sent["3 images, distribution matching"] == sent["3 medoids, soft labels"]
    layer = "linear head on ConvNet, "
    assert sent[f"{layer}averaged"] < sent[f"{layer}sums"] < sent["FedAvg, 1 round"]
    assert sent["3 distilled images, scattering"] < sent["linear head on scattering, averaged"]
    audits = {title: row["audit"] for title, row in rows.items()}
    real = [t for t in ROWS if "medoids" in t or "real patches" in t]
    assert [t for t in ROWS if audits[t] == REAL_PIXELS] == real
    made = [t for t in ROWS if "distilled" in t or "matching" in t]
    assert all(audits[title].startswith("membership 0.") for title in made)
    assert audits["FedAvg, 1 round"] == audits[ALONE] == "weights: not attacked"
    assert all(len(row["AUC"]) == 3 and 0 <= row["AUC"][0] <= 1 for row in rows.values())


def test_every_film_is_judged_once_and_a_hospital_alone_has_its_own_network(world):
    films = world.results["fold-0/films-alone"].arrays
    assert films["votes"].shape[0] == 2  # each alone, and the average
    tested = [world.results[f"fold-{fold}/films-alone"].arrays["split"] for fold in range(2)]
    assert sum((split == "test").sum() for split in tested) == 48
    folder = world.store.folder(next(c for c in world.cells if c.name == "fold-0/alone"))
    networks = sorted(path.name for path in folder.glob("network-*"))
    assert networks == ["network-0-0", "network-0-1", "network-1-0"]


def test_fedprox_takes_the_rate_and_steps_that_fedavg_chose(world):
    average, proximal = (rows_of(world.results[f"fold-0/{name}"]) for name in ("fedavg", "fedprox"))
    chosen = {**average[-1].choice, "pull": 0.1}
    assert [row.choice for row in proximal] == [chosen, chosen]


def test_stopped_early_it_reports_what_is_complete(world):
    lost = "fold-1/films-heads-scattering"
    kept = {name: result for name, result in world.results.items() if name != lost}
    report = world.reader(kept).report(world.cells)
    titles = [row[0] for row in report.figures["tables"][0]["rows"]]
    assert titles == [title for title in ROWS if "linear head on scattering" not in title]
    assert "Not complete in all folds: heads-scattering." in report.text
    with pytest.raises(RunError, match="no rival is complete"):
        world.reader({}).report(world.cells)


def test_rows_of_quality_stand_beside_the_rivals(world):
    like = [world.results[f"fold-{fold}/films-alone"] for fold in range(2)]
    shared = {f"fold-{fold}/films-convnet": like[fold] for fold in range(2)}
    shared |= {f"fold-{fold}/films-real-60-batch": like[fold] for fold in range(2)}
    shared |= {
        f"fold-{fold}/distil-convnet-phantom-{site}": Result(cpu_seconds=10.0 * (1 + site))
        for fold, site in product(range(2), range(2))
    }
    plan = replace(TINY, shared=replace(TINY.shared, networks=2, sizes=(20,)))
    reader = Reader(plan, world.hospitals, world.results, shared, 50)
    distilled, real = reader.lines[-2:]
    assert distilled.row.title == "3 images for all weights of ConvNet, k = 2"
    assert (distilled.row.seconds, distilled.row.sends) == (15.0, 3 * 4 * (8 * 8 + 3))
    assert real.row.title == "60 real, ResNet18 BatchNorm"
    assert real.row.audit == REAL_PIXELS


def test_the_picture_has_a_curve_for_every_family_and_equal_lines_make_it_equal(world):
    lines = world.reader(world.results).lines
    text = draw(lines)
    assert text == draw(lines)
    picture = ElementTree.fromstring(text)
    words = {own.text for own in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {"distilled images, scattering", "FedAvg", "medoids, soft labels", ALONE} <= words
    assert {"3", "6", "1", "2"} <= words  # images and rounds
    assert not any(title in words for title in ROWS if title[0].isdigit())


def test_the_full_plan_uses_the_patients_patches_and_films_of_quality():
    hospitals = hospitals_of(Phantoms(), Path(), Store("rivals", Path("nowhere")))
    cells = cells_of(FULL, hospitals)
    theirs = {cell.name: cell for cell in cells_of_quality(QUALITY, hospitals)}
    cohorts = [cell for cell in cells if "/cohort-" in cell.name]
    assert len(cohorts) == 9
    assert all(theirs[cell.name].digest == cell.digest for cell in cohorts)
    trained = [cell for cell in cells if cell.kind == "train"]
    assert len(trained) == 3 * len(rivals_of(FULL, 0))
    plan = theirs["fold-2/real-9000-convnet"].parameters.plan
    assert {cell.parameters.patch_seed for cell in trained[-8:]} == {plan.seed}
    assert trained[-1].parameters.per_class * 3 == plan.per_class
    names = [cell.name for cell in cells]
    for place, cell in enumerate(cells):
        assert {need.name for need in cell.needs.values()} <= set(names[:place])
    assert all(cell.cpu_seconds <= 1200 for cell in cells)
