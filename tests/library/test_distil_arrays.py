"""Arrays of any classes are distilled as a cohort is."""

import numpy as np
import pytest
from film_kit import small_cohort
from run_kit import TINY, settings

import gdshare
from gdshare.distill.loop import distill
from gdshare.errors import UsageError
from gdshare.method import Settings
from gdshare.protocol import CLASSES

QUICK = Settings(batch=60, outer_steps=6, score_every=3, score_patches=20, seed=3)
COLOURS = ("blue", "green", "red", "white")


def bars(labels, seed=0, side=16):
    """Bars whose direction is the label's, uint8 [n, side, side]."""
    generator = np.random.default_rng(seed)
    down, right = np.mgrid[:side, :side]
    angles = np.pi / 4 * np.asarray(labels)[:, None, None]
    wave = np.sin(1.6 * (np.cos(angles) * right + np.sin(angles) * down))
    return (128 + 60 * wave + generator.normal(0, 20, wave.shape)).clip(0, 255).astype(np.uint8)


def task(count=80, classes=4, seed=0):
    labels = np.arange(count) % classes
    return bars(labels, seed), labels


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return small_cohort(tmp_path_factory.mktemp("cohort"), 18, protocol=TINY)


def patches_of(cohort, split):
    patches = cohort.patches(split)
    rows = np.arange(len(patches))
    return patches.scaled(rows), np.array(CLASSES)[patches.labels]


@pytest.mark.parametrize(
    "chosen",
    [QUICK, settings(), settings(labels="hard", unroll="greedy")],
    ids=["the default network", "a whole network", "hard labels"],
)
def test_three_classes_give_the_numbers_of_a_cohort_bit_for_bit(cohort, tmp_path, chosen):
    outcome = distill(cohort, tmp_path / "run", chosen)
    images, labels = patches_of(cohort, "train")
    result = gdshare.distil(
        images, labels, validation=patches_of(cohort, "val"), settings=chosen, protocol=TINY
    )
    assert result.tensors.to_bytes() == outcome.distilled.to_bytes()
    assert result.score == outcome.score.mean
    assert result.classes == CLASSES
    assert result.protocol == cohort.protocol


def test_four_classes_are_learned_from_four_images():
    images, labels = task()
    names = np.array(COLOURS)[labels]
    held_back = task(seed=1)
    chosen = Settings(batch=80, outer_steps=40, score_every=20, seed=1)
    result = gdshare.distil(
        images,
        names,
        validation=(held_back[0], np.array(COLOURS)[held_back[1]]),
        settings=chosen,
    )
    assert result.classes == COLOURS
    assert result.images.shape == (4, 1, 16, 16)
    assert result.labels.shape == (4, 4)
    assert result.score > 0.9

    model = gdshare.train(result)
    fresh, truth = task(seed=2)
    assert (gdshare.predict(model, fresh) == np.array(COLOURS)[truth]).mean() > 0.9


def test_whole_networks_and_two_classes_work_too():
    images, labels = task(40, 2)
    chosen = Settings(network="convnet", outer_steps=2, batch=8, score_inits=2, seed=1)
    result = gdshare.distil(images, labels == 1, validation=(images, labels == 1), settings=chosen)
    assert result.classes == ("False", "True")
    assert result.labels.shape == (2, 2)
    assert len(gdshare.train(result, ensemble=3).ensemble) == 3


def test_numbers_as_labels_keep_their_order():
    images, labels = task(60, 3)
    numbers = np.array([2, 10, 1])[labels]
    result = gdshare.distil(images, numbers, validation=(images, numbers), settings=QUICK)
    assert result.classes == ("1", "2", "10")


def test_eight_bits_and_floats_are_the_same_patches():
    images, labels = task(40, 2)
    results = [
        gdshare.distil(pixels, labels, validation=(pixels, labels), settings=QUICK)
        for pixels in (images, images / 255, (images / 255).astype(np.float32))
    ]
    assert len({result.digest for result in results}) == 1


