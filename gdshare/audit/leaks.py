"""Searching files that are about to leave for things that must not be in them.

``search`` looks for secrets in each file as it is and after undoing, in any nesting up to a depth,
base64, hex, JSON escapes, zlib and gzip, and the PNG container (chunks, the joined and inflated
image data, the pixels with their row filters undone). Text is sought as it is, in small letters and
in capitals, in ``CHARSETS``, whatever the case of its ASCII letters; whole numbers also as eight
bytes, fractions also as floats. It does not find what is encrypted, or spread over the low bits of
pixels; for the tensors' ``identifiers`` looks there.
"""

import binascii
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

DEPTH: Final = 4
"""Encodings within one another."""
SHORTEST: Final = 6
"""Bytes; anything shorter would be found by accident."""
HEAD: Final = 4
"""Bytes of a form, at most as many as the shortest has: those of a float32."""
CHARSETS: Final = (
    *("utf-8", "utf-16-le", "utf-16-be", "latin-1"),
    # Those of names in DICOM headers (PS3.3, C.12.1.1.2), as far as Python has them.
    *(f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9)),
    *("tis-620", "shift_jis", "euc_jp", "iso2022_jp", "euc_kr", "gb18030", "gbk"),
)
MOST: Final = 16 * 2**20
"""Bytes that anything is inflated to."""
PNG = b"\x89PNG\r\n\x1a\n"
ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f"}

Secret = str | int | float


@dataclass(frozen=True)
class Leak:
    """Where a secret was found: the file, what had to be undone, and the secret."""

    file: str
    undone: tuple[str, ...]
    secret: Secret


def search(files: Mapping[str, bytes], secrets: Iterable[Secret]) -> list[Leak]:
    """List every secret found in any file, in any form.

    A hospital knows a hundred thousand names: only those are looked for whose first bytes stand in
    the file.
    """
    sought: dict[bytes, list[tuple[int, Secret, bytes]]] = {}
    for number, secret in enumerate(secrets):
        for lowered in {form.lower() for form in forms(secret)}:
            sought.setdefault(lowered[:HEAD], []).append((number, secret, lowered))
    found = []
    for name, content in files.items():
        for undone, layer in layers(content):
            lowered = layer.lower()
            heads = {
                head
                for start in range(len(lowered) - HEAD + 1)
                if (head := lowered[start : start + HEAD]) in sought
            }
            there = [own for head in heads for own in sought[head] if own[2] in lowered]
            found += [Leak(name, undone, own[1]) for own in sorted(there, key=lambda own: own[0])]
    return found


def forms(secret: Secret) -> list[bytes]:
    """Give the byte strings a secret may take, hex and base64 apart."""
    if isinstance(secret, int):
        binary = [secret.to_bytes(8, "little"), secret.to_bytes(8, "big")]
        return [*binary, *_spellings(str(secret)), *_spellings(f"{secret:x}")]
    if isinstance(secret, float):
        binary = [struct.pack(kind, secret) for kind in ("<d", ">d", "<f", ">f")]
        return [*binary, *_spellings(f"{secret:.7g}")]
    return _spellings(secret)


def _spellings(text: str) -> list[bytes]:
    if is_short(text):
        raise ValueError(f"{text!r} is too short to be sought without finding it by accident")
    encoded = {
        content
        for spelled in (text, text.lower(), text.upper())
        for charset in CHARSETS
        if len(content := _encoded(spelled, charset)) >= SHORTEST
    }
    return sorted(encoded)


def is_short(text: str) -> bool:
    """Whether a text is too short to be sought without finding it by accident."""
    return len(text.encode("utf-8", "replace")) < SHORTEST


def _encoded(text: str, charset: str) -> bytes:
    """A text in a charset; nothing where it cannot be written in it."""
    try:
        return text.encode(charset)
    except UnicodeEncodeError:
        return b""


def layers(content: bytes) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """Give the content and everything that undoing encodings makes of it."""
    seen = {content}
    waiting: list[tuple[tuple[str, ...], bytes]] = [((), content)]
    while waiting:
        undone, layer = waiting.pop()
        yield undone, layer
        if len(undone) == DEPTH:
            continue
        for name, undo in UNDO.items():
            for inner in undo(layer):
                if len(inner) >= SHORTEST and inner not in seen:
                    seen.add(inner)
                    waiting.append(((*undone, name), inner))


