"""The searcher itself: a leak planted in each place and encoding is found."""

import base64
import gzip
import json
import struct
import zlib

import numpy as np
import pytest
from bundle_factory import distilled, png, png_chunk, sound
from safetensors.numpy import save

from gdshare.audit.leaks import PNG, search
from gdshare.distilled import TENSORS

SECRET = "Müller-PID-004711"
SEED = 4_611_686_018_427_387_905
VALUE = 0.7316459281

ENCODINGS = {
    "utf-8": lambda text: text.encode(),
    "utf-16-le": lambda text: text.encode("utf-16-le"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "latin-1": lambda text: text.encode("latin-1"),
    "upper case": lambda text: text.upper().replace("Ü", "ü").encode(),
    "hex": lambda text: text.encode().hex().encode(),
    "upper-case hex": lambda text: text.encode().hex().upper().encode(),
    "hex with colons": lambda text: text.encode().hex(":").encode(),
    "hex of utf-16": lambda text: text.encode("utf-16-le").hex().encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64, one in": lambda text: base64.b64encode(b"x" + text.encode()),
    "base64, two in": lambda text: base64.b64encode(b"xy" + text.encode()),
    "base64 in lines": lambda text: base64.encodebytes(b"long " * 20 + text.encode()),
    "base64 without padding": lambda text: base64.b64encode(text.encode()).rstrip(b"="),
    "url-safe base64": lambda text: base64.urlsafe_b64encode(b"\xff\xfe~~" + text.encode()),
    "base64 of utf-16": lambda text: base64.b64encode(text.encode("utf-16-be")),
    "base64 of hex": lambda text: base64.b64encode(text.encode().hex().encode()),
    "json escapes": lambda text: json.dumps(text).encode(),
    "only json escapes": lambda text: "".join(f"\\u{ord(c):04x}" for c in text).encode(),
    "upper-case json escapes": lambda text: "".join(f"\\u{ord(c):04X}" for c in text).encode(),
    "zlib": lambda text: zlib.compress(text.encode() * 3),
    "gzip": lambda text: gzip.compress(text.encode() * 3),
    "base64 of zlib": lambda text: base64.b64encode(zlib.compress(text.encode())),
}


def found(name, content, secret=SECRET):
    leaks = search(sound() | {name: content}, [secret])
    assert {leak.file for leak in leaks} <= {name}
    return bool(leaks)


def picture(*chunks):
    whole = png()
    return whole[:33] + b"".join(chunks) + whole[33:]


def pixels(kind, row):
    """Give a PNG two rows high whose second row, once the filter is undone, is ``row``."""
    step, above = 1, bytes(range(40, 40 + len(row)))
    coded = bytearray()
    for x, value in enumerate(row):
        left = row[x - step] if x else 0
        corner = above[x - step] if x else 0
        estimate = left + above[x] - corner
        paeth = min((left, above[x], corner), key=lambda v: abs(estimate - v))
        guess = (0, left, above[x], (left + above[x]) // 2, paeth)[kind]
        coded.append((value - guess) & 255)
    rows = b"\0" + above + bytes([kind]) + coded
    header = struct.pack(">IIBBBBB", len(row), 2, 8, 0, 0, 0, 0)
    packed = zlib.compress(rows)
    halves = png_chunk(b"IDAT", packed[:9]) + png_chunk(b"IDAT", packed[9:])
    return PNG + png_chunk(b"IHDR", header) + halves + png_chunk(b"IEND", b"")


def test_nothing_is_found_where_nothing_is():
    assert search(sound(), [SECRET, SEED, VALUE]) == []


@pytest.mark.parametrize("name", sorted(sound()))
@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_a_leak_at_the_end_of_any_file_is_found(name, encoding):
    assert found(name, sound()[name] + b"\n" + ENCODINGS[encoding](SECRET))


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_a_leak_amid_the_datasheet_is_found(encoding):
    text = sound()["README.md"]
    assert found("README.md", text[:500] + b" " + ENCODINGS[encoding](SECRET) + b" " + text[500:])


@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_leak_in_a_manifest_field_is_found(ascii_only):
    value = json.loads(sound()["gdshare.json"]) | {"site": f"a{SECRET}b"}
    assert found("gdshare.json", json.dumps(value, ensure_ascii=ascii_only).encode())


def test_a_leak_in_the_signed_statement_is_found():
    value = json.loads(sound()["bundle.sig"])
    statement = base64.b64decode(value["dsseEnvelope"]["payload"])
    leaky = statement.replace(b"gdshare-bundle", json.dumps(SECRET).strip('"').encode())
    value["dsseEnvelope"]["payload"] = base64.b64encode(leaky).decode()
    assert found("bundle.sig", json.dumps(value).encode())


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"tEXt", b"Comment\0" + SECRET.encode("latin-1")),
        png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(SECRET.encode("latin-1"))),
        png_chunk(b"iTXt", b"Comment\0\0\0de\0\0" + SECRET.encode()),
        png_chunk(b"iTXt", b"Comment\0\1\0de\0\0" + zlib.compress(SECRET.encode())),
        png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(SECRET.encode("utf-16-be"))),
        png_chunk(b"prIv", SECRET.encode().hex().encode()),
    ],
    ids=["tEXt", "zTXt", "iTXt", "compressed iTXt", "iCCP", "private"],
)
def test_a_leak_in_a_png_chunk_is_found(chunk):
    assert found("preview.png", picture(chunk))