def test_a_share_keeps_whole_patients_and_every_class(monkeypatch):
    images, labels = task(120, 3)
    patients = np.array([f"p{number}" for number in np.arange(120) // 6])
    seen = {}

    def prepared(train, val, *rest):
        seen.update(train=train, val=val)
        raise KeyboardInterrupt

    monkeypatch.setattr("gdshare.library.arrays.prepare_patches", prepared)
    with pytest.raises(KeyboardInterrupt):
        gdshare.distil(images, labels, validation=0.25, groups=patients, settings=QUICK)
    owner = {image.tobytes(): patient for image, patient in zip(images, patients, strict=True)}
    sides = [
        {owner[(pixels // 257).astype(np.uint8).tobytes()] for pixels in seen[side].pixels}
        for side in ("train", "val")
    ]
    assert not sides[0] & sides[1]
    assert (len(sides[0]), len(sides[1])) == (15, 5)
    assert set(seen["val"].labels.tolist()) == {0, 1, 2}


def test_pooling_weighs_by_training_patients():
    images, labels = task(120, 3)
    patients = np.arange(120) // 6
    result = gdshare.distil(images, labels, validation=0.25, groups=patients, settings=QUICK)
    assert result.patients == 15
    whole = gdshare.distil(
        images, labels, validation=(images, labels), groups=patients, settings=QUICK
    )
    assert whole.patients == 20
    assert gdshare.distil(
        images, labels, validation=(images, labels), settings=QUICK
    ).patients == len(images)


def test_without_a_seed_nobody_can_repeat_the_draws():
    images, labels = task(40, 2)
    given = {"validation": (images, labels), "settings": Settings(outer_steps=2, batch=20)}
    assert (
        gdshare.distil(images, labels, **given).digest
        != gdshare.distil(images, labels, **given).digest
    )


IMAGES, LABELS = task(40, 2)
FOUR = np.arange(40) % 4
GOOD = {"images": IMAGES, "labels": LABELS, "validation": (IMAGES, LABELS), "settings": QUICK}
REFUSED = {
    "no array": ({"images": 3}, "have shape (), not"),
    "colour images": ({"images": np.zeros((40, 16, 16, 3), np.uint8)}, "not [n, side, side]"),
    "no image": ({"images": IMAGES[:0], "labels": LABELS[:0]}, "not [n, side, side]"),
    "signed integers": ({"images": IMAGES.astype(np.int16)}, "are int16"),
    "floats above 1": ({"images": IMAGES.astype(np.float32)}, "above 1"),
    "no number": ({"images": np.full(IMAGES.shape, np.nan)}, "not a number"),
    "a label too few": ({"labels": LABELS[1:]}, "have shape (39,) for 40 patches"),
    "labels in a column": ({"labels": LABELS[:, None]}, "have shape (40, 1)"),
    "labels with fractions": ({"labels": LABELS / 2}, "are float64"),
    "labels in bytes": ({"labels": LABELS.astype("S1")}, "are |S1"),
    "one class": ({"labels": np.zeros(40, int)}, "name 1 classes"),
    "unknown class in validation": (
        {"validation": (IMAGES, np.full(40, 7))},
        "name the unknown class 7",
    ),
    "class missing in validation": (
        {"validation": (IMAGES, np.zeros(40, int))},
        "no validation patch of class 1",
    ),
    "other side in validation": (
        {"validation": (bars(LABELS, side=12), LABELS)},
        "are 12 px wide, and the training images 16",
    ),
    "share without patients": ({"validation": 0.2}, "would be on both sides"),
    "share of all": ({"validation": 1.0, "groups": LABELS}, "is no share"),
    "a single patient": (
        {"validation": 0.5, "groups": np.zeros(40, int)},
        "leaves no patient to validate on",
    ),
    "a patient of each class": (
        {"validation": 0.5, "groups": LABELS},
        "leaves no patient to validate on",
    ),
    "protocol of another side": ({"protocol": TINY}, "has side 8, and the images have 16"),
    "side that the network cannot take": (
        {
            "images": bars(LABELS, side=10),
            "validation": (bars(LABELS, side=10), LABELS),
        },
        "must be a multiple of 4",
    ),
    "side below 8": (
        {"images": bars(LABELS, side=4), "validation": (bars(LABELS, side=4), LABELS)},
        "are 4 px wide",
    ),
    "sets that leave a class out": (
        {
            "images": bars(FOUR),
            "labels": FOUR,
            "validation": (bars(FOUR), FOUR),
            "settings": settings(sets=2, images=6),
        },
        "leave one of 4 classes out",
    ),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_distilled_is_refused_plainly(changes, message):
    given = GOOD | changes
    with pytest.raises(UsageError) as refusal:
        gdshare.distil(given.pop("images"), given.pop("labels"), **given)
    assert message in str(refusal.value)
