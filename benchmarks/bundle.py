"""How fast bundles are verified, and whether memory stays flat.

    python -m benchmarks.bundle [--bundles 10000] [--quick] [--json FILE]

Bundles of one megabyte (64 images of 64 px, of noise) are signed by as many hospitals and lie in
folders, as they do for ``gdshare verify``. Each verification reads the six files and enforces all
rules. On one thread; by its CPU-seconds, so that other work on the machine does not count.
"""

import itertools
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.command import parser, peak_mb, write_figures
from gdshare.bundle import Manifest, Terms, build_files, verify_folder, write_bundle
from gdshare.bundle.counts import published_counts
from gdshare.distilled import Distilled
from gdshare.errors import BundleError
from gdshare.method import Counts, Settings
from gdshare.protocol import Protocol
from gdshare.signing import new_key

NAME = "benchmarks.bundle"

CREATED = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = CREATED + timedelta(days=30)
IMAGES, SIDE, SITES = 64, 64, 32
RATE, FLAT_MB = 200.0, 8.0
"""Wanted: bundles a second, and what memory may grow by between a tenth of them and all."""

Published = list[tuple[Path, ec.EllipticCurvePublicKey]]


def measure(count: int) -> dict[str, float]:
    """Sign a few, verify many.

    Returns: the size of a bundle, MB; bundles a CPU-second, verified and with one bit of a tensor
    flipped; peak memory, MB, after a tenth of the bundles and after all.
    """
    tenth = max(1, count // 10)
    with tempfile.TemporaryDirectory() as name:
        published = [_publish(Path(name), number) for number in range(SITES)]
        size = sum(path.stat().st_size for path in published[0][0].iterdir()) / 1e6
        seconds = _verify(published, tenth)
        early = peak_mb()
        seconds += _verify(published, count - tenth)
        late = peak_mb()
        for path, _ in published:
            _flip(path / "distilled.safetensors")
        refusing = _verify(published, tenth, altered=True)
    rates = {"rate": count / seconds, "refusals": tenth / refusing}
    return {"bundles": count, "megabytes": size, **rates, "early": early, "late": late}


def _verify(published: Published, count: int, altered: bool = False) -> float:
    """CPU-seconds of so many verifications."""
    began = time.process_time()
    for path, key in itertools.islice(itertools.cycle(published), count):
        try:
            verify_folder(path, key, NOW)
        except BundleError:
            if not altered:
                raise
        else:
            if altered:
                sys.exit(f"{path}: altered, and not refused")
    return time.process_time() - began


def _publish(folder: Path, number: int) -> tuple[Path, ec.EllipticCurvePublicKey]:
    generator, key = np.random.default_rng(number), new_key()
    method = Settings(network="convnet", images=IMAGES, steps=3).method()
    distilled = Distilled(
        generator.normal(size=(IMAGES, 1, SIDE, SIDE)).astype(np.float32),
        generator.dirichlet(np.ones(3), IMAGES).astype(np.float32),
        np.full(method.trajectory, 0.02, np.float32),
    )
    counts = {"patients_negative": 50, "patients_positive": 50}
    counts |= {"patches_i": 900, "patches_n": 900, "patches_p": 900}
    manifest = Manifest(
        site=f"site-{number}",
        sequence=1,
        created=CREATED,
        expires=CREATED + timedelta(days=365),
        protocol=Protocol(patch=75, stride=13, side=SIDE),
        initialiser="zero-head/1",  # by name: a verifier loads no torch
        theta0_sha256=None,
        method=method,
        counts=published_counts(Counts(**counts), 5),
        attacks=(),
        terms=Terms(),
    )
    files = build_files(manifest, distilled, b"no picture: a verifier never looks", key)
    return write_bundle(folder, files), key.public_key()


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def table(figures: Mapping[str, float]) -> str:
    fast = "yes" if figures["rate"] >= RATE else "NO"
    flat = "yes" if figures["late"] - figures["early"] <= FLAT_MB else "NO"
    return (
        f"{figures['bundles']} bundles of {figures['megabytes']:.2f} MB\n"
        f"verified   {figures['rate']:6.0f} a CPU-second   at least {RATE:.0f}: {fast}\n"
        f"refused    {figures['refusals']:6.0f} a CPU-second   one bit of the images flipped\n"
        f"memory     {figures['early']:.0f} to {figures['late']:.0f} MB   flat: {flat}"
    )


def main() -> None:
    command = parser(NAME, __doc__, "500 bundles")
    command.add_argument("--bundles", type=int, default=10_000, help="(default 10000)")
    chosen = command.parse_args()
    figures = measure(500 if chosen.quick else chosen.bundles)
    print(table(figures))
    write_figures(chosen.json, NAME, figures)


if __name__ == "__main__":
    main()
