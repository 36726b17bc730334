"""PNG and TIFF are written here byte by byte: pillow writes few of the kinds that others do."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gdshare.errors import FilmError
from gdshare.films import read_film, read_mask
from gdshare.films.picture import read_picture

RAMP = np.arange(24).reshape(4, 6)
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
"""PNG's colour types."""


def tiff(path, samples, bits, photometric=1, order="<", **tags):
    """An uncompressed TIFF of one strip from samples as they are stored: [height, width(, n)]."""
    height, width, *rest = samples.shape
    count = rest[0] if rest else 1
    if bits == 1:
        data = np.packbits(samples.astype(np.uint8), axis=1).tobytes()
    else:
        data = samples.astype(np.dtype(f"u{bits // 8}").newbyteorder(order)).tobytes()
    entries = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: count}
    entries |= {278: height, 279: len(data)} | {int(tag[1:]): tags[tag] for tag in tags}
    if count > 1:
        entries[258] = (bits,) * count
    start = 8 + len(data) + len(data) % 2
    extra, table = b"", b""
    after = start + 2 + 12 * len(entries) + 4
    for tag, value in sorted(entries.items()):
        if isinstance(value, tuple):
            table += struct.pack(f"{order}HHII", tag, 3, len(value), after + len(extra))
            extra += struct.pack(f"{order}{len(value)}H", *value)
        elif tag in (273, 279):
            table += struct.pack(f"{order}HHII", tag, 4, 1, value)
        else:
            table += struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start)
    directory = struct.pack(f"{order}H", len(entries)) + table + bytes(4)
    path.write_bytes(head + data.ljust(start - 8, b"\0") + directory + extra)
    return path


def chunk(name, content):
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png(path, samples, bits=8, colour=GRAY, *chunks):
    """A PNG from samples as they are stored: [height, width(, n)]."""
    height, width = samples.shape[:2]
    rows = samples.astype(">u2" if bits == 16 else "u1").reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(chunk(*item) for item in chunks)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 16])
def test_film_of_which_0_is_white_is_inverted(tmp_path, bits, order):
    full = 2**bits - 1
    stored = RAMP * (full // 23)
    film = read_film(tiff(tmp_path / "film.tif", stored, bits, 0, order))
    assert film.pixels.dtype == np.dtype(f"u{bits // 8}")
    np.testing.assert_array_equal(film.pixels, full - stored)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 16])
def test_film_of_which_0_is_black_is_not_inverted(tmp_path, bits, order):
    stored = RAMP * ((2**bits - 1) // 23)
    film = read_film(tiff(tmp_path / "film.tif", stored, bits, 1, order))
    np.testing.assert_array_equal(film.pixels, stored)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [1, 8, 16])
@pytest.mark.parametrize("photometric", [0, 1])
def test_mask_is_inside_where_it_is_white_whatever_its_tiff(tmp_path, photometric, bits, order):
    inside = RAMP % 5 == 0
    stored = np.where(inside == (photometric == 1), 2**bits - 1, 0)
    path = tiff(tmp_path / "mask.tif", stored, bits, photometric, order)
    np.testing.assert_array_equal(read_mask(path, (4, 6)), inside)


def test_tiff_that_does_not_say_what_0_is_is_refused(tmp_path):
    path = tiff(tmp_path / "film.tif", RAMP, 8)
    data = path.read_bytes().replace(struct.pack("<HHI", 262, 3, 1), struct.pack("<HHI", 263, 3, 1))
    path.write_bytes(data)
    with pytest.raises(FilmError, match=r"film\.tif: does not say whether 0 is black or white"):
        read_film(path)


