"""A tiny hospital: films drawn here, a cohort, a key, a bundle. Nothing takes a second."""

import csv
import struct
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image

from gdshare.bundle import Manifest, Terms, build_files
from gdshare.bundle.counts import PublishedCounts
from gdshare.cohort import label_cohort
from gdshare.distilled import Distilled
from gdshare.method import Method
from gdshare.networks import INITIALISERS, build, digest
from gdshare.protocol import Protocol
from gdshare.theta0 import announced_theta0

PROTOCOL = Protocol(patch=16, stride=16, side=8, tone="none")
"""The bundles' images are drawn in the gray levels of the films as they are."""
METHOD = Method(network="convnet", epochs=2, steps=2)
HEAD = Method(network="convnet", train="head", epochs=2, steps=2)
NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
FILM = 64
VAL_FILMS = TEST_FILMS = 4


def make_cohort(folder: Path, patients: int = 12, protocol: Protocol = PROTOCOL) -> Path:
    """Half the patients have stripes inside the organ; 4 films each for validation and test."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(patients)
    mask = np.zeros((FILM, FILM), np.uint8)
    mask[:32, :] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["patient", "image", "mask", "diagnosis"])
        for number in range(patients):
            positive = number % 2
            film = random.normal(60, 5, (FILM, FILM))
            film[:32, :] += 60
            film[:32, ::4] += 90 * positive
            name = f"secret-patient-{number}"
            Image.fromarray(film.clip(0, 255).astype(np.uint8)).save(folder / f"{name}.png")
            rows.writerow([name, f"{name}.png", "mask.png", ("negative", "positive")[positive]])
    label_cohort(folder / "labels.csv", folder / "cohort", protocol, (1 / 3, 1 / 3, 1 / 3), 0)
    return folder / "cohort"


def manifest(site: str, created: datetime = NOW - timedelta(days=1), **changes: object) -> Manifest:
    fields: dict[str, object] = {
        "site": site,
        "sequence": 1,
        "created": created,
        "expires": created + timedelta(days=365),
        "protocol": PROTOCOL,
        "initialiser": INITIALISERS["convnet"],
        "theta0_sha256": None,
        "method": METHOD,
        "counts": PublishedCounts(
            patients_negative=6,
            patients_positive=6,
            patches_i=90,
            patches_n=40,
            patches_p=40,
            suppressed_below=5,
        ),
        "attacks": (),
        "terms": Terms(),
    }
    return Manifest(**(fields | changes))


def of_head(method: Method = HEAD, protocol: Protocol = PROTOCOL) -> dict[str, object]:
    """What a manifest says of images that train the last layer alone."""
    theta0 = announced_theta0(method, build(method.network, protocol.side))
    return {"method": method, "theta0_sha256": digest(theta0), "protocol": protocol}


def make_bundle(
    site: str,
    key: ec.EllipticCurvePrivateKey,
    about: Manifest | None = None,
    change: Callable[[Distilled], Distilled] = lambda distilled: distilled,
) -> dict[str, bytes]:
    """A sound bundle whose images are the classes' looks, dark, plain, striped, or what a change
    makes of them.
    """
    about = about or manifest(site)
    side = about.protocol.side
    looks = np.stack([np.full((1, side, side), level, np.float32) for level in (-1.1, -0.1, 0.2)])
    looks[2, :, :, ::2] += 1.0
    steps = about.method.trajectory
    labels = (np.eye(3) * 0.85 + 0.05).astype(np.float32)
    rates = np.full(steps, 0.02, np.float32)
    return build_files(about, change(Distilled(looks, labels, rates)), _png(), key)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _png() -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b"")
