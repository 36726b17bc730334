"""Making bundles for the tests: sound ones, and ones that a faulty or hostile signer would make."""

import struct
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.bundle import Manifest, Terms, build_files
from gdshare.bundle.attacks import Attack
from gdshare.bundle.counts import published_counts
from gdshare.bundle.digests import digests_of, statement_of
from gdshare.bundle.guarantee import Guarantee
from gdshare.bundle.layout import SIGNATURE
from gdshare.bundle.manifest import FORMAT_1_0, FORMAT_1_1, FORMAT_1_2
from gdshare.distilled import Distilled
from gdshare.method import Counts, Method
from gdshare.protocol import Protocol
from gdshare.signing import new_key
from gdshare.signing.envelope import sign

CREATED = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = CREATED + timedelta(days=30)
# In full: a golden bundle does not change with a default.
METHOD = Method(
    network="resnet18",
    train="all",
    images=3,
    epochs=1,
    steps=2,
    outer_steps=400,
    batch=48,
    outer_rate=0.1,
    outer_decay="cosine",
    labels="soft",
    label_scale=5.0,
    inner_rate=0.01,
    inner_rates="per-step",
    sets=1,
    unroll="full",
    outer="adam",
    outer_loss="cross-entropy",
    penalty=0.0,
    window=3,
    theta0="random",
    theta0_number=0,
    draws=1,
    augment="none",
)
READ = Counts(
    patients_negative=20, patients_positive=21, patches_i=300, patches_n=200, patches_p=201
)
COUNTS = published_counts(READ, 5)
NOISY = published_counts(READ, 5, noisy=True)
GUARANTEE = Guarantee(
    mechanism="class-means/1",
    unit="patient",
    adjacency="add-or-remove",
    epsilon=7.998,
    delta=1e-05,
    accountant="dp-accounting-pld/0.6.0",
)
STATED: dict[str, object] = {"format": FORMAT_1_2, "privacy": GUARANTEE, "counts": NOISY}
"""What a manifest says of a run under a guarantee."""


def png(width: int = 4, height: int = 4, level: int = 9) -> bytes:
    """Give a gray PNG with the standard library alone."""
    rows = b"".join(b"\0" + bytes(range(y, y + width)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows, level))
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Give one PNG chunk with its length and checksum."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def manifest(version: str = FORMAT_1_1, **changes: object) -> Manifest:
    stated = version == FORMAT_1_2
    fields: dict[str, object] = {
        "format": version,
        "site": "st-mary",
        "sequence": 1,
        "created": CREATED,
        "expires": CREATED + timedelta(days=365),
        "protocol": Protocol(patch=75, stride=13, side=16, tone="none"),
        "initialiser": "near-identity/2",
        "theta0_sha256": None,
        "method": METHOD,
        "counts": NOISY if stated else COUNTS,
        "attacks": (),
        "privacy": GUARANTEE if stated else None,
        "terms": Terms(
            purpose="training and evaluating classifiers of X-ray films",
            recipients=(),
            retention_days=90,
        ),
    }
    return Manifest(**(fields | changes))


def rich_manifest(version: str = FORMAT_1_1) -> Manifest:
    """One that uses what ``manifest`` leaves at its plainest, and what the version has."""
    whole = {"train": "all", "draws": 2, "augment": "mirror"}
    stated = version == FORMAT_1_2
    tone, trained = ("none", whole) if version == FORMAT_1_0 else ("levels", {"train": "head"})
    return manifest(
        version,
        sequence=2,
        protocol=Protocol(
            patch=75,
            stride=13,
            side=16,
            resample_mm=0.15,
            normalisation="protocol" if stated else "site",
            tone=tone,
        ),
        theta0_sha256="5a" * 32,
        method=METHOD.model_copy(
            update={
                "network": "convnet",
                "images": 6,
                "sets": 2,
                "inner_rates": "shared",
                "theta0": "announced",
                "theta0_number": 7,
                "unroll": "window",
                "window": 1,
            }
            | trained
        ),
        initialiser="zero-head/1",
        counts=(NOISY if stated else COUNTS).model_copy(
            update={"patients_positive": None, "patches_p": None}
        ),
        attacks=()
        if stated
        else (
            Attack(name="membership-loss/1", figure=0.51, low=0.43, high=0.6, unrelated=0.5),
            Attack(name="nearest-patch/1", figure=0.7, low=0.66, high=0.7, unrelated=0.69),
        ),
        terms=Terms(
            purpose="telling whether films show tuberculosis",
            recipients=("kyoto", "tokyo"),
            retention_days=0,
        ),
    )


def distilled(for_manifest: Manifest | None = None, **changes: np.ndarray) -> Distilled:
    shapes = (for_manifest or manifest()).shapes()
    count, size = shapes["images"][0], int(np.prod(shapes["images"]))
    # Whole-number arithmetic, so that the golden bundle's pixels are the same everywhere.
    pixels = (np.arange(size) * 40503 % 10007 - 5003) / np.float32(2048)
    tensors = {
        "images": pixels.astype(np.float32).reshape(shapes["images"]),
        "labels": (np.eye(3, dtype=np.float32) * 0.7 + np.float32(0.1))[np.arange(count) % 3],
        "learning_rates": np.full(shapes["learning_rates"], 0.05, dtype=np.float32),
    }
    return Distilled(**(tensors | changes))


@cache
def key() -> ec.EllipticCurvePrivateKey:
    return new_key()


@cache
def other_key() -> ec.EllipticCurvePrivateKey:
    return new_key()


@cache
def _sound() -> Mapping[str, bytes]:
    return build_files(manifest(), distilled(), png(), key())


def sound() -> dict[str, bytes]:
    return dict(_sound())


def signed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Sign whatever the files hold, as a hostile hospital could."""
    payload = statement_of(digests_of(files)).to_bytes()
    return {**files, SIGNATURE: sign(payload, key()).to_bytes()}


def with_file(name: str, content: bytes) -> dict[str, bytes]:
    """Give a sound bundle with one file replaced and everything signed properly again."""
    return signed({**sound(), name: content})
