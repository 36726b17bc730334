import io

import numpy as np
from PIL import Image

from gdshare.distilled import Distilled
from gdshare.report.preview import MARGIN, TILE, render_preview


def distilled(count=3, side=16):
    rng = np.random.default_rng(0)
    return Distilled(
        rng.normal(size=(count, 1, side, side)).astype(np.float32),
        np.full((count, 3), 1 / 3, np.float32),
        np.array([0.05], np.float32),
    )


def picture(value):
    return Image.open(io.BytesIO(render_preview(value)))


def test_picture_is_gray_without_metadata_and_deterministic():
    image = picture(distilled())
    assert image.mode == "L"
    assert image.info == {}
    assert render_preview(distilled()) == render_preview(distilled())


def test_image_is_enlarged_without_smoothing():
    value = distilled(side=16)
    tile = np.asarray(picture(value))[MARGIN : MARGIN + TILE, MARGIN : MARGIN + TILE]
    blocks = tile.reshape(16, TILE // 16, 16, TILE // 16)
    assert (blocks == blocks[:, :1, :, :1]).all()
    order = np.corrcoef(blocks[:, 0, :, 0].ravel(), value.images[0, 0].ravel())[0, 1]
    assert order > 0.95


def test_labels_and_rate_change_the_picture():
    value = distilled()
    other = Distilled(value.images, np.eye(3, dtype=np.float32), value.learning_rates)
    assert render_preview(value) != render_preview(other)
    faster = Distilled(value.images, value.labels, value.learning_rates * 2)
    assert render_preview(value) != render_preview(faster)


def test_flat_images_and_several_rows_are_drawn():
    flat = Distilled(
        np.zeros((20, 1, 8, 8), np.float32), distilled(20).labels, np.ones(9, np.float32)
    )
    assert picture(flat).height > 2 * TILE
