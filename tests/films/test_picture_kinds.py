"""Every depth, byte order, compression and orientation, or an error that names the kind."""

import os

import numpy as np
import pytest
from PIL import Image
from raster_kit import (
    GRAY_ALPHA,
    REAL,
    RGB,
    RGB_ALPHA,
    SIGNED,
    TABLE,
    WHITE_IS_ZERO,
    orientation_exif,
    png,
    tiff,
)

from gdshare.errors import FilmError
from gdshare.films import read_film
from gdshare.films.outlines import read_annotations
from gdshare.films.picture import read_picture

NOISE = np.random.default_rng(0).integers(0, 2**16, (6, 9)).astype(np.uint16)
DEFLATE = 8
ORDERS = pytest.mark.parametrize("order", "<>")
COMPRESSIONS = pytest.mark.parametrize("compression", [1, DEFLATE])


def noise(bits):
    """Noise [6, 9] of so many bits; every row and column differs from every other."""
    return (NOISE >> (16 - bits)).astype(np.uint8 if bits <= 8 else np.uint16)


def picture(tmp_path, content):
    path = tmp_path / "picture"
    path.write_bytes(content)
    return read_picture(path)


def require_same(picture, values, bits):
    np.testing.assert_array_equal(picture.values, values)
    assert picture.bits == bits


@COMPRESSIONS
@ORDERS
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
def test_white_is_zero_is_undone_at_every_depth_and_byte_order(tmp_path, bits, order, compression):
    values = noise(bits)
    black = picture(tmp_path, tiff(values, bits, order, t259=compression))
    white = picture(tmp_path, tiff(values, bits, order, WHITE_IS_ZERO, t259=compression))
    require_same(black, values, bits)
    require_same(white, 2**bits - 1 - values.astype(int), bits)


def test_white_is_zero_is_undone_in_a_fax(tmp_path):
    inside = NOISE > 2**15
    Image.fromarray(inside).save(tmp_path / "a.tif", compression="group4", tiffinfo={262: 0})
    require_same(read_picture(tmp_path / "a.tif"), inside, 1)


def test_big_tiff_is_read_if_little_endian(tmp_path):
    require_same(picture(tmp_path, tiff(noise(16), 16, big=True)), noise(16), 16)
    with pytest.raises(FilmError, match=r"kind of TIFF that is not read \(BigTIFF, big-endian\)"):
        picture(tmp_path, tiff(noise(16), 16, ">", big=True))


@ORDERS
@pytest.mark.parametrize(
    ("bits", "kind", "dtype"),
    [(8, SIGNED, "i1"), (16, SIGNED, "i2"), (32, SIGNED, "i4"), (32, REAL, "f4")],
)
def test_signed_and_real_numbers_keep_their_values(tmp_path, bits, kind, dtype, order):
    values = (noise(8).astype(np.float64) - 128).astype(dtype)
    require_same(picture(tmp_path, tiff(values, bits, order, kind=kind)), values, None)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixel_that_is_not_a_number_is_refused(tmp_path, value):
    with pytest.raises(FilmError, match=r"picture: has pixels that are not numbers"):
        picture(tmp_path, tiff(np.array([[0.5, value]]), 32, kind=REAL))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (tiff(noise(8), 10), "1 samples of 10 bits, whole numbers"),
        (tiff(noise(8), 64, kind=REAL), "1 samples of 64 bits, real numbers"),
        (tiff(np.stack([noise(16)] * 2, -1), 16, t338=2), "2 samples of 16 bits"),
        (tiff(noise(8), 8, t259=34_712), "compression 34712"),
        (tiff(noise(8), 8, photometric=9), "photometric interpretation 9"),
        # Pillow gives these bytes in the wrong order.
        (tiff(noise(8), 32, ">", kind=REAL, t259=DEFLATE), "real numbers, .*, big-endian"),
        (tiff(noise(8), 16, ">", kind=SIGNED, t259=DEFLATE), "signed numbers, .*, big-endian"),
        (tiff(np.stack([noise(16)] * 3, -1), 16, photometric=2, t284=2), "16 bits in planes"),
    ],
)
def test_tiff_of_a_kind_that_is_not_read_is_refused_by_its_kind(tmp_path, content, kind):
    with pytest.raises(FilmError, match=rf"picture: is a kind of TIFF that is not read \(.*{kind}"):
        picture(tmp_path, content)


def upright(pixels, orientation):
    """TIFF 6.0, tag 274: where the first row and column of the file lie in the picture."""
    mirrored = {2: np.fliplr, 4: np.flipud, 5: np.transpose, 7: lambda a: np.rot90(a, 2).T}
    rotated = {1: 0, 3: 2, 6: -1, 8: 1}
    if orientation in mirrored:
        return mirrored[orientation](pixels)
    return np.rot90(pixels, rotated[orientation])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bits", [1, 8, 16])
