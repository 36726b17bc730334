from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from bundle_factory import STATED
from bundle_run_kit import make_run
from command_kit import gdshare
from site_kit import NOW, PROTOCOL, make_bundle, manifest, write_files

from gdshare.bundle.errors import Altered, Expired
from gdshare.bundle.manifest import FORMAT_1_0, FORMAT_1_1
from gdshare.contributions import read_source, train_from
from gdshare.errors import UsageError
from gdshare.model import load_model
from gdshare.signing import new_key, public_pem
from gdshare.signing.errors import WrongKey


@pytest.fixture
def bundle(tmp_path):
    key = new_key()
    write_files(tmp_path / "outbox" / "east-1", make_bundle("east", key))
    return tmp_path / "outbox" / "east-1", key.public_key()


def test_run_gives_the_model_of_the_bundle_it_would_leave_as(tmp_path):
    """One hospital's weight is 1 in either."""
    run = make_run(tmp_path / "run")
    model = train_from([read_source(run, NOW)], "average", seed=3, ensemble=2)
    gdshare("train", "--images", run, "--out", tmp_path / "m", "--seed", 3, "--ensemble", 2)
    trained, record = load_model(tmp_path / "m")
    assert trained.to_bytes() == model.to_bytes()
    assert record.origin["trained_on"] == "distilled images"
    assert len(trained.ensemble) == 2


def test_bundle_without_a_key_is_read_and_the_missing_check_is_told(tmp_path):
    yesterday = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    fresh = manifest("east", created=yesterday)
    key = new_key()
    write_files(tmp_path / "new", make_bundle("east", key, fresh))
    (tmp_path / "east.pub").write_bytes(public_pem(key.public_key()))
    words = ("train", tmp_path / "new", "--images", "--ensemble", 1)
    ended = gdshare(*words, "--out", tmp_path / "a", check=True)
    assert "the signature of" in ended.err
    ended = gdshare(*words, "--out", tmp_path / "b", "--key", tmp_path / "east.pub", check=True)
    assert ended.err == ""
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]


def test_bundle_of_another_key_is_refused(bundle):
    folder, _ = bundle
    with pytest.raises(WrongKey):
        read_source(folder, NOW, [new_key().public_key()])


def test_altered_bundle_is_refused_where_a_key_is_given(bundle):
    folder, public = bundle
    (folder / "README.md").write_text("other words", encoding="utf-8")
    with pytest.raises(Altered, match="east-1"):
        read_source(folder, NOW, [new_key().public_key(), public])


def test_expired_bundle_is_refused_with_and_without_a_key(bundle):
    folder, public = bundle
    for keys in ((), (public,)):
        with pytest.raises(Expired):
            read_source(folder, NOW + timedelta(days=400), keys)


def test_folder_of_neither_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds neither a run nor a bundle"):
        read_source(tmp_path, NOW)


def test_hospital_that_comes_twice_would_count_twice_and_is_refused(tmp_path, bundle):
    folder, _ = bundle
    key = new_key()
    second = manifest("east", sequence=2)

    def brighter(distilled):
        images = distilled.images + np.float32(0.1)
        return type(distilled)(images, distilled.labels, distilled.learning_rates)

    write_files(tmp_path / "east-2", make_bundle("east", key, second, brighter))
    sources = [read_source(path, NOW) for path in (folder, tmp_path / "east-2")]
    with pytest.raises(UsageError, match="is of the same hospital as"):
        train_from(sources, "average", seed=0, ensemble=1)


def test_copy_of_the_same_images_is_refused(tmp_path):
    runs = [make_run(tmp_path / name) for name in ("run", "copy")]
    sources = [read_source(run, NOW) for run in runs]
    with pytest.raises(UsageError, match="has the same images as"):
        train_from(sources, "average", seed=0, ensemble=1)


def test_images_of_another_protocol_are_refused(tmp_path, bundle):
    sources = [read_source(bundle[0], NOW), read_source(make_run(tmp_path / "run"), NOW)]
    with pytest.raises(UsageError, match="another patch protocol"):
        train_from(sources, "average", seed=0, ensemble=1)


def released_bundle(folder, site, **changes):
    """Read back, as the operator does who trains from it."""
    write_files(folder, make_bundle(site, new_key(), manifest(site, **changes)))
    return read_source(folder, NOW)


def test_bundles_of_films_of_different_tones_are_refused(tmp_path):
    equalised = PROTOCOL.model_copy(update={"tone": "equalise"})
    sources = [
        released_bundle(tmp_path / "east-1", "east"),
        released_bundle(tmp_path / "west-1", "west", protocol=equalised),
    ]
    with pytest.raises(UsageError, match=r"west-1: .*\(tone equalise instead of none\)"):
        train_from(sources, "average", seed=0, ensemble=1)


def test_bundles_of_all_versions_are_pooled_if_their_films_are_as_they_are(tmp_path):
    sources = [
        released_bundle(tmp_path / "east-1", "east", format=FORMAT_1_0),
        released_bundle(tmp_path / "west-1", "west", format=FORMAT_1_1),
        released_bundle(tmp_path / "north-1", "north", **STATED),
    ]
    assert train_from(sources, "average", seed=0, ensemble=1).protocol.tone == "none"


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("--images", "--per-class", 9), "--per-class has no effect with --images"),
        (("--ensemble", 2), "--ensemble has no effect without --images"),
    ],
)
def test_option_of_the_other_way_of_training_is_refused(tmp_path, words, option):
    ended = gdshare("train", make_run(tmp_path / "run"), "--out", tmp_path / "m", *words)
    assert ended.status == 2
    assert option in ended.err
