"""Distilled images are saved and read without a pickle, and nothing altered passes."""

import json

import numpy as np
import pytest
from film_kit import small_cohort
from run_kit import TINY, settings

import gdshare
from gdshare.errors import RunError, UsageError
from gdshare.method import Settings

QUICK = Settings(batch=20, outer_steps=3, seed=3)


@pytest.fixture(scope="module")
def images():
    labels = np.array(["cat", "dog"])[np.arange(40) % 2]
    pixels = np.random.default_rng(0).integers(0, 255, (40, 8, 8), np.uint8)
    return gdshare.distil(pixels, labels, validation=(pixels, labels), settings=QUICK)


def test_what_is_saved_is_read_again(images, tmp_path):
    images.save(tmp_path / "saved")
    again = gdshare.load_images(tmp_path / "saved")
    assert again.tensors.to_bytes() == images.tensors.to_bytes()
    assert repr(again) == repr(images)
    for name in ("method", "protocol", "initialiser", "theta0_sha256", "patients", "score"):
        assert getattr(again, name) == getattr(images, name)
    assert gdshare.train(again).to_bytes() == gdshare.train(images).to_bytes()


def test_no_seed_is_saved(images, tmp_path):
    images.save(tmp_path / "saved")
    assert "seed" not in (tmp_path / "saved" / "images.json").read_text(encoding="utf-8")


def test_a_folder_with_something_in_it_stays_as_it_is(images, tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="already exists"):
        images.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ["cat", "dog", "cow"]},
        {"classes": ["cat"]},
        {"format": "gdshare-images/2"},
        {"tensors_sha256": "0" * 64},
        {"score": 2.0},
        {"colour": "blue"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_altered_description_is_refused(images, tmp_path, changes):
    images.save(tmp_path / "saved")
    path = tmp_path / "saved" / "images.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes), encoding="utf-8")
    with pytest.raises(RunError):
        gdshare.load_images(tmp_path / "saved")


def test_altered_tensors_are_refused(images, tmp_path):
    images.save(tmp_path / "saved")
    path = tmp_path / "saved" / "distilled.safetensors"
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError):
        gdshare.load_images(tmp_path / "saved")


def test_a_folder_without_images_says_so(tmp_path):
    with pytest.raises(UsageError, match="holds no distilled images"):
        gdshare.load_images(tmp_path)


def test_a_cohort_is_distilled_as_the_command_does(tmp_path):
    cohort, steps = small_cohort(tmp_path, 18, protocol=TINY), []
    images = gdshare.distil_cohort(
        cohort,
        tmp_path / "run",
        settings=settings(outer_steps=2),
        progress=lambda *report: steps.append(report),
    )
    assert steps == [(1, 2), (2, 2)]
    assert images.name == str((tmp_path / "run").resolve())
    assert 0 < images.score < 1
    assert (tmp_path / "run" / "preview.png").exists()
    assert repr(gdshare.load_images(tmp_path / "run")) == repr(images)


def test_a_cohort_is_distilled_with_a_seed_that_nobody_can_guess(tmp_path):
    cohort = small_cohort(tmp_path, 18, protocol=TINY)
    chosen = Settings(network="convnet", outer_steps=1, batch=6, score_inits=1)
    runs = [gdshare.distil_cohort(cohort, tmp_path / name, settings=chosen) for name in ("a", "b")]
    assert runs[0].digest != runs[1].digest
