import socket
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageDraw, ImageFont

from gdshare.films import read_film
from gdshare.films.box import Box
from gdshare.films.burned_in import TextDetectorError, find, find_text, network
from gdshare.films.phantom import phantom_film
from gdshare.films.phantom.exposure import mark_box

DATA = Path(__file__).parent.parent.parent.parent / "shared" / "data" / "dicom"
REAL = DATA / "presidio_CR_chest_RLE_mono1_burnedPHI.dcm"
REAL_LINES = {
    "DAVIDSON DOUGLAS [M] 01.09.2012": Box(5, 5, 815, 35),
    "DOB: 06.16.1976": Box(15, 50, 362, 85),
    "Semi-Upright": Box(1752, 22, 2090, 62),
    "Portable": Box(1895, 105, 2115, 138),
    "L": Box(2040, 182, 2065, 228),
}
FONT = ImageFont.load_default(24)
SIZE = 320


@pytest.fixture(scope="module")
def film():
    pixels, _ = phantom_film(patient=3, positive=False, seed=0, size=SIZE)
    return pixels


def with_text(pixels, place, gray, turned=False):
    """Write a name on the film: the new pixels, and the box of the name."""
    across = np.rot90(pixels, -1) if turned else pixels
    image = Image.fromarray(across.copy())
    pen = ImageDraw.Draw(image)
    pen.text(place, "MUELLER^ANNA 1951", fill=gray, font=FONT)
    box = Box(*(int(edge) for edge in pen.textbbox(place, "MUELLER^ANNA 1951", font=FONT)))
    written = np.asarray(image)
    if not turned:
        return written, box
    height = pixels.shape[0]
    return np.rot90(written), Box(box.top, height - box.right, box.bottom, height - box.left)


def share_covered(box, boxes, shape):
    covered = np.zeros(shape, bool)
    for other in boxes:
        covered[other.top : other.bottom, other.left : other.right] = True
    return covered[box.top : box.bottom, box.left : box.right].mean()


@pytest.fixture
def blind(monkeypatch):
    """A network that detects nothing and records the shapes of its inputs."""
    inputs = []

    def detect(film, doubled):
        inputs.append((film.shape, doubled))
        assert film.dtype == np.float32
        assert np.abs(film).max() <= 1
        return np.zeros(film.shape, np.float32)

    monkeypatch.setattr(find, "text_probability", detect)
    return inputs


@pytest.mark.parametrize("turned", [False, True], ids=["level", "turned"])
@pytest.mark.parametrize("gray", [0, 255], ids=["black", "white"])
def test_a_name_on_tissue_is_found(film, gray, turned):
    written, name = with_text(film, (50, 150), gray, turned)
    assert share_covered(name, find_text(written), written.shape) > 0.8
    assert share_covered(name, find_text(film), film.shape) == 0


def test_on_a_phantom_the_word_synthetic_is_found_and_little_else(film):
    rows, columns = mark_box(SIZE)
    word = Box(columns.start, rows.start, columns.stop, rows.stop)
    boxes = find_text(film)
    assert share_covered(word, boxes, film.shape) > 0.8
    assert len(boxes) <= 2


@pytest.mark.skipif(not REAL.exists(), reason=f"the real film is not on this machine ({REAL})")
def test_the_synthetic_patient_on_a_real_film_is_found():
    pixels = read_film(REAL).pixels
    boxes = find_text(pixels)
    for text, box in REAL_LINES.items():
        assert share_covered(box, boxes, pixels.shape) > 0.9, text
    assert len(boxes) <= 8


def test_boxes_do_not_depend_on_the_range_of_values_used(film):
    written, _ = with_text(film, (50, 150), 255)
    twelve_bits = written.astype(np.uint16) * 16
    assert find_text(twelve_bits) == find_text(written)
    assert written.flags.writeable is False  # the input is only read


def test_equal_pixels_give_equal_boxes(film):
    written, _ = with_text(film, (40, 190), 230)
    assert find_text(written) == find_text(written.copy())


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (0, 0), (0, 9), (300, 200)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_film_of_one_gray_has_no_text(blind, shape, dtype):
    assert find_text(np.full(shape, 77, dtype)) == ()
    assert blind == []


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        st.sampled_from([np.uint8, np.uint16]), array_shapes(min_dims=2, max_dims=2, max_side=70)
    )
)
def test_any_pixels_give_boxes_inside_the_film(pixels):
    assert_inside(find_text(pixels), pixels.shape)


