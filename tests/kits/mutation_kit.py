"""Damaged and hostile variants of a file, drawn from a seed.

Most changes ignore the format. The others put an odd value where a parser will look: in an element
of a DICOM header, a number of a JSON or XML text, a size in a PNG.
"""

import io
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random
from warnings import catch_warnings, simplefilter

HEAD = 2048
"""Bytes that hold the sizes and counts of most formats; half of the changes are made there."""
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
NUMBERS = (b"-1", b"0", b"1e308", b"1e-320", b"99999999999999999999", b"NaN", b'""', b"null", b"")
NESTS = ((b"[", b"]"), (b'{"a":', b"}"), (b"<a>", b"</a>"))
DOCTYPE = b'<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
ODD = {
    "US": (0, 1, 7, 255, 65535),
    "UL": (0, 1, 4294967295),
    "SS": (-32768, -1, 0),
    "IS": ("0", "-1", "2147483647", "99999999", "1.5", ""),
    "DS": ("1e308", "-1e308", "nan", "inf", "0", "-0", "1e-320", ""),
    "CS": ("", "ARGB", "MONOCHROME1", "NO\\YES", "\x00", "SIGMOID"),
    "UI": ("", "1.2.3", "1.2.840.10008.1.2.4.91", "9" * 64),
    "LO": ("", "a" * 2000, "\x1b$B", "\ufffd"),
    "SQ": ([],),
    "OW": (b"", b"\0\0", b"\xff" * 70_000),
    "OB": (b"", b"\0\0", b"\xfe\xff\x00\xe0\xff\xff\xff\xff"),
    "FD": ([float("nan")], [1e308]),
}
"""By value representation, PS3.5; pydicom can write all of them."""


def mutated(content: bytes, kin: Sequence[bytes], draw: Random) -> bytes:
    """Return a variant.

    Args:
        content: of a valid file.
        kin: contents of other valid files of the format, to splice in.
        draw: the only source of randomness.
    """
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        changes = [change for applies, change in _AWARE if applies(content)]
        if changes and draw.random() < 0.4:
            content = draw.choice(changes)(content, draw)
        elif kin and draw.random() < 0.05:
            content = _spliced(content, draw.choice(kin), draw)
        else:
            content = draw.choice(_BLIND)(content, draw)
    return content


def _place(content: bytes, draw: Random) -> int:
    reach = len(content) if draw.random() < 0.5 else min(HEAD, len(content))
    return draw.randrange(reach + 1)


def _piece(content: bytes, draw: Random) -> tuple[int, int]:
    begin = _place(content, draw)
    return begin, min(len(content), begin + draw.choice((1, 1, 2, 4, 20, 300)))


def _flipped(content: bytes, draw: Random) -> bytes:
    begin, end = _piece(content, draw)
    return content[:begin] + draw.randbytes(end - begin) + content[end:]


def _cut(content: bytes, draw: Random) -> bytes:
    begin, end = _piece(content, draw)
    return content[:begin] + content[end:]


def _inserted(content: bytes, draw: Random) -> bytes:
    begin = _place(content, draw)
    return content[:begin] + draw.randbytes(draw.randint(1, 40)) + content[begin:]


def _repeated(content: bytes, draw: Random) -> bytes:
    begin, end = _piece(content, draw)
    return content[:end] + content[begin:end] * draw.choice((1, 2, 50)) + content[end:]


def _ended(content: bytes, draw: Random) -> bytes:
    return content[: _place(content, draw)]


def _extreme(content: bytes, draw: Random) -> bytes:
    begin = _place(content, draw)
    layout = draw.choice(("<H", ">H", "<I", ">I"))
    word = struct.pack(layout, draw.choice(EXTREMES) & (2 ** (8 * struct.calcsize(layout)) - 1))
    return content[:begin] + word + content[begin + len(word) :]


_BLIND = (_flipped, _flipped, _cut, _inserted, _repeated, _ended, _extreme, _extreme)


def _spliced(content: bytes, other: bytes, draw: Random) -> bytes:
    return content[: _place(content, draw)] + other[_place(other, draw) :]


def _is_text(content: bytes) -> bool:
    return content[:1] in (b"{", b"[", b"<")


def _numbered(content: bytes, draw: Random) -> bytes:
    """Replace one of the text's numbers."""
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?", content))
    if not numbers:
        return content
    begin, end = draw.choice(numbers).span()
    return content[:begin] + draw.choice(NUMBERS) + content[end:]


def _nested(content: bytes, draw: Random) -> bytes:
    opening, closing = draw.choice(NESTS)
    deep, begin = draw.choice((3, 900, 100_000)), _place(content, draw)
    return content[:begin] + opening * deep + closing * draw.choice((0, deep)) + content[begin:]


def _declared(content: bytes, draw: Random) -> bytes:
    begin = content.find(b"?>") + 2 if content.startswith(b"<?") else 0
    body = content[begin:]
    return content[:begin] + DOCTYPE + body.replace(b">", b">&c;" * draw.choice((0, 1, 9)), 1)


def _is_png(content: bytes) -> bool:
    return content.startswith(b"\x89PNG") and len(content) > 33


def _resized(content: bytes, draw: Random) -> bytes:
    """Change size, depth or colour in a PNG's header, with a valid checksum."""
    width, height, *rest = struct.unpack(">IIBBBBB", content[16:29])
    width, height = (draw.choice((side, *EXTREMES, 20_000)) for side in (width, height))
    rest[draw.randrange(5)] = draw.choice((0, 1, 2, 3, 4, 6, 8, 16))
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, *rest)
    return content[:12] + head + struct.pack(">I", zlib.crc32(head)) + content[33:]


def _is_dicom(content: bytes) -> bool:
    return content[128:132] == b"DICM"


def _odd_element(content: bytes, draw: Random) -> bytes:
    """Give an element of a DICOM file, at any depth, an odd value, or delete it."""
    from pydicom import dcmread  # takes 50 MB, which tests of memory should not see in vain

    with catch_warnings():
        simplefilter("ignore")  # pydicom warns about odd values
        try:
            dataset = dcmread(io.BytesIO(content), force=True)
            elements = [*dataset.iterall(), *dataset.file_meta]
            element = draw.choice([element for element in elements if element.VR in ODD])
            if draw.random() < 0.1 and element.tag in dataset:
                del dataset[element.tag]
            else:
                element.value = draw.choice(ODD[element.VR])
            stream = io.BytesIO()
            dataset.save_as(stream, enforce_file_format=False)
            return stream.getvalue()
        except Exception:  # after an earlier change pydicom may fail to read or write it
            return _flipped(content, draw)


_AWARE: tuple[tuple[Callable[[bytes], bool], Callable[[bytes, Random], bytes]], ...] = (
    (_is_text, _numbered),
    (_is_text, _nested),
    (_is_text, _declared),
    (_is_png, _resized),
    (_is_dicom, _odd_element),
)
