"""The only reader of PNG and TIFF, for films and masks alike.

It gives the values as a viewer shows them: upright, larger is brighter. Pillow decodes; what it
leaves to its caller is done here, once: WhiteIsZero at every depth, PNG's orientation, the bits
that values really have, 16-bit colour, and files that only look gray.
"""

import struct
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import ImageOps
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import MM, OPEN_INFO, TiffImageFile

from gdshare.errors import FilmError
from gdshare.films.bounds import require_pixels
from gdshare.films.quote import brief
from gdshare.plain_files import NotPlainError, open_plain

_PNG = b"\x89PNG\r\n\x1a\n"
_BIG_ENDIAN_BIG = b"MM\0+"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", _BIG_ENDIAN_BIG)  # the last two: BigTIFF
# Pillow knows 12 bits in little-endian files only; they are packed alike in both.
OPEN_INFO.setdefault((MM, 1, (1,), 1, (12,), ()), ("I;16", "I;12"))

_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES = 258, 259, 262, 277
_LARGEST, _PLANES, _COLOUR_MAP, _SAMPLE_FORMAT = 281, 284, 320, 339
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1
_UNSIGNED, _SIGNED, _REAL = 1, 2, 3
_FORMATS = {_UNSIGNED: "whole numbers", _SIGNED: "signed numbers", _REAL: "real numbers"}

_GRAY_MODES = ("1", "L", "LA", "La", "I;16", "I;16B", "I", "F")
_COLOUR_MODES = ("RGB", "RGBA", "RGBa", "RGBX")
_ALPHA_MODES = ("LA", "La", "RGBA", "RGBa", "PA")

Values = npt.NDArray[Any]
"""Of whole or real numbers."""
_Image = PngImageFile | TiffImageFile


@dataclass(frozen=True)
class Picture:
    """One number per pixel, upright.

    Attributes:
        values: whole or real numbers [height, width]; larger is brighter, unless ``classes``.
        bits: values lie in 0 to 2**bits - 1; None if they are signed or real.
        classes: the values are numbers of colours in a table, as annotation tools write classes.
    """

    values: Values
    bits: int | None
    classes: bool = False


@dataclass(frozen=True)
class _Encoding:
    """What a file says of its samples.

    Attributes:
        bits: of a sample as stored.
        kind: ``_UNSIGNED``, ``_SIGNED`` or ``_REAL``.
        used: bits that PNG's sBIT or TIFF's MaxSampleValue says are used.
        white_is_zero: the samples are dark where they are large.
    """

    bits: int
    kind: int = _UNSIGNED
    used: int | None = None
    white_is_zero: bool = False


def begins_as_picture(head: bytes) -> bool:
    """Whether a file with these first bytes is PNG or TIFF."""
    return head.startswith((_PNG[:4], *_TIFF))


def read_picture(path: Path) -> Picture:
    """Read a PNG or TIFF with one gray value per pixel.

    Gray saved as colour is read if its channels are equal, gray with transparency if nothing is
    transparent, and a colour table if its colours are gray or its first is black (then the values
    are the numbers of the colours).

    Raises:
        FilmError: the file is missing, not PNG or TIFF, cut short, in colour or transparent, of a
            kind that is not read, has several pages or is too large.
    """
    with _errors_named(path), open_plain(path) as stream:
        image = _open(stream)
        require_pixels(path, image.height, image.width)
        if _has_second_page(image):
            raise FilmError("has several pages", remedy="export each film to its own file")
        encoding = _encoding(image, stream)
        if image.mode in ("P", "PA"):
            return _from_colour_table(image)
        if image.mode not in (*_GRAY_MODES, *_COLOUR_MODES):
            raise _in_colour(image.mode)
        bands = _bands(image, encoding, stream)
        _require_opaque(bands, image)
        return _shown(_one_band(bands, image.mode), encoding)


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    """Raise ``FilmError`` with the file's name for whatever is wrong with it."""
    try:
        with warnings.catch_warnings():
            # ``require_pixels`` replaces pillow's size warning; its warnings about odd TIFF tags or
            # trailing bytes do not concern the pixels.
            warnings.simplefilter("ignore")
            yield
    except FilmError as error:
        raise error if str(error.where) else error.at(path) from error
    except (FileNotFoundError, PermissionError, NotPlainError) as error:
        raise FilmError(f"cannot be opened ({error.strerror})", path, "check the path") from error
    except Exception as error:  # pillow's decoders raise OSError, SyntaxError, struct.error, ...
        raise FilmError(
            f"is damaged or cut short ({brief(error)})", path, "export it again"
        ) from error


