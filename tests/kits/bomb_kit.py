"""Decompression bombs: small files that ask for far more time or memory than a film takes."""

import base64
import io
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from outline_kit import FILM, coco, cvat, labelme
from PIL import Image

SIDE = 4096
"""px, of the film of the outlines."""
MAX_SIDE = 10_900
"""px, of the largest square picture that is read."""


def bombs(folder: Path) -> Iterator[tuple[str, Path]]:
    """Write the files; yield the form to read each as, and its path."""
    for name, content in {
        "large.png": _plain(MAX_SIDE, bits=8),
        "larger.png": _plain(30_000, bits=1),
        "pages.tif": _pages(30_000),
    }.items():
        (folder / name).write_bytes(content)
        yield "raster", folder / name
    for name, text in {
        "labelme-masks.json": json.dumps(_labelme(_plain(MAX_SIDE, bits=1), 25)),
        "labelme-whole.json": json.dumps(_labelme(_plain(SIDE, bits=1), 1000)),
        "cvat-masks.xml": cvat(*[_cvat_mask()] * 20_000, shape=(SIDE, SIDE)),
        "coco-masks.json": json.dumps(_coco(20_000)),
        "deep.json": "[" * 5_000_000,
        "wide.json": "[" + "[]," * 9_000_000 + "[]]",
        "deep.xml": "<a>" * 2_000_000,
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
        yield "outline", folder / name


def _plain(side: int, bits: int) -> bytes:
    """A white gray-scale PNG, written row by row; pillow would hold all of it in memory."""
    row = b"\0" + b"\xff" * -(-side * bits // 8)
    squeeze = zlib.compressobj(9)
    rows = b"".join(squeeze.compress(row) for _ in range(side)) + squeeze.flush()
    head = struct.pack(">IIBBBBB", side, side, bits, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _pages(count: int) -> bytes:
    """A TIFF with many pages of one small picture."""
    stream = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(stream, "TIFF")
    content = bytearray(stream.getvalue() + b"\0" * (len(stream.getvalue()) % 2))
    (first,) = struct.unpack("<I", content[4:8])
    (entries,) = struct.unpack("<H", content[first : first + 2])
    end = first + 2 + 12 * entries
    page = bytes(content[first:end])
    content[end : end + 4] = struct.pack("<I", len(content))
    for number in range(count):
        after = len(content) + len(page) + 4 if number + 1 < count else 0
        content += page + struct.pack("<I", after)
    return bytes(content)


def _labelme(picture: bytes, count: int) -> object:
    side = struct.unpack(">I", picture[16:20])[0]
    mask = {
        "shape_type": "mask",
        "points": [[0, 0], [side - 1, side - 1]],
        "mask": base64.b64encode(picture).decode(),
    }
    return labelme(*[mask] * count, film=FILM, shape=(SIDE, SIDE))


def _cvat_mask() -> str:
    return (
        f'<mask label="stomach" rle="0, {SIDE * SIDE}" left="0" top="0" width="{SIDE}" '
        f'height="{SIDE}"/>'
    )


def _coco(count: int) -> object:
    whole = {"size": [SIDE, SIDE], "counts": [0, SIDE * SIDE]}
    return coco(*[whole] * count, film=FILM, shape=(SIDE, SIDE))
