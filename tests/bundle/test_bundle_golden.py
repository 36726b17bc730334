"""Bundles of every released format version, kept for ever, are still read as they were."""

from pathlib import Path

import numpy as np
import pytest
from bundle_factory import NOW, distilled, manifest

from gdshare.bundle import Expired, load_public_key, verify_folder

GOLDEN = Path(__file__).parent / "golden"
DIGESTS = {"gdshare-bundle-0.1": "2f7b09db091a0a6758eba5a685b1a8d641f29dbbb696f32f2c605b3f3acee9db"}


def test_every_golden_bundle_is_listed_here():
    assert {path.name for path in GOLDEN.iterdir()} == set(DIGESTS)


@pytest.mark.parametrize("version", sorted(DIGESTS))
def test_a_golden_bundle_is_still_verified(version):
    public_key = load_public_key(GOLDEN / version / "site.pub")
    bundle = verify_folder(GOLDEN / version / "st-mary-1", public_key, NOW)
    assert bundle.digest == DIGESTS[version]
    assert bundle.manifest == manifest()
    np.testing.assert_array_equal(bundle.distilled.labels, distilled().labels)
    np.testing.assert_array_equal(bundle.distilled.images, distilled().images)


@pytest.mark.parametrize("version", sorted(DIGESTS))
def test_a_golden_bundle_expires(version):
    public_key = load_public_key(GOLDEN / version / "site.pub")
    with pytest.raises(Expired):
        verify_folder(GOLDEN / version / "st-mary-1", public_key, manifest().expires)
