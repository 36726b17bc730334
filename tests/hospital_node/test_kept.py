"""What a node keeps is bounded, and believed no more than what just arrived."""

import hashlib
import os
from pathlib import Path

import pytest
from site_kit import make_bundle

from gdshare.bundle.digests import digests_of, subject_digest
from gdshare.signing import new_key
from hospital_node.kept import (
    ModelOrigin,
    Shelf,
    bundle_shelf,
    keep_bundle,
    keep_model,
    kept_bundle,
    kept_model,
    model_shelf,
)

FILES = make_bundle("north", new_key())
DIGEST = subject_digest(digests_of(FILES))


def name(number: int) -> str:
    return f"{number:064x}"


def test_a_bundle_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    shelf = bundle_shelf(tmp_path)
    assert kept_bundle(shelf, DIGEST) is None
    keep_bundle(shelf, FILES)
    assert kept_bundle(shelf, DIGEST) == FILES
    assert (shelf.folder / DIGEST).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in shelf.folder.iterdir()] == [DIGEST]


@pytest.mark.parametrize("change", ["flipped", "cut", "empty", "other", "noise"])
def test_a_bundle_that_was_altered_is_not_given_back(tmp_path: Path, change: str) -> None:
    shelf = bundle_shelf(tmp_path)
    keep_bundle(shelf, FILES)
    path = shelf.folder / DIGEST
    content = bytearray(path.read_bytes())
    if change == "flipped":
        content[len(content) // 2] ^= 1
    elif change == "cut":
        del content[-10:]
    elif change == "empty":
        content.clear()
    elif change == "noise":
        content[:] = os.urandom(1000)
    else:
        keep_bundle(shelf, make_bundle("east", new_key()))
        [other] = [entry for entry in shelf.folder.iterdir() if entry.name != DIGEST]
        content[:] = other.read_bytes()
    path.write_bytes(content)
    assert kept_bundle(shelf, DIGEST) is None
    assert not path.exists(), "it is sent anew"


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", most=3, most_bytes=10_000, largest=1000)
    for number in range(3):
        shelf.put(name(number), [b"x"])
        os.utime(shelf.folder / name(number), (number + 1, number + 1))
    assert shelf.get(name(0)) == [b"x"], "and is used now"
    shelf.put(name(3), [b"x"])
    assert {path.name for path in shelf.folder.iterdir()} == {name(0), name(2), name(3)}


def test_no_more_bytes_are_kept_than_may_be(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", most=1000, most_bytes=1000, largest=600)
    for number in range(20):
        shelf.put(name(number), [bytes(300)])
        assert sum(path.stat().st_size for path in shelf.folder.iterdir()) <= 1000
    shelf.put(name(99), [bytes(601)])
    assert shelf.get(name(99)) is None
    assert shelf.get(name(19)) is not None


def test_what_a_kill_left_behind_goes_too(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", most=2, most_bytes=1000, largest=600)
    shelf.put(name(0), [b"x"])
    (shelf.folder / f".{name(1)}.partial").write_bytes(bytes(900))
    os.utime(shelf.folder / f".{name(1)}.partial", (1, 1))
    shelf.put(name(2), [b"x"])
    assert {path.name for path in shelf.folder.iterdir()} == {name(0), name(2)}


def test_a_link_in_place_of_an_item_is_not_followed(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", most=2, most_bytes=1000, largest=600)
    shelf.put(name(0), [b"x"])
    (shelf.folder / name(1)).symlink_to(shelf.folder / name(0))
    assert shelf.get(name(1)) is None


def test_a_full_disk_costs_nothing_but_that_it_is_sent_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hospital_node.kept.write_bytes", full)
    keep_bundle(bundle_shelf(tmp_path), FILES)
    assert "not kept, and sent anew next time (No space left on device)" in caplog.text


def test_weights_of_another_digest_are_not_given_back(tmp_path: Path) -> None:
    shelf = model_shelf(tmp_path)
    origin = ModelOrigin(weights_sha256=hashlib.sha256(b"weights").hexdigest(), bundles=(DIGEST,))
    keep_model(shelf, name(1), origin, b"weights")
    assert kept_model(shelf, name(1)) == (origin, b"weights")
    keep_model(shelf, name(1), origin, b"crafted")
    assert kept_model(shelf, name(1)) is None
    assert kept_model(shelf, name(1)) is None
    for number in range(10):
        keep_model(shelf, name(number), origin, b"weights")
    assert len(list(shelf.folder.iterdir())) == 4