UPRIGHT = {
    1: RAMP,
    2: RAMP[:, ::-1],
    3: RAMP[::-1, ::-1],
    4: RAMP[::-1],
    5: RAMP.T,
    6: np.rot90(RAMP, -1),
    7: RAMP[::-1, ::-1].T,
    8: np.rot90(RAMP),
}
"""By EXIF orientation: what is shown of a stored RAMP."""


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_png_is_turned_as_its_exif_says(tmp_path, orientation):
    exif = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)
    path = png(tmp_path / "film.png", RAMP * 10, 8, GRAY, (b"eXIf", exif))
    np.testing.assert_array_equal(read_film(path).pixels, UPRIGHT[orientation] * 10)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_tiff_is_turned_as_its_orientation_says(tmp_path, orientation):
    path = tiff(tmp_path / "film.tif", RAMP * 2000, 16, t274=orientation)
    np.testing.assert_array_equal(read_film(path).pixels, UPRIGHT[orientation] * 2000)


VALUES_12 = RAMP * 178
"""0 to 4094."""


@pytest.mark.parametrize("stored", [VALUES_12, VALUES_12 << 4, np.rint(VALUES_12 * 65535 / 4095)])
def test_12_bits_that_sbit_tells_are_spread_over_the_range(tmp_path, stored):
    path = png(tmp_path / "film.png", stored, 16, GRAY, (b"sBIT", b"\x0c"))
    shown = read_film(path).scaled()
    np.testing.assert_allclose(shown, VALUES_12 / 4095, atol=1 / 4096)


def test_12_bits_that_nothing_tells_keep_the_range_of_16(tmp_path):
    shown = read_film(png(tmp_path / "film.png", VALUES_12, 16)).scaled()
    np.testing.assert_allclose(shown, VALUES_12 / 65535, rtol=1e-6)


