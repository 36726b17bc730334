"""What a compressed frame says about itself, read from its first bytes.

JPEG (ISO 10918-1, annex B), JPEG-LS (ISO 14495-1, annex C), JPEG 2000 (ISO 15444-1, annexes A and
I) and RLE (PS3.5, annex G). Nothing is decoded, and every loop ends with the frame.
"""

import struct
from dataclasses import dataclass

from pydicom.uid import (
    JPEG2000,
    UID,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLSLossless,
)

_JPEG_START, _JPEG_2000_START = b"\xff\xd8", b"\xff\x4f\xff\x51"
_JP2_START = b"\x00\x00\x00\x0cjP  "
_BOX, _CODESTREAM_BOX = struct.Struct(">I4s"), b"jp2c"
_DCT, _LOSSLESS, _JPEG_LS = (0xC0, 0xC1, 0xC2), 0xC3, 0xF7
_OTHER_FRAMES = (0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD8))
_SCAN, _END = 0xDA, 0xD9
_SIZ = struct.Struct(">IIIIIIIIH")
_SIZ_START, _COMPONENT_START = 8, 42


@dataclass(frozen=True)
class Codestream:
    """What a codestream says.

    Attributes:
        encoding: a transfer syntax whose codec reads it.
        rows, columns: px.
        components: 1 for gray, 3 for colour.
        precision: bits of a value.
        signed: None: JPEG and JPEG-LS do not say.
        start: where it begins in the frame; not at 0 if a JP2 file is wrapped around it.
    """

    encoding: UID
    rows: int
    columns: int
    components: int
    precision: int
    signed: bool | None
    start: int = 0


def read_codestream(content: bytes) -> Codestream | None:
    """Read the header of a JPEG, JPEG-LS or JPEG 2000 codestream; None if it is none of them.

    Raises:
        ValueError: it is damaged, or of a JPEG process that no radiograph uses.
    """
    try:
        if content.startswith(_JPEG_START):
            return _jpeg(content)
        start = _jp2_codestream(content) if content.startswith(_JP2_START) else 0
        if content.startswith(_JPEG_2000_START, start):
            return _jpeg_2000(content, start)
    except (IndexError, struct.error) as error:
        raise ValueError("its codestream ends within its header") from error
    return None


def begins_codestream(content: bytes) -> bool:
    """Whether a fragment is the first of a frame in JPEG, JPEG-LS or JPEG 2000."""
    return content.startswith((_JPEG_START, _JPEG_2000_START, _JP2_START))


def rle_segments(content: bytes) -> int:
    """The number of segments of a frame in RLE: one for each byte of a pixel.

    Raises:
        ValueError: the frame is too short.
    """
    if len(content) < 64:
        raise ValueError("its RLE header is cut short")
    return int.from_bytes(content[:4], "little")


def rle_surplus(content: bytes, pixels: int) -> int:
    """How many bytes the longest RLE segment holds beyond one for each pixel."""
    count = min(rle_segments(content), 15)
    starts = struct.unpack_from(f"<{count}I", content, 4)
    ends = (*starts[1:], len(content))
    lengths = [_unpacked(content[a:b]) for a, b in zip(starts, ends, strict=True)]
    return max((0, *lengths)) - pixels


def _unpacked(segment: bytes) -> int:
    """The length of a PackBits segment once it is unpacked."""
    length = position = 0
    while position < len(segment):
        head = segment[position]
        position += 1
        if head < 128:
            length += min(head + 1, len(segment) - position)
            position += head + 1
        elif head > 128 and position < len(segment):
            length += 257 - head
            position += 1
    return length


def _jpeg(content: bytes) -> Codestream:
    marker, position = _frame_header(content)
    precision, rows, columns, components = struct.unpack_from(">BHHB", content, position + 2)
    if marker == _JPEG_LS:
        encoding = JPEGLSLossless
    elif marker == _LOSSLESS:
        encoding = JPEGLossless
    else:
        encoding = JPEGBaseline8Bit if precision == 8 else JPEGExtended12Bit
    return Codestream(encoding, rows, columns, components, precision, None)


def _frame_header(content: bytes) -> tuple[int, int]:
    """The marker of the frame header, and the position of its length."""
    position = 2
    while True:
        if content[position] != 0xFF:
            raise ValueError("its codestream has no marker where one belongs")
        while content[position] == 0xFF:  # fill bytes may precede a marker
            position += 1
        marker, position = content[position], position + 1
        if marker in (*_DCT, _LOSSLESS, _JPEG_LS):
            return marker, position
        if marker in _OTHER_FRAMES:
            raise ValueError("its JPEG process is not one of radiographs")
        if marker in (_SCAN, _END):
            raise ValueError("its codestream has no frame header")
        if marker not in _WITHOUT_LENGTH:
            position += max(2, int.from_bytes(content[position : position + 2], "big"))


def _jp2_codestream(content: bytes) -> int:
    """Where the codestream of a JP2 file begins."""
    position = 0
    while True:
        length, kind = _BOX.unpack_from(content, position)
        head = _BOX.size
        if length == 1:  # the length follows in 64 bits
            (length,) = struct.unpack_from(">Q", content, position + head)
            head += 8
        if kind == _CODESTREAM_BOX:
            return position + head
        if length < head:  # 0: the box reaches to the end of the file
            raise ValueError("its JP2 file has no codestream")
        position += length


def _jpeg_2000(content: bytes, start: int) -> Codestream:
    right, bottom, left, top, *_, components = _SIZ.unpack_from(content, start + _SIZ_START)
    depth, across, down = struct.unpack_from(">BBB", content, start + _COMPONENT_START)
    if not across or not down:
        raise ValueError("its codestream has components without a size")
    return Codestream(
        JPEG2000,
        -(-bottom // down) - -(-top // down),
        -(-right // across) - -(-left // across),
        components,
        (depth & 127) + 1,
        bool(depth & 128),
        start,
    )
