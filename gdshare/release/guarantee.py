"""The guarantee of a run, in the few words and digits of a bundle's manifest, and in the ledger."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from gdshare.bundle import Bundle
from gdshare.bundle.guarantee import Guarantee, delta_stated, epsilon_stated
from gdshare.bundle.manifest import first_problem
from gdshare.distill.run_folder import PRIVACY, is_guarded
from gdshare.distill.score_record import tensors_digest
from gdshare.errors import RunError
from gdshare.ledger import MAX_TEXT, Entry
from gdshare.method import RunRecord
from gdshare.private.record import PrivacyRecord, read_own_privacy

ADJACENCY: Final = "add-or-remove"
_ACCOUNTANT = re.compile(r"dp-accounting (?P<version>[0-9]+(\.[0-9]+){1,3})[^,]{0,40}, PLD")
_SPENT = re.compile(
    r", ε (?P<epsilon>[0-9.e-]{1,12}) δ (?P<delta>[0-9.e-]{1,12}) of (?P<images>[0-9a-f]{16})"
)


@dataclass(frozen=True)
class Spent:
    """What a released bundle has spent, by the ledger.

    Attributes:
        epsilon, delta: of each training patient, as the bundle states them.
        images: first 16 hex digits of its tensors' SHA-256. Bundles with the same ones come of one
            look at the patients, and spend it once.
    """

    epsilon: float
    delta: float
    images: str


def with_spent(why: str, bundle: Bundle) -> str:
    """What the ledger says of a release, and what a bundle with a guarantee has spent."""
    stated = bundle.manifest.privacy
    if stated is None:
        return why
    images = tensors_digest(bundle.distilled)[:16]
    spent = f", ε {stated.epsilon!r} δ {stated.delta!r} of {images}"
    return f"{why[: MAX_TEXT - len(spent)]}{spent}"


def spent_by(release: Entry) -> Spent | None:
    """What a released bundle has spent; None without a guarantee.

    It is known when the bundle itself is gone.

    Args:
        release: the ledger's line of its release.
    """
    match = _SPENT.search(release.why)
    if match is None:
        return None
    return Spent(float(match["epsilon"]), float(match["delta"]), match["images"])


def guarantee_of(run: Path, record: RunRecord) -> Guarantee | None:
    """The guarantee that a bundle of a run may state; None of a run without one.

    Args:
        run: the run's folder.
        record: its ``run.json``.

    Raises:
        RunError: ``privacy.json`` is gone, damaged, or another run's; or says something that a
            bundle cannot.
    """
    if not is_guarded(run, record):
        return None
    try:
        return _stated(read_own_privacy(run, record))
    except ValidationError as error:
        raise RunError(
            f"a bundle cannot state this guarantee: {first_problem(error)}",
            run / PRIVACY,
            "see docs/bundle-format.md for what it may say",
        ) from error


def _stated(record: PrivacyRecord) -> Guarantee:
    """Never less than was spent: figures are rounded up."""
    known = _ACCOUNTANT.fullmatch(record.accountant)
    return Guarantee(
        mechanism=record.mechanism,
        unit=record.unit,
        adjacency=ADJACENCY,
        epsilon=epsilon_stated(record.epsilon_spent),
        delta=delta_stated(record.delta),
        accountant="unknown" if known is None else f"dp-accounting-pld/{known['version']}",
    )