def _undo_base64(layer: bytes) -> Iterator[bytes]:
    for text in {layer, re.sub(rb"\s", b"", layer)}:
        for run in re.findall(rb"[A-Za-z0-9+/_-]{8,}", text):
            plain = run.translate(bytes.maketrans(b"-_", b"+/"))
            for offset in range(4):
                part = plain[offset:]
                yield _base64(part[: len(part) - len(part) % 4])
                yield _base64(part + b"=" * (-len(part) % 4) if len(part) % 4 > 1 else b"")


def _base64(text: bytes) -> bytes:
    return binascii.a2b_base64(text)


def _undo_hex(layer: bytes) -> Iterator[bytes]:
    for text in {layer, re.sub(rb"[\s:,]|0x|\\x", b"", layer)}:
        for run in re.findall(rb"[0-9a-fA-F]{12,}", text):
            for offset in range(2):
                part = run[offset:]
                yield bytes.fromhex(part[: len(part) - len(part) % 2].decode())


def _undo_json_escapes(layer: bytes) -> Iterator[bytes]:
    def plain(match: re.Match[bytes]) -> bytes:
        if match[2]:
            return ESCAPES.get(match[2], match[2])
        units = bytes.fromhex(match[1].replace(b"\\u", b"").decode())
        return units.decode("utf-16-be", errors="replace").encode()

    if b"\\" in layer:
        # One pass from left to right, as a parser does: \\\\u0041 is a backslash and "u0041".
        yield re.sub(rb"((?:\\u[0-9a-fA-F]{4})+)|\\(.)", plain, layer, flags=re.DOTALL)


def _undo_zlib(layer: bytes) -> Iterator[bytes]:
    # A look-ahead, since two candidates may overlap.
    for match in re.finditer(rb"(?=([\x08-\x78][\x00-\xff]|\x1f\x8b))", layer, re.DOTALL):
        head = match[1]
        if head == b"\x1f\x8b" or (head[0] & 15 == 8 and int.from_bytes(head, "big") % 31 == 0):
            inflated = _inflate(layer[match.start() :])
            if inflated:
                yield inflated


def _inflate(content: bytes) -> bytes:
    """Inflate as far as it goes; nothing if it does not start."""
    machine, out = zlib.decompressobj(47), b""
    try:
        for start in range(0, len(content), 256):
            out += machine.decompress(content[start : start + 256], MOST)
            if machine.eof or len(out) >= MOST:
                break
    except zlib.error:
        pass
    return out


def _undo_png(layer: bytes) -> Iterator[bytes]:
    for match in re.finditer(re.escape(PNG), layer):
        chunks = list(_chunks(layer, match.end()))
        yield from (content for _, content in chunks)
        joined = b"".join(content for kind, content in chunks if kind == b"IDAT")
        rows = _inflate(joined)
        yield joined
        yield rows
        headers = [content for kind, content in chunks if kind == b"IHDR"]
        if headers and len(headers[0]) == 13:
            yield _unfiltered(rows, headers[0])


def _chunks(layer: bytes, start: int) -> Iterator[tuple[bytes, bytes]]:
    while start + 12 <= len(layer):
        length = int.from_bytes(layer[start : start + 4], "big")
        yield layer[start + 4 : start + 8], layer[start + 8 : start + 8 + length]
        start += 12 + length


def _unfiltered(rows: bytes, header: bytes) -> bytes:
    """Undo the row filters of a PNG that is not interlaced (PNG specification, section 9)."""
    width, _, depth, color = struct.unpack(">IIBB", header[:10])
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(color, 1)
    step, stride = max(1, bits // 8), (width * bits + 7) // 8
    above, out = bytearray(stride), bytearray()
    for start in range(0, len(rows) - stride, stride + 1):
        row = bytearray(rows[start + 1 : start + 1 + stride])
        for x in range(stride):
            left = row[x - step] if x >= step else 0
            corner = above[x - step] if x >= step else 0
            row[x] = (row[x] + _predicted(rows[start], left, above[x], corner)) & 255
        out += row
        above = row
    return bytes(out)


def _predicted(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 4:
        estimate = left + up - corner
        return min((left, up, corner), key=lambda value: abs(estimate - value))
    return (0, left, up, (left + up) // 2)[kind] if kind < 4 else 0


UNDO = {
    "base64": _undo_base64,
    "hex": _undo_hex,
    "json": _undo_json_escapes,
    "zlib": _undo_zlib,
    "png": _undo_png,
}
