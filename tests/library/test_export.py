"""What DD-Ranking and DC-bench read: tensors, class by class."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import gdshare
from gdshare.distilled import Distilled
from gdshare.errors import UsageError
from gdshare.library.images import DistilledImages
from gdshare.method import Method
from gdshare.protocol import Protocol


def made(count=6, rates=(0.02,), **method):
    """Images of three classes in turn; image i is all i."""
    values = np.arange(count, dtype=np.float32)[:, None, None, None]
    labels = np.eye(3, dtype=np.float32)[np.arange(count) % 3] * np.float32(0.7) + np.float32(0.1)
    return DistilledImages(
        name="made",
        tensors=Distilled(
            np.ones((count, 1, 8, 8), np.float32) * values, labels, np.array(rates, np.float32)
        ),
        classes=("a", "b", "c"),
        protocol=Protocol(patch=8, stride=8, side=8),
        method=Method(images=count, **method),
        initialiser="zero-head/1",
        theta0_sha256=None,
        patients=1,
        score=None,
    )


WHOLE = made(network="convnet", inner_rates="shared")


def read(folder):
    """The files as these tools load them, but running nothing that a pickle says."""
    return {path.name: torch.load(path, weights_only=True) for path in folder.iterdir()}


def test_images_stand_class_by_class_with_soft_and_hard_labels(tmp_path):
    gdshare.export_tensors(WHOLE, tmp_path / "out")
    files = read(tmp_path / "out")
    assert files["images.pt"].shape == (6, 1, 8, 8)
    assert files["images.pt"].dtype == torch.float32
    assert files["images.pt"][:, 0, 0, 0].tolist() == [0, 3, 1, 4, 2, 5]
    assert files["labels.pt"].argmax(1).tolist() == [0, 0, 1, 1, 2, 2]
    soft = torch.softmax(files["labels.pt"], 1).numpy()
    assert np.allclose(soft, WHOLE.labels[[0, 3, 1, 4, 2, 5]], atol=1e-6)
    assert files["lr.pt"].item() == pytest.approx(0.02)
    assert torch.equal(files["images_best.pt"], files["images.pt"])
    assert files["labels_best.pt"].tolist() == [0, 0, 1, 1, 2, 2]
    assert files["labels_best.pt"].dtype == torch.int64


def test_hard_labels_have_logits_too(tmp_path):
    hard = replace(WHOLE.tensors, labels=np.eye(3, dtype=np.float32)[np.arange(6) % 3])
    gdshare.export_tensors(replace(WHOLE, tensors=hard), tmp_path / "out")
    logits = read(tmp_path / "out")["labels.pt"]
    assert torch.isfinite(logits).all()
    assert torch.softmax(logits, 1).max(1).values.tolist() == pytest.approx([1] * 6)


def test_gray_levels_are_normalised_as_the_tool_does(tmp_path):
    gdshare.export_tensors(WHOLE, tmp_path / "out", mean=0.1, std=0.5, channels=3)
    images = read(tmp_path / "out")["images.pt"]
    assert images.shape == (6, 3, 8, 8)
    gray = 0.5 + 0.25 * np.array([0, 3, 1, 4, 2, 5])
    assert images[:, 2, 4, 4].tolist() == pytest.approx(((gray - 0.1) / 0.5).tolist())


@pytest.mark.parametrize(
    "images",
    [made(), made(network="convnet", rates=(0.1, 0.2, 0.3))],
    ids=["the last layer alone", "a rate a step"],
)
def test_a_rate_that_another_network_could_not_use_is_left_out(tmp_path, images):
    gdshare.export_tensors(images, tmp_path / "out")
    assert "lr.pt" not in read(tmp_path / "out")


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (made(4), {}, "4 images of 3 classes"),
        (WHOLE, {"std": 0.0}, "give a std above 0"),
        (WHOLE, {"std": float("nan")}, "give a std above 0"),
        (WHOLE, {"mean": float("inf")}, "a mean that is a number"),
        (WHOLE, {"channels": 2}, "1 or 3 channels"),
    ],
)
def test_what_these_tools_would_misread_is_refused(tmp_path, images, options, message):
    with pytest.raises(UsageError, match=message):
        gdshare.export_tensors(images, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_stays_as_it_is(tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="already exists"):
        gdshare.export_tensors(replace(WHOLE, name="again"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