@pytest.mark.parametrize("spread", [VALUES_12 // 16 * 16, RAMP * 16 + RAMP // 256])
def test_dark_film_spread_as_png_prescribes_stays_dark(tmp_path, spread):
    path = png(tmp_path / "film.png", spread, 16, GRAY, (b"sBIT", b"\x0c"))
    np.testing.assert_array_equal(read_film(path).pixels, spread)


def test_12_bits_that_tiff_tells_are_spread_over_the_range_and_inverted(tmp_path):
    for photometric, wanted in ((1, VALUES_12), (0, 4095 - VALUES_12)):
        path = tiff(tmp_path / "film.tif", VALUES_12, 16, photometric, t281=4095)
        np.testing.assert_allclose(read_film(path).scaled(), wanted / 4095, atol=1 / 65535)


def test_greatest_value_of_a_tiff_that_is_no_depth_changes_nothing(tmp_path):
    path = tiff(tmp_path / "film.tif", VALUES_12, 16, t281=4094)
    np.testing.assert_array_equal(read_film(path).pixels, VALUES_12)


def test_values_greater_than_sbit_allows_keep_the_range_of_16(tmp_path):
    stored = VALUES_12 * 16 + 7
    path = png(tmp_path / "film.png", stored, 16, GRAY, (b"sBIT", b"\x0c"))
    np.testing.assert_array_equal(read_film(path).pixels, stored)


@pytest.mark.parametrize(("bits", "step"), [(8, 11), (16, 2849)])
@pytest.mark.parametrize("write", ["png", "tif"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_gray_saved_as_colour_is_read_exactly(tmp_path, bits, step, write, order):
    gray = RAMP * step
    colours = np.repeat(gray[..., None], 3, axis=2)
    if write == "png":
        path = png(tmp_path / "film.png", colours, bits, RGB)
    else:
        path = tiff(tmp_path / "film.tif", colours, bits, 2, order)
    film = read_film(path)
    assert film.pixels.dtype == np.dtype(f"u{bits // 8}")
    np.testing.assert_array_equal(film.pixels, gray)


@pytest.mark.parametrize(("bits", "step"), [(8, 11), (16, 2849)])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_channels_that_differ_in_one_bit_are_refused(tmp_path, bits, step, channel):
    colours = np.repeat((RAMP * step)[..., None], 3, axis=2)
    colours[2, 3, channel] ^= 1
    for path in (
        png(tmp_path / "film.png", colours, bits, RGB),
        tiff(tmp_path / "film.tif", colours, bits, 2),
    ):
        with pytest.raises(FilmError, match=r"film\.\w+: is in colour, not gray-scale"):
            read_film(path)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("colour", "channels"), [(GRAY_ALPHA, 2), (RGBA, 4)])
def test_opaque_film_is_read_and_a_transparent_pixel_refused(tmp_path, bits, colour, channels):
    full = 2**bits - 1
    samples = np.repeat((RAMP * (full // 23))[..., None], channels, axis=2)
    samples[..., -1] = full
    film = read_film(png(tmp_path / "film.png", samples, bits, colour))
    np.testing.assert_array_equal(film.pixels, samples[..., 0])
    samples[1, 1, -1] -= 1
    with pytest.raises(FilmError, match=r"film\.png: is transparent in part"):
        read_film(png(tmp_path / "film.png", samples, bits, colour))


@pytest.mark.parametrize("bits", [8, 16])
def test_gray_value_that_is_declared_transparent_is_refused_where_it_occurs(tmp_path, bits):
    key = [(b"tRNS", struct.pack(">H", value)) for value in (5, 200)]
    with pytest.raises(FilmError, match="is transparent in part"):
        read_film(png(tmp_path / "film.png", RAMP, bits, GRAY, key[0]))
    film = read_film(png(tmp_path / "film.png", RAMP, bits, GRAY, key[1]))
    np.testing.assert_array_equal(film.pixels, RAMP)


def test_film_with_a_table_of_grays_is_read_and_of_colours_refused(tmp_path):
    grays = bytes(255 - 10 * (k // 3) for k in range(72))
    path = png(tmp_path / "film.png", RAMP, 8, PALETTE, (b"PLTE", grays))
    np.testing.assert_array_equal(read_film(path).pixels, 255 - 10 * RAMP)
    reddish = bytes([9, 0, 0]) + grays[3:]
    with pytest.raises(FilmError, match=r"film\.png: is in colour"):
        read_film(png(tmp_path / "film.png", RAMP, 8, PALETTE, (b"PLTE", reddish)))


def test_class_colours_are_read_as_the_numbers_of_the_classes(tmp_path):
    table = bytes([0, 0, 0, 128, 0, 0, 0, 128, 0])
    picture = read_picture(png(tmp_path / "m.png", RAMP % 3, 8, PALETTE, (b"PLTE", table)))
    assert picture.classes
    np.testing.assert_array_equal(picture.values, RAMP % 3)
    with pytest.raises(FilmError, match=r"m\.png: is not gray-scale of 2 to 16 bits"):
        read_film(tmp_path / "m.png")


@pytest.mark.parametrize("bits", [2, 4])
def test_film_of_few_bits_is_spread_over_8(tmp_path, bits):
    full = 2**bits - 1
    row = np.arange(full + 1)
    weights = 2 ** np.arange(0, 8, bits)[::-1]
    packed = (row.reshape(-1, 8 // bits) * weights).sum(axis=1).astype(np.uint8)
    header = struct.pack(">IIBBBBB", full + 1, 1, bits, GRAY, 0, 0, 0)
    path = tmp_path / "film.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" + packed.tobytes()))
        + chunk(b"IEND", b"")
    )
    np.testing.assert_array_equal(read_film(path).pixels, [row * (255 // full)])


def test_kind_of_tiff_that_is_not_read_is_named(tmp_path):
    path = tiff(tmp_path / "film.tif", RAMP, 8, t259=34892)
    with pytest.raises(FilmError, match=r"film\.tif: is a kind of TIFF .*compression 34892"):
        read_film(path)


def test_film_of_signed_or_real_numbers_is_refused(tmp_path):
    Image.fromarray(RAMP.astype(np.float32)).save(tmp_path / "real.tif")
    with pytest.raises(FilmError, match="is not gray-scale of 2 to 16 bits"):
        read_film(tmp_path / "real.tif")
    with pytest.raises(FilmError, match="is not gray-scale of 2 to 16 bits"):
        read_film(tiff(tmp_path / "signed.tif", RAMP, 16, t339=2))
