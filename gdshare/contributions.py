"""Distilled images on the disk, and the model that a receiver trains from them.

A run's folder or a bundle's, of one hospital or several; pooling is the aggregator's own, so a
hospital sees what its images teach before they leave::

    sources = [read_source(Path("run"), now=now)]
    model = train_from(sources, "average", seed=0, ensemble=5)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.bundle import Bundle, Manifest, read_folder, read_unverified, verify_files
from gdshare.bundle.counts import SUPPRESS_BELOW, published_counts
from gdshare.bundle.layout import BOUNDS, SIGNATURE
from gdshare.distill.run_folder import RECORD, read_record, read_result, read_theta0
from gdshare.distill.score_record import tensors_digest
from gdshare.errors import BundleError, UsageError
from gdshare.model import Model
from gdshare.networks import Parameters
from gdshare.pooling import Contribution, Scheme, contribution_from, train_pooled
from gdshare.protocol import Protocol
from gdshare.signing import fingerprint
from gdshare.signing.statement import signer_of
from gdshare.theta0 import shared_weights


@dataclass(frozen=True)
class Source:
    """A run's or a bundle's images.

    Attributes:
        path: the folder.
        digest: of the bundle; of a run, the SHA-256 of its images.
        contribution: what they bring to a pooled training.
        protocol: of their patches.
        manifest: the bundle's; None of a run.
    """

    path: Path
    digest: str
    contribution: Contribution
    protocol: Protocol
    manifest: Manifest | None

    @property
    def is_run(self) -> bool:
        """Whether it is a run, whose hospital has no name yet."""
        return self.manifest is None

    @property
    def name(self) -> str:
        """The hospital's name; a run has none yet, and its folder's name stands for it."""
        return str(self.path) if self.is_run else self.contribution.site


def contribution_of(bundle: Bundle, shared: Parameters | None = None) -> Contribution:
    """What a bundle brings to a pooled training.

    Args:
        bundle: verified.
        shared: the weights of the shared model that is its announced θ0, if it is one.
    """
    manifest = bundle.manifest
    patients = manifest.counts.patients_at_least
    return contribution_from(manifest.site, bundle.distilled, manifest, patients, shared)


def read_source(
    path: Path, now: datetime, keys: Sequence[ec.EllipticCurvePublicKey] = ()
) -> Source:
    """Read the images of a run or of a bundle.

    Args:
        path: the folder.
        now: UTC; an expired bundle is refused.
        keys: of hospitals. Without any, a bundle's signature is not checked.

    Raises:
        UsageError: neither a run nor a bundle.
        RunError: the run is not finished, or damaged.
        BundleError: the bundle is malformed, expired, or signed with none of the keys.
    """
    if (path / RECORD).exists():
        return _from_run(path)
    if not (path / SIGNATURE).exists():
        raise UsageError(
            "holds neither a run nor a bundle",
            path,
            "give the folder of gdshare distill, or a bundle's, such as outbox/st-mary-1",
        )
    try:
        bundle = _read_bundle(read_folder(path), now, keys)
    except BundleError as error:
        raise error.at(path) from error
    return Source(
        path, bundle.digest, contribution_of(bundle), bundle.manifest.protocol, bundle.manifest
    )


def train_from(
    sources: Sequence[Source],
    scheme: Scheme,
    seed: int,
    ensemble: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Model:
    """Train the model that an aggregator would train from these images.

    Args:
        sources: at least one.
        scheme, seed, ensemble, progress: see ``train_pooled``.

    Raises:
        UsageError: no source, the same images or the same hospital twice, or sources that cannot
            be pooled.
        DivergedError: see ``train_pooled``.
    """
    protocol = poolable(sources)
    contributions = [source.contribution for source in sources]
    return train_pooled(contributions, protocol, scheme, seed, ensemble, progress)


def poolable(sources: Sequence[Source]) -> Protocol:
    """The patch protocol that all sources share.

    Raises:
        UsageError: no source, the same images or the same hospital twice, or two protocols.
    """
    if not sources:
        raise UsageError("no images to train from", remedy="give a run or a bundle")
    first = sources[0]
    for place, source in enumerate(sources[1:], start=1):
        first.protocol.require_same(source.protocol, str(source.path))
        for other in sources[:place]:
            if source.digest == other.digest:
                raise UsageError(f"has the same images as {other.path}", source.path, "give one")
            if source.contribution.site == other.contribution.site:
                raise UsageError(
                    f"is of the same hospital as {other.path}", source.path, "give the newer one"
                )
    return first.protocol


def require_recipient(source: Source, name: str | None) -> None:
    """Refuse a bundle whose terms name recipients, and not this hospital.

    Args:
        source: a run has no terms.
        name: of this hospital; None: not given.

    Raises:
        BundleError: the terms name others, or some and no name is given.
    """
    recipients = source.manifest.terms.recipients if source.manifest else ()
    if recipients and name not in recipients:
        raise BundleError(
            f"released to {', '.join(recipients)} only",
            source.path,
            "give your hospital's short name by --name if it is among them, or leave it out",
        )


def _from_run(path: Path) -> Source:
    record, distilled = read_record(path), read_result(path)
    patients = published_counts(record.counts, SUPPRESS_BELOW).patients_at_least
    shared = shared_weights(read_theta0(path), record.method, record.protocol.side)
    contribution = contribution_from(str(path.resolve()), distilled, record, patients, shared)
    digest = tensors_digest(distilled)
    return Source(path, digest, contribution, record.protocol, None)


def _read_bundle(
    files: dict[str, bytes], now: datetime, keys: Sequence[ec.EllipticCurvePublicKey]
) -> Bundle:
    """Verify with the key that fits; without keys, every rule but the signature's."""
    if keys:
        signer = signer_of(files[SIGNATURE], SIGNATURE, BOUNDS[SIGNATURE])
        fitting = (key for key in keys if fingerprint(key) == signer)
        return verify_files(files, next(fitting, keys[0]), now)
    return read_unverified(files, now)