class _Tiff(TiffImageFile):
    """A TIFF whose samples pillow leaves as they are stored.

    Pillow inverts WhiteIsZero at some depths, not at others, and does not know it at the rest.
    """

    white_is_zero = False

    def _setup(self) -> None:
        """Called by pillow for every page, to choose the decoder by the tags."""
        if _PHOTOMETRIC not in self.tag_v2:
            raise FilmError(
                "does not say whether 0 is black or white (TIFF tag PhotometricInterpretation)",
                remedy="export it again",
            )
        self.white_is_zero = self.tag_v2[_PHOTOMETRIC] == _WHITE_IS_ZERO
        kind = _kind_of_tiff(self)
        if self.white_is_zero:
            self.tag_v2[_PHOTOMETRIC] = _BLACK_IS_ZERO
        try:
            super()._setup()
        except (KeyError, SyntaxError) as error:
            raise _not_read(kind) from error
        if self.mode in ("I", "F") and self.tag_v2.prefix == MM and self.use_load_libtiff:
            raise _not_read(f"{kind}, big-endian")  # pillow gives their bytes in the wrong order


def _not_read(kind: str) -> FilmError:
    return FilmError(
        f"is a kind of TIFF that is not read ({kind})",
        remedy="export it as gray-scale of 8 or 16 bits",
    )


def _kind_of_tiff(image: TiffImageFile) -> str:
    bits = "/".join(map(str, dict.fromkeys(_numbers(image, _BITS, 1))))
    return (
        f"{_numbers(image, _SAMPLES, 1)[0]} samples of {bits} bits, "
        f"{_FORMATS.get(_numbers(image, _SAMPLE_FORMAT, _UNSIGNED)[0], 'undefined')}, "
        f"photometric interpretation {_numbers(image, _PHOTOMETRIC, 0)[0]}, "
        f"compression {_numbers(image, _COMPRESSION, 1)[0]}"
    )


def _numbers(image: TiffImageFile, tag: int, default: int) -> tuple[int, ...]:
    value = image.tag_v2.get(tag, default)
    return tuple(map(int, value)) if isinstance(value, tuple) else (int(value),)


def _open(stream: BinaryIO) -> _Image:
    stream.seek(0)
    head = stream.read(len(_PNG))
    stream.seek(0)
    if head.startswith(_PNG):
        return PngImageFile(stream)
    if head.startswith(_BIG_ENDIAN_BIG):  # pillow takes it for an ordinary TIFF
        raise _not_read("BigTIFF, big-endian")
    if head.startswith(_TIFF):
        return _Tiff(stream)
    raise FilmError(
        "is not a PNG, TIFF or DICOM image", remedy="export the film in one of these formats"
    )


def _has_second_page(image: _Image) -> bool:
    """Seek rather than count: a small file may have a million pages, and pillow reads them all."""
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def _encoding(image: _Image, stream: BinaryIO) -> _Encoding:
    if isinstance(image, PngImageFile):
        return _encoding_of_png(stream)
    bits = _numbers(image, _BITS, 1)[0]
    largest = max(_numbers(image, _LARGEST, 0))
    # By TIFF 6.0 the tag is a statistic; only the largest value of a depth states that depth.
    used = largest.bit_length() if largest > 0xFF and not largest & (largest + 1) else None
    return _Encoding(
        bits,
        _numbers(image, _SAMPLE_FORMAT, _UNSIGNED)[0],
        used if used and used < bits else None,
        getattr(image, "white_is_zero", False),
    )


