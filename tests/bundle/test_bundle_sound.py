"""A sound bundle passes, and is the same whenever and wherever it is made."""

import json
from datetime import timedelta

import numpy as np
import pytest
from bundle_factory import CREATED, NOW, distilled, key, manifest, png, rich_manifest, sound
from bundle_run_kit import run_record

from gdshare.bundle import (
    Manifest,
    build_files,
    describe_run,
    read_folder,
    verify_files,
    verify_folder,
    write_bundle,
)
from gdshare.bundle.datasheet import datasheet
from gdshare.bundle.errors import WrongShape
from gdshare.distilled import TENSORS
from gdshare.errors import BundleError, UsageError
from gdshare.method import Counts, Method, RunRecord, Settings
from gdshare.protocol import Protocol


def record(**settings: object) -> RunRecord:
    return run_record(Settings(network="resnet18", **settings))


def test_what_was_built_comes_back_unchanged():
    bundle = verify_files(sound(), key().public_key(), NOW)
    assert bundle.manifest == manifest()
    for name in TENSORS:
        np.testing.assert_array_equal(getattr(bundle.distilled, name), getattr(distilled(), name))


def test_what_was_written_to_disk_comes_back_unchanged(tmp_path):
    folder = write_bundle(tmp_path / "outbox", sound())
    assert folder.name == "st-mary-1"
    assert read_folder(folder) == sound()
    assert len(verify_folder(folder, key().public_key(), NOW).digest) == 64


def test_equal_content_and_key_give_equal_bytes():
    assert build_files(manifest(), distilled(), png(), key()) == sound()


def test_the_digest_changes_with_the_content():
    other = build_files(manifest(sequence=2), distilled(), png(), key())
    digests = {verify_files(f, key().public_key(), NOW).digest for f in (sound(), other)}
    assert len(digests) == 2


def test_a_shared_learning_rate_makes_a_vector_of_one():
    shared = manifest(method=Method(network="convnet", inner_rates="shared"))
    files = build_files(shared, distilled(shared), png(), key())
    bundle = verify_files(files, key().public_key(), NOW)
    assert bundle.distilled.learning_rates.shape == (1,)


@pytest.mark.parametrize("std", [0.1, 1 / 3, 0.1 + 0.2, 1e-9, 1.0, 5e-324])
def test_floats_round_trip_exactly(std):
    original = manifest(protocol=Protocol(side=16, std=std))
    assert Manifest.from_bytes(original.to_bytes()) == original


def test_build_refuses_tensors_that_do_not_fit_the_manifest():
    with pytest.raises(WrongShape, match="images"):
        build_files(manifest(protocol=Protocol(side=32)), distilled(), png(), key())


def test_build_refuses_a_preview_beyond_its_bound():
    with pytest.raises(BundleError, match="preview"):
        build_files(manifest(), distilled(), bytes(9 * 2**20), key())


def test_a_run_is_described_without_its_seed_and_to_the_hour():
    moment = CREATED + timedelta(minutes=59, seconds=59, microseconds=7)
    described = describe_run(
        record(seed=123456789), site="a", sequence=4, now=moment, lifetime=timedelta(days=1)
    )
    assert described.created == CREATED
    assert type(described.method) is Method
    assert b"seed" not in described.to_bytes()
    assert b"123456789" not in described.to_bytes()


def test_a_manifest_refuses_settings_in_place_of_a_method():
    with pytest.raises(ValueError, match="exactly a Method"):
        manifest(method=Settings(seed=1))


@pytest.mark.parametrize("site", ["", "St-Mary", "a/b", "..", "a" * 33, "-a", "a-", "a\n", "ä"])
def test_a_bad_site_name_is_told_to_the_user(site):
    with pytest.raises(UsageError, match="site"):
        describe_run(record(), site=site, sequence=1, now=CREATED, lifetime=timedelta(days=1))


def test_the_datasheet_is_a_function_of_the_content():
    text = datasheet(manifest(), distilled())
    assert text == datasheet(manifest(), distilled())
    assert text.encode() == sound()["README.md"]
    assert "st-mary" in text
    assert "80.0 %" in text
    assert "anonym" not in text.lower()


def test_the_manifest_file_is_sorted_indented_json_with_a_newline():
    content = sound()["gdshare.json"].decode()
    assert content == json.dumps(json.loads(content), indent=2, sort_keys=True) + "\n"


def test_counts_hold_totals_only():
    assert set(Counts.model_fields) == {
        "patients_negative",
        "patients_positive",
        "patches_i",
        "patches_n",
        "patches_p",
    }


@pytest.mark.parametrize("tone", ["none", "levels"])
def test_datasheet_says_how_films_were_harmonised(tone):
    about = manifest(protocol=Protocol(side=16, tone=tone))
    text = datasheet(about, distilled(about))
    assert ("harmonised by themselves first (`levels`)" in text) == (tone == "levels")


@pytest.mark.parametrize(
    ("about", "trained"), [(manifest(), "all weights;"), (rich_manifest(), "the last layer alone")]
)
def test_datasheet_says_which_part_the_images_train(about, trained):
    assert f"steps on the images train {trained}" in datasheet(about, distilled(about))