def test_picture_is_turned_as_its_file_says(tmp_path, bits, orientation):
    values = noise(bits)
    expected = upright(values, orientation)
    for order in "<>":
        exif = orientation_exif(orientation, order)
        require_same(picture(tmp_path, png(values, bits, eXIf=exif)), expected, bits)
        for compression in (1, DEFLATE):
            content = tiff(values, bits, order, t259=compression, t274=orientation)
            require_same(picture(tmp_path, content), expected, bits)


def test_colour_of_16_bits_and_colour_tables_are_turned_too(tmp_path):
    table = bytes(np.repeat(np.arange(256)[::-1], 3).tolist())
    turn = orientation_exif(6)
    turned = picture(tmp_path, png(noise(8), 8, TABLE, PLTE=table, eXIf=turn))
    require_same(turned, np.rot90(255 - noise(8), -1), 8)
    turned = picture(tmp_path, png(np.stack([NOISE] * 3, -1), 16, RGB, eXIf=turn))
    require_same(turned, np.rot90(NOISE, -1), 16)


@pytest.mark.parametrize("bits", [8, 16])
def test_picture_with_a_transparent_pixel_is_refused(tmp_path, bits):
    alpha = np.full_like(noise(bits), 2**bits - 1)
    alpha[2, 3] -= 1
    table = bytes([0, 0, 0, 9, 9, 9])
    for content in (
        png(np.stack([noise(bits), alpha], -1), bits, GRAY_ALPHA),
        png(np.stack([noise(bits)] * 3 + [alpha], -1), bits, RGB_ALPHA),
        tiff(np.stack([noise(bits)] * 3 + [alpha], -1), bits, photometric=2, t338=2),
        png(noise(1), 1, TABLE, PLTE=table, tRNS=bytes([255, 254])),
    ):
        with pytest.raises(FilmError, match=r"picture: is transparent in part"):
            picture(tmp_path, content)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_gray_value_that_png_makes_transparent_is_refused_where_it_occurs(tmp_path, bits):
    values = noise(bits)
    values[0, 0] = 1
    with pytest.raises(FilmError, match="is transparent in part"):
        picture(tmp_path, png(values, bits, tRNS=b"\0\1"))
    values[values == 1] = 0
    require_same(picture(tmp_path, png(values, bits, tRNS=b"\0\1")), values, bits)


@pytest.mark.parametrize("scale", [1, 256, 257], ids=["8 bits", "padded", "spread"])
def test_gray_colour_table_gives_its_grays(tmp_path, scale):
    falling = np.arange(256)[::-1]
    content = tiff(noise(8), 8, photometric=3, t320=tuple((falling * scale).tolist() * 3))
    require_same(picture(tmp_path, content), falling[noise(8)], 8)


def test_coloured_table_without_black_and_numbers_beyond_a_table_are_refused(tmp_path):
    table = bytes([255, 0, 0, 0, 0, 0])
    with pytest.raises(FilmError, match="is in colour"):
        picture(tmp_path, png(noise(1), 1, TABLE, PLTE=table))
    with pytest.raises(FilmError, match="colours that its table lacks"):
        picture(tmp_path, png(noise(2), 2, TABLE, PLTE=table))


@pytest.mark.parametrize(
    "content",
    [
        png(noise(12), 16, sBIT=bytes([12])),
        png(np.stack([noise(12)] * 3, -1), 16, RGB, sBIT=bytes([12] * 3)),
        png(np.stack([noise(12), np.full_like(NOISE, 65535)], -1), 16, 4, sBIT=bytes([12, 16])),
        tiff(noise(12), 16, t281=4095),
        tiff(4095 - noise(12), 16, ">", WHITE_IS_ZERO, t281=4095),
    ],
    ids=["PNG", "PNG in colour", "PNG with alpha", "TIFF", "WhiteIsZero"],
)
def test_12_bits_in_16_are_read_as_12(tmp_path, content):
    require_same(picture(tmp_path, content), noise(12), 12)


@pytest.mark.parametrize("bits", [0, 16, 200])
def test_absurd_number_of_significant_bits_is_ignored(tmp_path, bits):
    require_same(picture(tmp_path, png(noise(12), 16, sBIT=bytes([bits]))), noise(12), 16)


def test_pipe_in_place_of_a_film_or_mask_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "film.png")
    for read in (read_film, read_picture, read_annotations):
        with pytest.raises(FilmError, match=r"film\.png: cannot be opened \(not a plain file\)"):
            read(tmp_path / "film.png")