@pytest.mark.parametrize("kind", range(5))
def test_a_leak_in_the_pixels_of_a_png_is_found(kind):
    assert found("preview.png", pixels(kind, SECRET.encode()))


def test_a_leak_behind_the_pixels_inside_the_compressed_stream_is_found():
    packed = zlib.compress(bytes(20) + SECRET.encode("utf-16-le"))
    content = png()[:33] + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")
    assert found("preview.png", content)


@pytest.mark.parametrize(
    "encoding", sorted(set(ENCODINGS) - {"utf-16-le", "utf-16-be", "latin-1", "zlib", "gzip"})
)
def test_a_leak_in_safetensors_metadata_is_found(encoding):
    tensors = {name: getattr(distilled(), name) for name in TENSORS}
    content = save(tensors, metadata={"note": ENCODINGS[encoding](SECRET).decode()})
    assert found("distilled.safetensors", content)


def test_a_leak_in_a_tensor_s_bytes_is_found():
    smuggled = np.frombuffer(SECRET.encode("utf-16-le").ljust(36, b"\0"), np.float32)
    tensors = {"images": smuggled, "labels": distilled().labels}
    assert found("distilled.safetensors", save(tensors))


@pytest.mark.parametrize(
    "form",
    [
        str(SEED).encode(),
        f'{{"seed": {SEED}}}'.encode(),
        str(SEED).encode("utf-16-le"),
        f"{SEED:x}".encode(),
        f"0x{SEED:X}".encode(),
        SEED.to_bytes(8, "little"),
        SEED.to_bytes(8, "big"),
        SEED.to_bytes(8, "little").hex().encode(),
        base64.b64encode(SEED.to_bytes(8, "big")),
        base64.b64encode(str(SEED).encode()),
    ],
)
def test_a_seed_is_found_in_any_form(form):
    assert found("README.md", sound()["README.md"] + form, SEED)


@pytest.mark.parametrize("kind", ["<d", ">d", "<f", ">f"])
def test_a_patient_s_value_is_found_as_a_float(kind):
    assert found("preview.png", sound()["preview.png"] + struct.pack(kind, VALUE), VALUE)


def test_a_patient_s_value_is_found_as_text():
    assert found("README.md", f"score {VALUE}".encode(), VALUE)


def test_a_secret_too_short_to_seek_is_refused():
    with pytest.raises(ValueError, match="too short"):
        search(sound(), ["abc"])
