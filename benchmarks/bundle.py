"""How fast bundles are verified, and whether memory stays flat.

    python -m benchmarks.bundle [--bundles 10000] [--quick] [--json FILE]

Bundles of one megabyte (64 images of 64 px, of noise) are signed by as many hospitals and lie in
folders, as they do for ``gdshare verify``. Each verification reads the six files and enforces all
rules. On one thread; by its CPU-seconds, so that other work on the machine does not count.
"""

import itertools
import resource
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.command import parser, write_figures
from gdshare.bundle import Manifest, Terms, build_files, verify_folder, write_bundle
from gdshare.bundle.counts import PublishedCounts
from gdshare.distilled import Distilled
from gdshare.errors import BundleError
from gdshare.method import Settings
from gdshare.protocol import Protocol
from gdshare.signing import new_key

NAME = "benchmarks.bundle"

CREATED = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = CREATED + timedelta(days=30)
IMAGES, SIDE, SITES = 64, 64, 32
RATE, FLAT_MB = 200.0, 8.0
"""Wanted: bundles a second, and what memory may grow by between a tenth of them and all."""

Lot = list[tuple[Path, ec.EllipticCurvePublicKey]]


@dataclass(frozen=True)
class Figures:
    """What was measured.

    Attributes:
        bundles: how many were verified.
        megabytes: of one, on the disk.
        rate: a CPU-second.
        refusals: a CPU-second, of bundles whose tensors had one bit flipped.
        early, late: peak memory, MB, after a tenth of the bundles and after all.
    """

    bundles: int
    megabytes: float
    rate: float
    refusals: float
    early: float
    late: float


def measured(count: int) -> Figures:
    """Sign a few, verify many."""
    with tempfile.TemporaryDirectory() as name:
        lot = [_published(Path(name), number) for number in range(SITES)]
        size = sum(path.stat().st_size for path in lot[0][0].iterdir()) / 1e6
        rate, early, late = _verified(lot, count)
        for path, _ in lot:
            _flip(path / "distilled.safetensors")
        return Figures(count, size, rate, _refused(lot, max(1, count // 10)), early, late)


def _verified(lot: Lot, count: int) -> tuple[float, float, float]:
    early, began = 0.0, time.process_time()
    for number, (path, key) in enumerate(itertools.islice(itertools.cycle(lot), count), start=1):
        verify_folder(path, key, NOW)
        if number == max(1, count // 10):
            early = _peak()
    return count / (time.process_time() - began), early, _peak()


def _refused(lot: Lot, count: int) -> float:
    began = time.process_time()
    for path, key in itertools.islice(itertools.cycle(lot), count):
        try:
            verify_folder(path, key, NOW)
        except BundleError:
            continue
        sys.exit(f"{path}: altered, and not refused")
    return count / (time.process_time() - began)


def _published(folder: Path, number: int) -> tuple[Path, ec.EllipticCurvePublicKey]:
    draw, key = np.random.default_rng(number), new_key()
    settings = Settings(images=IMAGES, steps=3)
    distilled = Distilled(
        draw.normal(size=(IMAGES, 1, SIDE, SIDE)).astype(np.float32),
        draw.dirichlet(np.ones(3), IMAGES).astype(np.float32),
        np.full(settings.method().trajectory, 0.02, np.float32),
    )
    manifest = Manifest(
        site=f"site-{number}",
        sequence=1,
        created=CREATED,
        expires=CREATED + timedelta(days=365),
        protocol=Protocol(patch=75, stride=13, side=SIDE),
        initialiser="zero-head/1",  # by name: a verifier loads no torch
        theta0_sha256=None,
        method=settings.method(),
        counts=PublishedCounts(
            patients_negative=50,
            patients_positive=50,
            patches_i=900,
            patches_n=900,
            patches_p=900,
            suppressed_below=5,
        ),
        attacks=(),
        terms=Terms(),
    )
    files = build_files(manifest, distilled, b"no picture: a verifier never looks", key)
    return write_bundle(folder, files), key.public_key()


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def table(found: Figures) -> str:
    """For people."""
    fast = "yes" if found.rate >= RATE else "NO"
    flat = "yes" if found.late - found.early <= FLAT_MB else "NO"
    return "\n".join(
        (
            f"{found.bundles} bundles of {found.megabytes:.2f} MB",
            f"verified   {found.rate:6.0f} a CPU-second   at least {RATE:.0f}: {fast}",
            f"refused    {found.refusals:6.0f} a CPU-second   one bit of the images flipped",
            f"memory     {found.early:.0f} to {found.late:.0f} MB   flat: {flat}",
        )
    )


def main() -> None:
    """Read the options and measure."""
    words = parser(NAME, __doc__, "500 bundles")
    words.add_argument("--bundles", type=int, default=10_000, help="(default 10000)")
    chosen = words.parse_args()
    found = measured(500 if chosen.quick else chosen.bundles)
    print(table(found))
    write_figures(chosen.json, NAME, asdict(found))


if __name__ == "__main__":
    main()
