"""What a hospital has given away over the years: bundles, and answers to questions for counts.

Two records are read, and nothing is asked: the ledger of the outbox, for releases, withdrawals and
receipts, with the manifests of bundles that are still there; and the node's record of counts. What
the figures of one bundle or answer mean is for others to say; here they are added up.

Noisy answers have an account: their ε at ``noise.DELTA``, for one film exchanged for another of
the same diagnosis. Two cohorts may hold the same films, so the account of a split is that of all
cohorts together. Bundles and answers without noise have none: nothing is proven of them.

A bundle with a guarantee has spent the ε and δ that the ledger has of its release, also where the
bundle is gone. Nothing says which bundles are of the same patients, so the sum is over all of them:
an upper bound, by basic composition. Bundles with the same images come of one look at the patients,
and count once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

from gdshare.announcement import is_shared_model
from gdshare.bundle.attacks import Attack
from gdshare.bundle.folder import read_plain
from gdshare.bundle.layout import BOUNDS, MANIFEST
from gdshare.bundle.manifest import Manifest
from gdshare.errors import BundleError
from gdshare.ledger import Entry
from gdshare.release.guarantee import Spent, spent_by
from gdshare.release.publish import ABANDON, RELEASE
from gdshare.release.receipts import RECEIPT
from gdshare.release.withdraw import Released, find_release, find_withdrawal, released_bundles
from hospital_node.count_record import Answer
from hospital_node.noise import epsilon_of

SPLITS: Final = ("validation", "test")


@dataclass(frozen=True)
class BundleGiven:
    """A bundle that was released.

    Attributes:
        name, digest: of the bundle.
        released: when, UTC.
        withdrawn: when; None: it was not. Copies may exist all the same.
        receivers: aggregators that confirmed it.
        images: in it; None where the bundle is no longer in the outbox.
        attacks: that were tried on it before it left; empty where none was, or it is gone.
        shared_model: whether it was distilled for a shared model.
        spent: what the guarantee that it states has spent; None: it states none.
    """

    name: str
    digest: str
    released: datetime
    withdrawn: datetime | None
    receivers: tuple[str, ...]
    images: int | None
    attacks: tuple[Attack, ...]
    shared_model: bool
    spent: Spent | None


@dataclass(frozen=True)
class SpentTogether:
    """What the bundles with a guarantee have spent, if all are of the same patients.

    Attributes:
        bundles: that state a guarantee, withdrawn ones included.
        looks: different sets of images among these: each looked at the patients once.
        epsilon, delta: sums over these looks, by basic composition.
    """

    bundles: int
    looks: int
    epsilon: float
    delta: float


@dataclass(frozen=True)
class AnswersGiven:
    """The answers about the films of one split of one cohort.

    Attributes:
        cohort: SHA-256 of its index.
        split: ``validation`` or ``test``.
        models: that films were counted with.
        untied: of these, such as somebody sent as weights.
        numbers: counts that left in all and do not follow from one another: of each diagnosis and
            answer the indeterminate films, and those between two neighbouring thresholds. Where
            small ones were suppressed, fewer.
        exact: answers without noise.
        noisy: answers with noise.
        epsilon: that the noisy ones have spent together; None without any.
        first, last: hours of answers, UTC; None where that answer is of before hours were kept.
    """

    cohort: str
    split: str
    models: int
    untied: int
    numbers: int
    exact: int
    noisy: int
    epsilon: float | None
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True)
class Exposure:
    """Everything that was given away.

    Attributes:
        bundles: the oldest first.
        answers: by cohort and split; None where no node's record was read.
        epsilon: split -> ε of the noisy answers about it, of all cohorts together.
    """

    bundles: tuple[BundleGiven, ...]
    answers: tuple[AnswersGiven, ...] | None
    epsilon: dict[str, float]

    @property
    def spent(self) -> SpentTogether | None:
        """What the bundles with a guarantee have spent together; None without any."""
        stated = [bundle.spent for bundle in self.bundles if bundle.spent is not None]
        if not stated:
            return None
        looks: dict[str, list[Spent]] = {}
        for spent in stated:
            looks.setdefault(spent.images, []).append(spent)
        return SpentTogether(
            len(stated),
            len(looks),
            _sum(max(spent.epsilon for spent in look) for look in looks.values()),
            _sum(max(spent.delta for spent in look) for look in looks.values()),
        )


def exposure_of(
    outbox: Path, entries: Sequence[Entry], answers: Sequence[Answer] | None
) -> Exposure:
    """Add up what was given away.

    Args:
        outbox: the hospital's; manifests of bundles that are still there are read.
        entries: of its ledger.
        answers: of its nodes' records of counts; None: none was read.
    """
    bundles = tuple(
        _bundle(outbox, entries, bundle)
        for bundle in released_bundles(entries)
        if _reached_the_outbox(entries, bundle)
    )
    if answers is None:
        return Exposure(bundles, None, {})
    grouped: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        grouped.setdefault((answer.cohort, _split(answer)), []).append(answer)
    spent = {
        split: variances
        for split in SPLITS
        if (variances := _variances(answer for answer in answers if _split(answer) == split))
    }
    return Exposure(
        bundles,
        tuple(_answers(*group, own) for group, own in grouped.items()),
        {split: epsilon_of(variances) for split, variances in spent.items()},
    )


def _sum(stated: Iterable[float]) -> float:
    """Of figures with few digits, as they are written: a sum of floats may fall short of it."""
    return float(sum(Decimal(repr(figure)) for figure in stated))


def _reached_the_outbox(entries: Sequence[Entry], bundle: Released) -> bool:
    """Whether its release was not the last thing before it was abandoned."""
    acts = [
        entry.act
        for entry in entries
        if (entry.what, entry.digest) == (bundle.name, bundle.digest)
        and entry.act in (RELEASE, ABANDON)
    ]
    return acts[-1] == RELEASE


def _bundle(outbox: Path, entries: Sequence[Entry], bundle: Released) -> BundleGiven:
    withdrawal = find_withdrawal(entries, bundle)
    receipts = [
        entry.why.partition(":")[0]
        for entry in entries
        if (entry.act, entry.what, entry.digest) == (RECEIPT, bundle.name, bundle.digest)
    ]
    manifest, release = _manifest(outbox / bundle.name), find_release(entries, bundle)
    return BundleGiven(
        bundle.name,
        bundle.digest,
        release.at,
        None if withdrawal is None else withdrawal.at,
        tuple(dict.fromkeys(receipts)),
        None if manifest is None else manifest.method.images,
        () if manifest is None else manifest.attacks,
        manifest is not None
        and is_shared_model(manifest.theta0_sha256, manifest.method.theta0_number),
        spent_by(release),
    )


def _manifest(folder: Path) -> Manifest | None:
    """The manifest of a bundle, which this hospital wrote; None where it is gone."""
    try:
        return Manifest.from_bytes(read_plain(folder / MANIFEST, BOUNDS[MANIFEST]))
    except (OSError, BundleError):
        return None


def _answers(cohort: str, split: str, answers: Sequence[Answer]) -> AnswersGiven:
    variances = _variances(answers)
    hours = [answer.at for answer in answers if answer.at is not None]
    all_known = len(hours) == len(answers)
    return AnswersGiven(
        cohort,
        split,
        len({answer.model for answer in answers}),
        len({answer.model for answer in answers if not answer.tied}),
        sum(2 * (len(answer.counts) + 2) for answer in answers),
        len(answers) - len(variances),
        len(variances),
        epsilon_of(variances) if variances else None,
        min(hours, default=None) if all_known else None,
        max(hours, default=None),
    )


def _split(answer: Answer) -> str:
    return "validation" if answer.epsilon is None else "test"


def _variances(answers: Iterable[Answer]) -> list[float]:
    return [answer.noise_variance for answer in answers if answer.noise_variance is not None]