def _encoding_of_png(stream: BinaryIO) -> _Encoding:
    """From the chunks before the pixels; pillow tells neither the depth nor sBIT."""
    position, bits, used = stream.tell(), 0, None
    stream.seek(len(_PNG))
    while len(head := stream.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == b"IHDR":
            bits = stream.read(length)[8]
        elif name == b"sBIT":
            stated = stream.read(length)  # of gray; or of red, green and blue; and of alpha
            used = max(stated[: 3 if length > 2 else 1], default=0)
        elif name == b"IDAT":
            break
        else:
            stream.seek(length, 1)
        stream.seek(4, 1)
    stream.seek(position)
    return _Encoding(bits, used=used if used and used < bits else None)


def _bands(image: _Image, encoding: _Encoding, stream: BinaryIO) -> Values:
    """Decode, upright: [height, width] of one sample a pixel, or [height, width, samples]."""
    if encoding.bits <= 8 or image.mode in ("I;16", "I;16B", "I", "F"):
        return _stored(_decoded(image), encoding.bits)
    # Pillow keeps the high bytes of 16-bit colour. The other byte order gives the low ones.
    raw = _raw_mode(image)
    if raw == "LA;16B":
        pairs = _decoded(image, "RGBA").astype(np.uint16)
        return pairs[..., ::2] << 8 | pairs[..., 1::2]
    base, _, order = raw.partition(";16")
    if getattr(image, "tag_v2", {}).get(_PLANES) == 2 or order not in ("B", "L", "N"):
        raise _not_read(f"colour of {encoding.bits} bits in planes")
    native = "L" if sys.byteorder == "little" else "B"
    low_order = "B" if order.replace("N", native) == "L" else "L"
    high = _decoded(image).astype(np.uint16)
    return high << 8 | _decoded(_open(stream), f"{base};16{low_order}")


def _raw_mode(image: _Image) -> str:
    arguments = image.tile[0].args
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _decoded(image: _Image, raw_mode: str | None = None) -> Values:
    if raw_mode is not None:
        image.tile = [
            tile._replace(
                args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode
            )
            for tile in image.tile
        ]
    image.load()
    ImageOps.exif_transpose(image, in_place=True)  # pillow itself turns TIFF, but not PNG
    return np.asarray(image)


def _stored(samples: Values, bits: int) -> Values:
    """The numbers in the file; pillow spreads gray of 2 and 4 bits over 8."""
    if samples.dtype == np.bool_:
        return samples.astype(np.uint8)
    return samples // np.uint8(255 // (2**bits - 1)) if bits in (2, 4) else samples


def _require_opaque(bands: Values, image: _Image) -> None:
    key = image.info.get("transparency")  # of PNG: the gray value or colour that is transparent
    if key is not None:
        matches = np.equal(bands, min(key, 1) if image.mode == "1" else key)
        transparent = bool(np.any(matches.all(axis=-1) if bands.ndim == 3 else matches))
    elif image.mode in _ALPHA_MODES:
        transparent = bool((bands[..., -1] != np.iinfo(bands.dtype).max).any())
    else:
        transparent = False
    if transparent:
        raise _transparent()


def _one_band(bands: Values, mode: str) -> Values:
    if bands.ndim == 2:
        return bands
    if mode in _COLOUR_MODES and bands.shape[-1] > 2:
        red, green, blue = (bands[..., channel] for channel in range(3))
        if not (np.array_equal(red, green) and np.array_equal(red, blue)):
            raise _in_colour(mode)
    return bands[..., 0]


def _shown(samples: Values, encoding: _Encoding) -> Picture:
    """The values as they are shown, from samples as pillow gives them."""
    if encoding.kind != _UNSIGNED or samples.dtype.itemsize > 2:
        return _signed_or_real(samples, encoding)
    dtype: type[np.uint8 | np.uint16] = np.uint16 if encoding.bits > 8 else np.uint8
    values: Values = samples.astype(dtype)
    bits = _bits_used(values, encoding)
    return Picture(dtype(2**bits - 1) - values if encoding.white_is_zero else values, bits)


def _signed_or_real(samples: Values, encoding: _Encoding) -> Picture:
    if encoding.white_is_zero:
        raise FilmError(
            "has signed or real numbers, of which 0 is white",
            remedy="export it as gray-scale of 8 or 16 bits",
        )
    if encoding.kind == _SIGNED and samples.dtype == np.uint8:  # pillow ignores the sign
        samples = samples.view(np.int8)
    elif encoding.kind == _UNSIGNED and samples.dtype == np.int32:
        samples = samples.view(np.uint32)
    if not np.isfinite(samples).all():
        raise FilmError("has pixels that are not numbers (NaN)", remedy="export it again")
    return Picture(samples, None)


def _bits_used(values: Values, encoding: _Encoding) -> int:
    """The bits that the values have: all of a sample's, or as few as the file says.

    PNG prescribes that values of fewer bits be spread over the sample's; DICOM-derived files leave
    them as they are. Values that were spread keep the sample's range, dark ones too.
    """
    bits, used = encoding.bits, encoding.used
    if used is None or int(values.max()) >= 2**used:
        return bits
    missing = bits - used
    samples = np.arange(2**bits)
    kept = samples >> missing
    linear = np.rint(kept * ((2**bits - 1) / (2**used - 1)))
    repeated = kept << missing | kept >> max(used - missing, 0)
    spread = (samples == kept << missing) | (samples == linear) | (samples == repeated)
    return bits if spread[values].all() else used


def _from_colour_table(image: _Image) -> Picture:
    table = _colour_table(image)
    opaque = _opaque_numbers(image)
    bands = _decoded(image)
    numbers = bands if bands.ndim == 2 else bands[..., 0]
    used = np.flatnonzero(np.bincount(numbers.ravel(), minlength=256))
    if not opaque[used].all() or (bands.ndim == 3 and (bands[..., 1] != 255).any()):
        raise _transparent()
    if used[-1] >= len(table):
        raise FilmError("has colours that its table lacks", remedy="export it again")
    if (table[used] == table[used, :1]).all():
        return Picture(np.resize(table[:, 0], 256)[numbers], 8)
    if table[0].any():
        raise _in_colour("colour table")
    return Picture(numbers, 8, classes=True)


def _colour_table(image: _Image) -> npt.NDArray[np.uint8]:
    """Red, green and blue of each number, [n, 3]."""
    if isinstance(image, PngImageFile):
        return np.array(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
    # Of 16 bits, but some programs write colours of 8 bits, which pillow shows as black.
    table = np.array(image.tag_v2[_COLOUR_MAP], dtype=np.uint16).reshape(3, -1).T
    return (table if table.max() < 256 else table >> 8).astype(np.uint8)


def _opaque_numbers(image: _Image) -> npt.NDArray[np.bool_]:
    """Which of 256 numbers stand for an opaque colour."""
    opaque = np.ones(256, dtype=np.bool_)
    key = image.info.get("transparency")
    if isinstance(key, bytes):
        opaque[: len(key)] = np.frombuffer(key, np.uint8) == 255
    elif key is not None:
        opaque[key] = False
    return opaque


def _transparent() -> FilmError:
    return FilmError("is transparent in part", remedy="export it without transparency")


def _in_colour(mode: str) -> FilmError:
    return FilmError(
        f"is in colour, not gray-scale ({mode})",
        remedy="export it as gray-scale of 8 or 16 bits",
    )
