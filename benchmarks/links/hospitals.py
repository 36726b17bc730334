"""Phantom hospitals with a cohort and a released bundle each, and the aggregator's trust folder.

The bundles have the shape of real ones. Their images are not distilled: a gray level for each
class, stripes for P, and a little noise, so that they agree and none is quarantined. A link does
not care.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np

from gdshare.bundle import Manifest, Terms, build_files
from gdshare.bundle.counts import PublishedCounts
from gdshare.cohort import label_cohort
from gdshare.distilled import Distilled
from gdshare.films.phantom import write_phantom_cohort
from gdshare.method import Method
from gdshare.networks import INITIALISERS, build, digest
from gdshare.protocol import CLASSES, Protocol
from gdshare.report.preview import render_preview
from gdshare.signing import new_key, public_pem
from gdshare.storage import write_bytes
from gdshare.theta0 import announced_theta0

Trained = Literal["convnet", "scattering"]
PROTOCOL = Protocol(patch=40, stride=36, side=32)
FILM_PX = 256
LEVELS = (-1.1, -0.1, 0.6)
"""Of the images of I, N and P."""
SPLIT = (0.5, 0.25, 0.25)


@dataclass(frozen=True)
class Hospitals:
    """What ``make_hospitals`` wrote.

    Attributes:
        folder: SITE/outbox for each, ``trust`` and ``cohort``, which all share.
        sites: short names.
        bundle_bytes: of a bundle's files.
    """

    folder: Path
    sites: tuple[str, ...]
    bundle_bytes: int

    @property
    def trust(self) -> Path:
        """Public keys of all."""
        return self.folder / "trust"

    @property
    def cohort(self) -> Path:
        """Validation and test films."""
        return self.folder / "cohort"

    def outbox(self, site: str) -> Path:
        """What the node of that hospital hands over."""
        return self.folder / site / "outbox"


def make_hospitals(
    folder: Path,
    sites: Sequence[str],
    network: Trained,
    images: int = len(CLASSES),
    films: int = 24,
) -> Hospitals:
    """Write films, cohort, keys and bundles.

    Args:
        folder: a new one.
        sites: short names.
        network: convnet or scattering, with its own default method.
        images: in each bundle; a multiple of the classes.
        films: of the cohort, half of them positive.
    """
    table = write_phantom_cohort(
        folder / "films", negatives=films // 2, positives=films // 2, size=FILM_PX
    )
    label_cohort(table, folder / "cohort", PROTOCOL, SPLIT, 0)
    (folder / "trust").mkdir()
    size = 0
    for number, site in enumerate(sites):
        key = new_key()
        write_bytes(folder / "trust" / f"{site}.pub", public_pem(key.public_key()))
        distilled = _drawn(number, images, Method(network=network))
        about = _manifest(site, network, images)
        files = build_files(about, distilled, render_preview(distilled), key)
        size = sum(map(len, files.values()))
        released = folder / site / "outbox" / f"{site}-1"
        released.mkdir(parents=True)
        for name, content in files.items():
            write_bytes(released / name, content)
    return Hospitals(folder, tuple(sites), size)


def _drawn(seed: int, images: int, method: Method) -> Distilled:
    random = np.random.default_rng(seed)
    shape = (images, 1, PROTOCOL.side, PROTOCOL.side)
    sharp = 0.85 * np.eye(len(CLASSES)) + 0.05
    labels = np.tile(sharp, (images // len(CLASSES), 1)).astype(np.float32)
    rates = np.full(method.trajectory, method.inner_rate, np.float32)
    levels = np.resize(LEVELS, images).reshape(images, 1, 1, 1)
    drawn = levels + random.normal(0, 0.02, shape)
    drawn[len(CLASSES) - 1 :: len(CLASSES), :, :, ::2] += 1.0  # stripes, on P alone
    return Distilled(drawn.astype(np.float32), labels, rates)


def _manifest(site: str, network: Trained, images: int) -> Manifest:
    created = datetime.now(UTC).replace(microsecond=0)
    method = Method(network=network, images=images)
    announced = method.theta0 == "announced"
    return Manifest(
        site=site,
        sequence=1,
        created=created,
        expires=created + timedelta(days=365),
        protocol=PROTOCOL,
        initialiser=INITIALISERS[network],
        theta0_sha256=_theta0(method) if announced else None,
        method=method,
        counts=PublishedCounts(
            patients_negative=6,
            patients_positive=6,
            patches_i=90,
            patches_n=40,
            patches_p=40,
            suppressed_below=5,
        ),
        attacks=(),
        terms=Terms(),
    )


def _theta0(method: Method) -> str:
    return digest(announced_theta0(method, build(method.network, PROTOCOL.side)))
