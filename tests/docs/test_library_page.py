"""docs/library.md: its examples run as they stand, and it names what ``import gdshare`` offers."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from bundle_factory import key, png
from film_kit import small_cohort

import gdshare
from gdshare.bundle import build_files, describe_run, write_bundle
from gdshare.distill.run_folder import read_record
from gdshare.signing import public_pem

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.M | re.S)


@pytest.fixture(scope="module")
def reached(tmp_path_factory):
    """Every name that the page's examples bind, run in order where a hospital has its folders."""
    folder = tmp_path_factory.mktemp("hospital")
    cohort = small_cohort(folder, 36)
    quick = gdshare.Settings(outer_steps=20, batch=100)
    other = gdshare.distil_cohort(cohort, folder / "st-mary-run", settings=quick)
    manifest = describe_run(
        read_record(folder / "st-mary-run"),
        site="st-mary",
        sequence=1,
        now=datetime.now(UTC),
        lifetime=timedelta(days=2),
    )
    write_bundle(folder / "outbox", build_files(manifest, other.tensors, png(), key()))
    (folder / "st-mary.pub").write_bytes(public_pem(key().public_key()))
    names = {"folder": folder}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for example in EXAMPLES:
            exec(compile(example, "docs/library.md", "exec"), names)
    return names


def test_there_are_examples():
    assert len(EXAMPLES) >= 6


def test_arrays_are_distilled_as_the_page_says(reached):
    images = reached["images"]
    assert images.classes == ("lines", "noise")
    assert (images.images.shape, images.images.dtype) == ((2, 1, 16, 16), np.float32)
    assert images.labels.sum(axis=1) == pytest.approx([1, 1])
    assert images.learning_rates.shape == (1,)
    assert images.score > 0.7
    assert images.patients == 30
    called = gdshare.predict(reached["model"], reached["patches"])
    assert (called == reached["kinds"]).mean() > 0.7


def test_hospitals_are_pooled_as_the_page_says(reached):
    assert reached["theirs"].signature == "verified"
    audit = reached["audit"]
    assert {attack.name for attack in audit.attacks} == {
        result.attack.name for result in audit.record.results if result.counts
    }
    assert "nearest-patch/1" in {attack.name for attack in audit.attacks}
    seen = reached["seen"]
    assert seen.verdict in ("positive", "negative")
    assert seen.threshold == 0.4
    assert seen.map.called.dtype == np.uint8


def test_tensors_are_one_line_away_without_gdshare(reached):
    theirs = reached["theirs"]
    assert set(reached["tensors"]) == {"images", "labels", "learning_rates"}
    for name, values in reached["tensors"].items():
        assert np.array_equal(values, getattr(theirs, name))


def test_the_line_on_the_formats_page_reads_the_tensors(reached, monkeypatch):
    page = (ROOT / "docs" / "bundle-format.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"`(tensors = .*?)`", page)
    monkeypatch.chdir(reached["folder"] / "outbox")
    names = {"safetensors": safetensors}
    exec(line, names)
    assert np.array_equal(names["tensors"]["images"], reached["tensors"]["images"])


def test_every_public_name_is_on_the_page_and_no_other():
    table = PAGE.split("|---|---|---|")[1].split("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line]
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    types = {"Cohort", "DistilledImages", "Film", "Model"}
    assert named | types == set(gdshare.__all__)
    assert all(f"`{name}`" in table for name in types)
