"""The claim on harmonised films: what is held against what, and how tones are compared."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gdshare.distill.head import Body
from gdshare.errors import RunError
from gdshare.last_layer import moments, one_hot
from studies.harmonised.plan import FULL, QUICK, TONE, TONES, Plan, harmonised_cells, tone_cell
from studies.harmonised.report import MARGIN, report_of
from studies.harmonised.tones import HEADS, Site, best_head, fitted_heads
from studies.hospitals import Phantoms, hospitals_of
from studies.quality.schedule import cells_of
from studies.runner import Store, run


def tiny(plan, **others):
    return replace(
        plan,
        protocol=plan.protocol.model_copy(update={"patch": 24, "stride": 12}),
        training=replace(plan.training, epochs=1),
        sizes=(10,),
        film_stride=24,
        crossing=replace(plan.crossing, folds=0),
        phantoms=Phantoms(hospitals=2, per_diagnosis=4, size=128),
        **others,
    )


TINY = Plan(
    tiny(QUICK.shared, arms=QUICK.shared.arms[:1], head_schemes=("sequential",)),
    tiny(QUICK.plain, arms=()),
    replace(QUICK.comparing, stride=24),
)
IMAGES, BETTER, CONVNET = (
    "distilled on ConvNet head, k = 1",
    "30 real, ResNet18 better norm",
    "30 real, ConvNet",
)


def turned(result):
    """The same result, N and P exchanged."""
    arrays = dict(result.arrays)
    for name in arrays.keys() & {"votes", "sums"}:
        arrays[name] = arrays[name][..., [0, 2, 1]]
    return replace(result, arrays=arrays)


class World:
    """A whole tiny study; on films as they are, networks saw N where they see P."""

    def __init__(self, out):
        self.store = Store("harmonised", out)
        self.hospitals = hospitals_of(TINY.shared.phantoms, out, self.store)
        self.cells = harmonised_cells(TINY, self.hospitals)
        run(self.cells, self.store, lambda line: None)
        self.results = self.store.results(self.cells)
        names = {cell.name for cell in cells_of(TINY.plain, self.hospitals)}
        self.plain = {n: turned(own) for n, own in self.results.items() if n in names}

    def report(self, results, plain):
        return report_of(TINY, self.hospitals, results, plain, self.cells)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("harmonised"))


@pytest.fixture(scope="module")
def whole(world):
    return world.report(world.results, world.plain)


def table(report, title):
    (found,) = [own for own in report.figures["tables"] if own["title"].startswith(title)]
    return {row[0]: row[1:] for row in found["rows"]}


def test_images_are_held_against_real_patches_of_both_tones(whole):
    for figure, place in (("HM", 2), ("AUC", 3)):
        rows = table(whole, f"Claim: {figure}")
        assert list(rows) == [
            f"{IMAGES}, tone {TONE}",
            *(f"{name}, tone {tone}" for name in (BETTER, CONVNET) for tone in (TONE, "none")),
        ]
        ours = rows[f"{IMAGES}, tone {TONE}"]
        read = table(whole, "Primary: films")
        assert ours == [scope[0][place] for scope in read[f"{IMAGES} (primary)"][1:]]
        theirs = rows[f"{BETTER}, tone {TONE}"]
        assert [entry[0] for entry in theirs] == [
            scope[0][place] for scope in read[f"{BETTER} (primary)"][1:]
        ]
        for own, (other, (ahead, low, high)) in zip(ours, theirs, strict=True):
            assert ahead == pytest.approx(own - other)
            assert low <= high


def test_better_tone_counts_and_the_wanted_end_is_read_off_the_interval(whole):
    for figure in ("HM", "AUC"):
        rows = table(whole, f"Claim: {figure}")
        entries = {tone: rows[f"{BETTER}, tone {tone}"][0] for tone in (TONE, "none")}
        tone, shown, level, reached = table(whole, "Wanted")[f"{figure}, {BETTER}"]
        assert entries[tone][0] == max(entry[0] for entry in entries.values())
        assert shown == entries[tone][1]
        assert level == ("reached" if shown[0] >= 0 else "not reached")
        assert reached == ("reached" if shown[1] > MARGIN else "not reached")


def test_plain_figures_are_those_of_the_other_study(whole):
    rows = table(whole, "Claim: AUC")
    harmonised, plain = (rows[f"{CONVNET}, tone {tone}"][0][0] for tone in (TONE, "none"))
    assert plain == pytest.approx(1 - harmonised)
    assert plain != pytest.approx(harmonised)


def test_without_the_other_study_it_says_what_is_lacking(world):
    report = world.report(world.results, {})
    assert "archive of studies quality lacks: 30 real, ResNet18 GroupNorm (0 of 2)" in report.text
    assert table(report, "Wanted")[f"HM, {BETTER}"][0] == f"{TONE} (no other)"


def test_before_the_images_are_complete_nothing_is_claimed(world):
    lacking = {n: r for n, r in world.results.items() if n != "fold-1/films-convnet-head"}
    report = world.report(lacking, world.plain)
    assert "Claim" not in report.text
    assert "Not told, since not complete: distilled on ConvNet head (1 of 2)." in report.text
    only = {n: r for n, r in world.results.items() if "/tone-" in n}
    assert [own["title"][:5] for own in world.report(only, {}).figures["tables"][:2]] == [
        "Tones"
    ] * 2
    with pytest.raises(RunError, match="no model is complete"):
        world.report({}, {})


def test_figures_on_other_films_are_refused(world):
    moved = dict(world.plain)
    for name in (own for own in moved if own.startswith("fold-0/films-")):
        arrays = dict(moved[name].arrays)
        moved[name] = replace(moved[name], arrays=arrays | {"patient": arrays["patient"][::-1]})
    with pytest.raises(RunError, match="different films"):
        world.report(world.results, moved)


def test_every_tone_has_a_row_by_either_head(whole, world):
    rows = [f"{tone}, {trained}" for trained in HEADS for tone in TONES]
    scores = table(whole, "Tones: patch score")
    assert list(scores) == list(table(whole, "Tones: film AUC")) == rows
    folds = [world.results[tone_cell(fold, TONE)].facts["patch_scores"] for fold in range(2)]
    means = np.mean(folds, axis=0)
    assert scores[f"{TONE}, {HEADS[1]}"] == [pytest.approx(means[1].mean()), *means[1].tolist()]


def test_tones_are_judged_on_validation_films_alone(world):
    for tone in TONES:
        assert set(world.results[tone_cell(0, tone)].arrays["split"].tolist()) == {"val"}


def body():
    """Three features as they are."""
    theta0 = {"fc.weight": torch.zeros(3, 3)}
    return Body(torch.nn.Identity(), "fc", theta0, torch.zeros(3), torch.ones(3))


def site_of(classes, shift=0, noise=0.01):
    """Features that give the class away; with another ``shift`` it has another name."""
    generator = torch.Generator().manual_seed(shift)
    features = torch.eye(3)[classes] + noise * torch.randn(len(classes), 3, generator=generator)
    named = (classes + shift) % 3
    return Site(moments(features, one_hot(named)), features, named)


def test_hospital_left_out_has_no_part_in_the_head_that_it_judges():
    classes = torch.arange(60) % 3
    first, second, third = sites = [site_of(classes, shift) for shift in (0, 0, 1)]
    everyone, without = fitted_heads(body(), sites, (1e-3,))
    assert [site.score(everyone) for site in sites] == [1, 1, 0]
    assert [site.score(without[2]) for site in sites] == [1, 1, 0]
    assert torch.equal(without[2].weight, best_head(body(), [first, second], (1e-3,)).weight)
    assert torch.equal(without[0].weight, best_head(body(), [second, third], (1e-3,)).weight)


def test_penalty_is_chosen_by_the_hospitals_that_train():
    site = site_of(torch.arange(60) % 3, noise=0.3)
    huge, small = (best_head(body(), [site], (penalty,)) for penalty in (1e9, 1e-3))
    assert site.score(small) > site.score(huge)
    assert torch.equal(best_head(body(), [site], (1e9, 1e-3)).weight, small.weight)


def test_the_full_plan_is_the_claim_as_it_was_named_beforehand():
    arms = FULL.shared.arms
    assert [(arm.network, arm.train) for arm in arms] == [
        ("convnet", "head"),
        ("resnet18", "head"),
        ("convnet", "all"),
    ]
    assert [arm.images for arm in arms] == [3] * 3
    assert FULL.shared.protocol.tone == TONE
    assert FULL.plain.protocol.tone == "none"
    names = [pooling.name for pooling in FULL.shared.poolings]
    assert names[:3] == ["convnet-head", "resnet18-head", "convnet"]
    assert names[3:] == ["convnet-head-chosen", "resnet18-head-chosen"]
    assert [own.networks for own in FULL.shared.poolings] == [1, 1, 5, 1, 1]
    assert [own.schemes for own in FULL.shared.poolings[:3]] == [("average",)] * 3
    assert FULL.shared.seed == FULL.plain.seed
    assert FULL.shared.folds == FULL.plain.folds == 3


def test_images_and_smallest_baselines_come_first_and_nothing_ever_waits(tmp_path):
    store = Store("harmonised", tmp_path)
    cells = harmonised_cells(FULL, hospitals_of(Phantoms(), tmp_path, store))
    names = [cell.name for cell in cells]
    assert len(set(names)) == len(names)

    def places(ending):
        return [place for place, name in enumerate(names) if name.endswith(ending)]

    assert max(places("films-convnet-head")) < min(places("/real-6000-group"))
    assert max(places("films-real-3000-batch")) < min(places("films-resnet18-head"))
    assert max(places("films-resnet18-head-chosen")) < min(places("/real-9000-group"))
    assert max(places("films-real-9000-batch")) < min(places("distil-convnet-phantom-0"))
    for place, cell in enumerate(cells):
        assert {need.name for need in cell.needs.values()} <= set(names[:place])
