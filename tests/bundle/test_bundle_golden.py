"""Bundles of every frozen format version, kept for ever, are still read as they were."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_factory import GUARANTEE, NOW, distilled, manifest, rich_manifest
from frozen_schema import shape_of

from gdshare.bundle import Manifest, verify_folder
from gdshare.bundle.counts import PublishedCounts
from gdshare.bundle.datasheet import datasheet
from gdshare.bundle.errors import Expired
from gdshare.bundle.layout import MANIFEST
from gdshare.bundle.manifest import FORMAT_1_0, FORMAT_1_1, FORMAT_1_2
from gdshare.method import Method
from gdshare.protocol import Protocol
from gdshare.signing import load_public_key

GOLDEN = Path(__file__).parent / "golden"
DIGESTS = {
    "gdshare-bundle-1.0/st-mary-1": (
        "561f14941c4473fb82454b894fb32df219b1843a23ed06208d6a64779a7b3598"
    ),
    "gdshare-bundle-1.0/st-mary-2": (
        "a978eaa53121d2930a0ba43a46b6ba3395df1718f24a764ee5f8caba3f205f81"
    ),
    "gdshare-bundle-1.1/st-mary-1": (
        "80054711c3490c98925417981ab61009353bfb3a1dd2b2cfedd7e152e84edf8a"
    ),
    "gdshare-bundle-1.1/st-mary-2": (
        "6976ab44b78feccdf739e1a6a9ff2d6fd429d81833f966a51589ca35298b8097"
    ),
    "gdshare-bundle-1.2/st-mary-1": (
        "e6a9858759c925fd52b3ac2a6c8818f42d245569f3e7cc44b12deacd28193e63"
    ),
    "gdshare-bundle-1.2/st-mary-2": (
        "aea153546ba8a9031ed8457a424277fa56f03338fec4b6b24b5d78ff171f6aec"
    ),
}
MADE_OF = {"st-mary-1": manifest, "st-mary-2": rich_manifest}


def test_every_golden_bundle_is_listed_here():
    there = {f"{one.parent.name}/{one.name}" for one in GOLDEN.glob("*/*") if one.is_dir()}
    assert there == set(DIGESTS)


@pytest.mark.parametrize("name", sorted(DIGESTS))
def test_a_golden_bundle_is_still_verified(name):
    folder = GOLDEN / name
    bundle = verify_folder(folder, load_public_key(folder.parent / "site.pub"), NOW)
    made_of = MADE_OF[folder.name](folder.parent.name.replace("-bundle-", "-bundle/"))
    assert bundle.digest == DIGESTS[name]
    assert bundle.manifest == made_of
    np.testing.assert_array_equal(bundle.distilled.labels, distilled(made_of).labels)
    np.testing.assert_array_equal(bundle.distilled.images, distilled(made_of).images)


@pytest.mark.parametrize("name", sorted(DIGESTS))
def test_a_golden_bundle_expires(name):
    folder = GOLDEN / name
    with pytest.raises(Expired):
        verify_folder(folder, load_public_key(folder.parent / "site.pub"), manifest().expires)


def frozen_shape(version: str) -> Any:
    path = GOLDEN / version.replace("/", "-") / "schema.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_no_field_or_bound_of_a_frozen_version_has_changed():
    """A new field, bound or name needs a new version: readers of this one would refuse it."""
    assert shape_of(Manifest.model_json_schema(mode="serialization")) == frozen_shape(FORMAT_1_2)


def shape_of_1_1() -> Any:
    """The present shape without what 1.2 added."""
    shape = shape_of(Manifest.model_json_schema(mode="serialization"))
    shape["properties"]["format"]["enum"].remove(FORMAT_1_2)
    del shape["properties"]["privacy"]
    del shape["$defs"]["Guarantee"]
    for field in PublishedCounts.SINCE_1_2:
        del shape["$defs"]["PublishedCounts"]["properties"][field]
    return shape


def test_version_1_1_is_the_present_one_without_a_guarantee():
    assert shape_of_1_1() == frozen_shape(FORMAT_1_1)


def test_version_1_0_is_1_1_without_what_that_added():
    shape = shape_of_1_1()
    shape["properties"]["format"] = {"const": FORMAT_1_0, "type": "string"}
    for part in (Protocol, Method):
        described = shape["$defs"][part.__name__]
        for field in part.SINCE_1_1:
            del described["properties"][field]
        for field, words in part.SPELLED_IN_1_0.items():
            described["properties"][field]["enum"] = [
                {value: word for word, value in words.items()}.get(value, value)
                for value in described["properties"][field]["enum"]
            ]
    # Its last layer is all that the network has, and 1.0 cannot say that the last layer is trained.
    shape["$defs"]["Method"]["properties"]["network"]["enum"].remove("scattering")
    assert shape == frozen_shape(FORMAT_1_0)


def test_frozen_rules_of_1_1_do_not_take_a_bundle_with_a_guarantee():
    rules = frozen_shape(FORMAT_1_1)
    assert FORMAT_1_2 not in rules["properties"]["format"]["enum"]
    assert rules["additionalProperties"] is False
    assert "privacy" not in rules["properties"]


@pytest.mark.parametrize("about", [manifest, rich_manifest])
def test_a_bundle_without_a_guarantee_has_no_word_of_1_2(about):
    """So that readers who know no more than 1.1 read it."""
    text = about().to_bytes().decode()
    assert '"format": "gdshare-bundle/1.1"' in text
    assert "privacy" not in text
    assert "noisy" not in text


@pytest.mark.parametrize("name", [name for name in sorted(DIGESTS) if "1.2" in name])
def test_a_bundle_of_1_2_states_its_guarantee_and_noisy_counts(name):
    manifest = Manifest.from_bytes((GOLDEN / name / MANIFEST).read_bytes())
    assert (manifest.privacy, manifest.counts.noisy) == (GUARANTEE, True)
    assert manifest.attacks == ()
    assert manifest.to_bytes() == (GOLDEN / name / MANIFEST).read_bytes()


@pytest.mark.parametrize("name", [name for name in sorted(DIGESTS) if "1.0" in name])
def test_a_bundle_of_1_0_is_of_films_as_they_are_and_trains_all_weights(name):
    manifest = Manifest.from_bytes((GOLDEN / name / MANIFEST).read_bytes())
    assert manifest.format == FORMAT_1_0
    assert (manifest.protocol.tone, manifest.method.train) == ("none", "all")
    assert manifest.to_bytes() == (GOLDEN / name / MANIFEST).read_bytes()


def test_1_0_calls_an_announced_theta0_fixed():
    folder = GOLDEN / "gdshare-bundle-1.0" / "st-mary-2"
    manifest = Manifest.from_bytes((folder / MANIFEST).read_bytes())
    assert manifest.method.theta0 == "announced"
    assert '"theta0": "fixed"' in manifest.to_bytes().decode()
    assert "starting weights fixed (" in datasheet(manifest, distilled(manifest))
    later = rich_manifest(FORMAT_1_1)
    assert '"theta0": "announced"' in later.to_bytes().decode()
    assert "starting weights announced (" in datasheet(later, distilled(later))


def test_a_changed_bound_would_be_noticed():
    schema = Manifest.model_json_schema(mode="serialization")
    before = shape_of(schema)
    schema["properties"]["sequence"]["maximum"] += 1
    assert shape_of(schema) != before
