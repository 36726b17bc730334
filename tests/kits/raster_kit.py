"""PNG and TIFF files of every kind, written byte by byte: pillow writes only some of them."""

import struct
import zlib

import numpy as np

GRAY, RGB, TABLE, GRAY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
"""Colour types of PNG."""
WHITE_IS_ZERO, BLACK_IS_ZERO = 0, 1
UNSIGNED, SIGNED, REAL = 1, 2, 3


def packed(samples, bits, order=">"):
    """Rows of samples, each row filled up to whole bytes."""
    samples = np.asarray(samples).reshape(len(samples), -1)
    if bits >= 8 and bits % 8 == 0:
        return [row.astype(f"{order}{samples.dtype.kind}{bits // 8}").tobytes() for row in samples]
    digits = (samples[..., None].astype(np.int64) >> np.arange(bits)[::-1]) & 1
    return [np.packbits(row.ravel().astype(np.uint8)).tobytes() for row in digits]


def png(samples, bits, colour=GRAY, **chunks):
    """A PNG of samples [height, width] or [height, width, channels]; chunks before the pixels."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    samples = np.asarray(samples)
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row for row in packed(samples, bits))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
        + b"".join(chunk(name.encode(), data) for name, data in chunks.items())
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def orientation_exif(orientation, order="<"):
    """The content of an eXIf chunk that states only the orientation."""
    mark = {"<": b"II", ">": b"MM"}[order]
    return mark + struct.pack(f"{order}HIHHHIHHI", 42, 8, 1, 274, 3, 1, orientation, 0, 0)


def tiff(samples, bits, order="<", photometric=BLACK_IS_ZERO, kind=UNSIGNED, big=False, **more):
    """An uncompressed or deflated TIFF; ``more`` has further tags by number, as t281=4095.

    ``photometric=None`` leaves the tag out; ``t259=8`` compresses.
    """
    samples = np.asarray(samples)
    height, width = samples.shape[:2]
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    data = b"".join(packed(samples, bits, order))
    extra = {int(name[1:]): value for name, value in more.items()}
    if extra.get(259) == 8:
        data = zlib.compress(data)
    offset = 16 if big else 8
    tags = {
        256: width,
        257: height,
        258: (bits,) * channels,
        259: 1,
        262: photometric,
        273: offset,
        277: channels,
        278: height,
        279: len(data),
        339: (kind,) * channels,
    } | extra
    data += b"\0" * (len(data) % 2)
    start = offset + len(data)
    entries = {tag: value for tag, value in sorted(tags.items()) if value is not None}
    size, count_of, word = (20, "Q", "Q") if big else (12, "H", "I")
    head = struct.calcsize(f"{order}{count_of}")
    spill_at = start + head + size * len(entries) + struct.calcsize(word)
    table, spill = struct.pack(f"{order}{count_of}", len(entries)), b""
    for tag, value in entries.items():
        values = value if isinstance(value, tuple) else (value,)
        letter, code = ("H", 3) if max(values) < 65536 else ("I", 4)
        content = struct.pack(f"{order}{len(values)}{letter}", *values)
        room = struct.calcsize(word)
        if len(content) > room:
            spilled, content = content, struct.pack(f"{order}{word}", spill_at + len(spill))
            spill += spilled + b"\0" * (len(spilled) % 2)
        table += struct.pack(f"{order}HH{word}", tag, code, len(values)) + content.ljust(
            room, b"\0"
        )
    table += struct.pack(f"{order}{word}", 0)
    mark = {"<": b"II", ">": b"MM"}[order]
    if big:
        return mark + struct.pack(f"{order}HHHQ", 43, 8, 0, start) + data + table + spill
    return mark + struct.pack(f"{order}HI", 42, start) + data + table + spill
