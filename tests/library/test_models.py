"""Models trained on distilled images: pooled, saved, and classifying patches and films."""

from dataclasses import replace

import numpy as np
import pytest
from command_kit import gdshare as command
from film_kit import PROTOCOL, small_cohort

import gdshare
from gdshare.errors import ModelError, UsageError
from gdshare.evaluation import cohort_votes
from gdshare.method import Settings
from gdshare.protocol import CLASSES

QUICK = Settings(batch=300, outer_steps=60, seed=3)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return small_cohort(tmp_path_factory.mktemp("cohort"), 18)


@pytest.fixture(scope="module")
def images(cohort):
    """Distilled from arrays that were cut from films, labelled I, N and P."""
    parts = {}
    for split in ("train", "val"):
        patches = cohort.patches(split)
        pixels = patches.scaled(np.arange(len(patches)))
        parts[split] = pixels, np.array(CLASSES)[patches.labels]
    return gdshare.distil(
        *parts["train"], validation=parts["val"], settings=QUICK, protocol=PROTOCOL
    )


@pytest.fixture(scope="module")
def model(images):
    return gdshare.train(images)


@pytest.fixture(scope="module")
def animals():
    labels = np.array(["cat", "dog"])[np.arange(40) % 2]
    pixels = np.random.default_rng(0).integers(0, 255, (40, 16, 16), np.uint8)
    return gdshare.distil(pixels, labels, validation=(pixels, labels), settings=QUICK)


def test_a_film_is_classified_as_the_command_does(cohort, model, tmp_path):
    gdshare.save_model(tmp_path / "model", model)
    paths = [film.image for film in cohort.films_of("test")]
    ours = [gdshare.classify(model, gdshare.read_film(path)) for path in paths]
    printed = command("classify", tmp_path / "model", *paths, check=True).out.splitlines()[2:]
    assert [line.split()[0] for line in printed] == [seen.verdict for seen in ours]
    assert [line.split()[1] for line in printed] == [f"{seen.ratio:.3f}" for seen in ours]
    truth = ["positive" if film.positive else "negative" for film in cohort.films_of("test")]
    assert [seen.verdict for seen in ours] == truth


def test_the_models_own_threshold_decides_unless_one_is_given(cohort, model, tmp_path):
    film = gdshare.read_film(cohort.films_of("test")[0].image)
    assert gdshare.classify(model, film).threshold == 0.4
    own = replace(model, threshold=0.0)
    gdshare.save_model(tmp_path / "model", own)
    again = gdshare.load_model(tmp_path / "model")
    assert again.threshold == 0.0
    seen = gdshare.classify(again, film)
    assert (seen.threshold, seen.verdict) == (0.0, "positive")
    assert gdshare.classify(again, film, threshold=0.7).threshold == 0.7
    with pytest.raises(UsageError, match=r"threshold=1\.5"):
        gdshare.classify(model, film, threshold=1.5)


def test_a_film_has_a_map_of_its_votes(cohort, model):
    seen = gdshare.classify(model, gdshare.read_film(cohort.films_of("test")[0].image))
    assert seen.map.called.shape == (1, 7, 7)
    assert seen.map.votes.ratio == seen.ratio


def test_patches_are_named_and_equal_votes_go_to_the_first_class(cohort, model):
    patches = cohort.patches("test")
    pixels, names = patches.scaled(np.arange(len(patches))), np.array(CLASSES)[patches.labels]
    assert (gdshare.predict(model, pixels) == names).mean() > 0.9

    flipped = {
        name: weight.flip(0) if weight.shape[0] == 3 else weight
        for name, weight in model.ensemble[0].items()
    }
    tied = replace(model, ensemble=(model.ensemble[0], flipped))
    called = set(gdshare.predict(tied, pixels[names == "P"]))
    assert called == {"I"}


def test_images_of_another_side_are_refused(model):
    with pytest.raises(UsageError, match="are 8 px wide, and the model takes 16"):
        gdshare.predict(model, np.zeros((1, 8, 8), np.uint8))


def test_a_model_of_other_classes_neither_sees_films_nor_becomes_a_file(animals, cohort, tmp_path):
    model = gdshare.train(animals)
    assert model.classes == ("cat", "dog")
    assert set(gdshare.predict(model, np.zeros((2, 16, 16)))) <= {"cat", "dog"}
    film = gdshare.read_film(cohort.films_of("test")[0].image)
    with pytest.raises(ModelError, match="tells cat, dog apart"):
        gdshare.classify(model, film)
    with pytest.raises(ModelError, match="tells cat, dog apart"):
        gdshare.save_model(tmp_path / "model", model)
    assert not (tmp_path / "model").exists()
    with pytest.raises(ModelError, match="tells cat, dog apart"):
        cohort_votes(replace(model, protocol=PROTOCOL), cohort, "test")


def test_several_hospitals_are_pooled(images):
    other = replace(
        images, name="other", tensors=replace(images.tensors, labels=np.eye(3, dtype=np.float32))
    )
    pooled = gdshare.train([images, other])
    assert pooled.to_bytes() == gdshare.train([other, images]).to_bytes()
    assert pooled.to_bytes() != gdshare.train(images).to_bytes()


def test_what_does_not_belong_together_is_not_pooled(images, animals):
    with pytest.raises(UsageError, match="has the same images as"):
        gdshare.train([images, images])
    with pytest.raises(UsageError, match="no images"):
        gdshare.train([])
    relabelled = replace(
        images,
        name="other",
        classes=("A", "B", "C"),
        tensors=replace(images.tensors, labels=np.eye(3, dtype=np.float32)),
    )
    with pytest.raises(UsageError, match=r"different class names \(I, N, P, A, B, C\)"):
        gdshare.train([images, relabelled])
    with pytest.raises(UsageError, match="another patch protocol"):
        gdshare.train([images, animals])


def test_a_folder_with_something_in_it_keeps_it(model, tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="already exists"):
        gdshare.save_model(tmp_path, model)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
