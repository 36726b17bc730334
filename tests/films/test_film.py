import numpy as np
import pytest
from PIL import Image

from gdshare.errors import FilmError
from gdshare.films import read_film, read_mask

RAMP_8 = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
RAMP_16 = RAMP_8.astype(np.uint16) * 257


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("ramp", [RAMP_8, RAMP_16], ids=["8-bit", "16-bit"])
def test_gray_film_reads_back_exactly_and_scales_by_its_depth(tmp_path, ramp, suffix):
    path = tmp_path / f"film.{suffix}"
    Image.fromarray(ramp).save(path)
    film = read_film(path)
    assert film.pixels.dtype == ramp.dtype
    np.testing.assert_array_equal(film.pixels, ramp)
    np.testing.assert_allclose(film.scaled(), RAMP_8 / 255, rtol=1e-6)
    assert film.scaled().dtype == np.float32


@pytest.mark.parametrize("ramp", [RAMP_8, RAMP_16], ids=["8-bit", "16-bit"])
def test_tiff_with_white_at_zero_is_inverted(tmp_path, ramp):
    path = tmp_path / "inverted.tif"
    Image.fromarray(ramp).save(path, tiffinfo={262: 0})
    full = np.iinfo(ramp.dtype).max
    stored = np.asarray(Image.open(path))
    bright = stored if ramp.dtype == np.uint8 else full - stored  # pillow itself inverts 8 bits
    np.testing.assert_array_equal(read_film(path).pixels, bright)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "1", "CMYK", "F", "I"])
def test_film_that_is_not_gray_is_refused_by_name(tmp_path, mode):
    path = tmp_path / "colour.tif"
    colours = np.indices((8, 8, 3)).sum(axis=0).astype(np.uint8) * 10
    Image.fromarray(colours).convert(mode).save(path)
    with pytest.raises(FilmError, match=r"colour\.tif.*gray"):
        read_film(path)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_truncated_film_is_refused_by_name(tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (200, 200)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FilmError, match=rf"cut\.{suffix}"):
        read_film(path)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"II*\0"])
def test_file_that_is_no_image_is_refused_by_name(tmp_path, content):
    path = tmp_path / "notes.png"
    path.write_bytes(content)
    with pytest.raises(FilmError, match=r"notes\.png"):
        read_film(path)


def test_jpeg_is_refused_although_pillow_could_read_it(tmp_path):
    path = tmp_path / "lossy.png"
    Image.fromarray(RAMP_8).save(path, format="JPEG")
    with pytest.raises(FilmError, match="is not a PNG, TIFF or DICOM"):
        read_film(path)


def test_missing_film_and_folder_are_refused_with_the_remedy(tmp_path):
    with pytest.raises(FilmError, match=r"No such file or directory\); check"):
        read_film(tmp_path / "gone.png")
    with pytest.raises(FilmError, match="cannot be opened"):
        read_film(tmp_path)


def test_tiff_of_several_pages_is_refused(tmp_path):
    path = tmp_path / "pages.tif"
    Image.fromarray(RAMP_8).save(path, save_all=True, append_images=[Image.fromarray(RAMP_8)])
    with pytest.raises(FilmError, match="several pages"):
        read_film(path)


def test_film_of_absurd_size_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    Image.fromarray(RAMP_8).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = (70000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(FilmError, match="larger than any film"):
        read_film(path)


def test_mask_of_another_size_is_refused_not_resized(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(RAMP_8).save(path)
    with pytest.raises(FilmError, match="8 x 6 px but its film is 9 x 6"):
        read_mask(path, (6, 9))
