"""A bundle reaches a program verified, or said to be unverified; never in silence."""

from datetime import timedelta

import numpy as np
import pytest
from bundle_factory import CREATED, NOW, distilled, key, other_key, sound, with_file

import gdshare
from gdshare.bundle.errors import Expired
from gdshare.contributions import read_source, train_from
from gdshare.errors import BundleError, UsageError
from gdshare.protocol import CLASSES
from gdshare.signing import public_pem


def write(folder, files):
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "st-mary.pub").write_bytes(public_pem(key().public_key()))
    (tmp_path / "other.pub").write_bytes(public_pem(other_key().public_key()))
    return write(tmp_path / "st-mary-1", sound())


def test_a_verified_bundle_gives_its_images_and_says_so(bundle, tmp_path):
    images = gdshare.load_bundle(bundle, tmp_path / "st-mary.pub", now=NOW)
    assert images.signature == "verified"
    assert "signature verified" in repr(images)
    assert images.tensors.to_bytes() == distilled().to_bytes()
    assert (images.name, images.classes, images.score) == ("st-mary", CLASSES, None)
    assert images.manifest.terms.retention_days == 90
    assert images.gray.shape == (3, 16, 16)
    assert np.allclose((images.gray - 0.5) / 0.25, images.images[:, 0], atol=1e-5)


def test_without_a_key_nothing_is_read_unless_one_asks_for_the_unverified(bundle, tmp_path):
    with pytest.raises(UsageError, match="no key to verify it with"):
        gdshare.load_bundle(bundle, now=NOW)
    with pytest.raises(UsageError, match="a key and unverified"):
        gdshare.load_bundle(bundle, tmp_path / "st-mary.pub", unverified=True, now=NOW)
    images = gdshare.load_bundle(bundle, unverified=True, now=NOW)
    assert images.signature == "not checked"
    assert "signature not checked" in repr(images)


def test_another_key_and_an_altered_file_are_refused(bundle, tmp_path):
    with pytest.raises(BundleError, match="st-mary-1"):
        gdshare.load_bundle(bundle, tmp_path / "other.pub", now=NOW)
    altered = bytearray((bundle / "distilled.safetensors").read_bytes())
    altered[-1] ^= 1
    (bundle / "distilled.safetensors").write_bytes(altered)
    with pytest.raises(BundleError):
        gdshare.load_bundle(bundle, tmp_path / "st-mary.pub", now=NOW)


def test_the_unverified_must_be_sound_and_in_date_all_the_same(bundle, tmp_path):
    late = CREATED + timedelta(days=400)
    with pytest.raises(Expired):
        gdshare.load_bundle(bundle, unverified=True, now=late)
    broken = write(tmp_path / "broken", with_file("distilled.safetensors", b"nonsense"))
    with pytest.raises(BundleError):
        gdshare.load_bundle(broken, unverified=True, now=NOW)
    (bundle / "README.md").unlink()
    with pytest.raises(BundleError):
        gdshare.load_bundle(bundle, unverified=True, now=NOW)


def test_a_model_of_bundles_is_the_one_of_the_command(bundle):
    images = gdshare.load_bundle(bundle, unverified=True, now=NOW)
    ours = gdshare.train(images, seed=4, ensemble=1)
    theirs = train_from([read_source(bundle, NOW)], "average", seed=4, ensemble=1)
    assert ours.to_bytes() == theirs.to_bytes()


def test_a_bundle_is_kept_as_it_is_and_read_by_its_own_name(bundle, tmp_path):
    images = gdshare.load_bundle(bundle, unverified=True, now=NOW)
    with pytest.raises(UsageError, match="would lose their signature and terms"):
        images.save(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    with pytest.raises(UsageError, match="load_bundle"):
        gdshare.load_images(bundle)