def assert_inside(boxes, shape):
    assert list(boxes) == sorted(boxes)
    for box in boxes:
        assert 0 <= box.left < box.right <= shape[1]
        assert 0 <= box.top < box.bottom <= shape[0]


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
)
def test_whatever_the_network_returns_boxes_lie_inside_the_film(shape, longest, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, shape).astype(np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find, "MAX_SIDE", longest)
        coarse = lambda size: rng.random((size[0] // 5 + 1, size[1] // 5 + 1))  # noqa: E731
        patch.setattr(
            find,
            "text_probability",
            lambda film, doubled: np.kron(coarse(film.shape), np.ones((5, 5)))[
                : film.shape[0], : film.shape[1]
            ],
        )
        assert_inside(find_text(pixels), shape)


def test_noise_is_processed_like_any_film():
    noise = np.random.default_rng(0).integers(0, 256, (400, 300)).astype(np.uint8)
    assert_inside(find_text(noise), noise.shape)


@pytest.mark.parametrize("shape", [(2048, 1500), (9000, 70), (1, 30_000), (1300, 1300), (900, 40)])
def test_the_network_never_sees_more_than_a_bounded_tile(blind, shape):
    pixels = np.zeros(shape, np.uint8)
    pixels[0, :3] = 200
    assert find_text(pixels) == ()
    for (height, width), doubled in blind:
        assert max(height, width) * (1 + doubled) <= find.TILE
        assert doubled == (max(shape) <= find.DOUBLED_TO)
    assert len(blind) <= 2 * (find.MAX_SIDE / (find.TILE - find.OVERLAP) + 1) ** 2


@given(st.integers(1, 5000), st.integers(2 * find.OVERLAP, 1200))
def test_tiles_cover_a_side_and_overlap(side, longest):
    tiles = list(find._tiles(side, longest))
    assert tiles[0].start == 0
    assert tiles[-1].stop == side
    assert len({tile.stop - tile.start for tile in tiles}) == 1
    assert tiles[0].stop <= max(longest, find.OVERLAP)
    assert all(a.stop - b.start >= find.OVERLAP for a, b in pairwise(tiles))


def test_a_long_film_is_reduced_by_means_and_its_boxes_are_scaled_back(monkeypatch):
    monkeypatch.setattr(find, "MAX_SIDE", 4)
    pixels = np.arange(77, dtype=np.uint16).reshape(7, 11) * 100
    film, factor = find._reduce(pixels)
    assert (factor, film.shape) == (3, (3, 4))
    assert film[0, 0] == pixels[:3, :3].mean()
    assert film[2, 3] == pixels[6:, 9:].mean()
    core = np.zeros((3, 4), np.float32)
    core[:, 1:] = 0.9
    monkeypatch.setattr(
        find, "_probability", lambda film: core if film.shape == (3, 4) else core.T * 0
    )
    assert find_text(pixels) == (Box(0, 0, 11, 7),)


def test_a_large_area_a_speck_and_an_uncertain_core_are_no_lines():
    def core(height, width, value):
        probability = np.zeros((700, 700), np.float32)
        probability[100 : 100 + height, 90 : 90 + width] = value
        return find._lines(probability)

    assert core(400, 400, 0.95) == []
    assert core(2, 40, 0.95) == []
    assert core(10, 100, 0.35) == []
    assert core(10, 100, 0.9) == [Box(83, 93, 197, 117)]


def test_nothing_is_fetched(film, monkeypatch):
    def refuse(*arguments, **named):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    network._session.cache_clear()
    assert find_text(film)


def test_damaged_weights_are_refused_with_the_remedy(film, monkeypatch, tmp_path):
    content = bytearray(network.WEIGHTS.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / network.WEIGHTS.name
    damaged.write_bytes(content)
    monkeypatch.setattr(network, "WEIGHTS", damaged)
    network._session.cache_clear()
    with pytest.raises(TextDetectorError, match=r"det_small\.onnx.*not those.*; install gdshare"):
        find_text(film)


def test_missing_weights_are_told_with_the_remedy(film, monkeypatch, tmp_path):
    monkeypatch.setattr(network, "WEIGHTS", tmp_path / network.WEIGHTS.name)
    network._session.cache_clear()
    with pytest.raises(
        TextDetectorError, match=r"det_small\.onnx.*cannot be read, No such file.*; install gdshare"
    ):
        find_text(film)


def test_the_weights_lie_in_the_package_with_their_licence():
    folder = files("gdshare.films.burned_in") / "weights"
    notice = (folder / "NOTICE").read_text(encoding="utf-8")
    assert network.WEIGHTS.name in notice
    assert network.SHA256 in notice
    assert "Apache License" in (folder / "LICENSE").read_text(encoding="utf-8")
