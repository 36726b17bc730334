"""Distilling a cohort into a run's folder, and reading runs and saved images."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from gdshare.bundle.counts import SUPPRESS_BELOW, published_counts
from gdshare.bundle.layout import SIGNATURE
from gdshare.distill.run_folder import PREVIEW, read_record, read_result
from gdshare.distill.run_folder import RECORD as RUN
from gdshare.distill.score_record import read_score
from gdshare.errors import RunError, UsageError
from gdshare.library.images import RECORD, DistilledImages, ImagesRecord
from gdshare.method import Settings
from gdshare.plain_files import MAX_RECORD, read_plain
from gdshare.protocol import CLASSES
from gdshare.report.preview import render_preview
from gdshare.storage import write_bytes

if TYPE_CHECKING:
    from gdshare.cohort import Cohort


def distil_cohort(
    cohort: "Cohort",
    run: Path,
    *,
    settings: Settings | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DistilledImages:
    """Distil a cohort's training patches, as ``gdshare distill`` does.

    The run can be audited, prepared and released. An interrupted one is continued by
    ``gdshare distill --resume``.

    Args:
        cohort: labelled patches.
        run: a new folder for the run; it stays at the hospital.
        settings: None: the defaults. A seed that is not set is drawn, and nobody can guess it.
        device: torch's name of where to compute.
        progress: called with (training steps done, in all).

    Raises:
        CohortError, RunError, UsageError: see ``gdshare.distill.loop.distill``.
    """
    # torch is loaded here, so that load_images works without it.
    from gdshare.distill.loop import distill  # noqa: PLC0415
    from gdshare.distill.precision import with_precision  # noqa: PLC0415

    chosen = with_precision(with_seed(settings or Settings()), device)
    outcome = distill(
        cohort, run, chosen, device, progress=lambda tick: progress(tick.step, tick.total)
    )
    write_bytes(run / PREVIEW, render_preview(outcome.distilled))
    return load_images(run)


def with_seed(settings: Settings) -> Settings:
    """The same settings, with a seed that nobody can guess if none is set."""
    if "seed" in settings.model_fields_set:
        return settings
    return Settings(**settings.model_dump(exclude_unset=True), seed=secrets.randbits(63))


def load_images(folder: Path) -> DistilledImages:
    """Read a finished run, or what ``DistilledImages.save`` wrote.

    Raises:
        UsageError: the folder holds neither. A bundle is for ``load_bundle``.
        RunError: the run is not finished, or damaged.
    """
    if (folder / RUN).exists():
        return _from_run(folder)
    if (folder / RECORD).exists():
        return _from_record(folder)
    if (folder / SIGNATURE).exists():
        raise UsageError("is a bundle", folder, "read it with load_bundle, which verifies it")
    raise UsageError(
        "holds no distilled images", folder, "give a run's folder, or one that save wrote"
    )


def _from_run(folder: Path) -> DistilledImages:
    record, tensors = read_record(folder), read_result(folder)
    return DistilledImages(
        name=str(folder.resolve()),
        tensors=tensors,
        classes=CLASSES,
        protocol=record.protocol,
        method=record.method,
        initialiser=record.initialiser,
        theta0_sha256=record.theta0_sha256,
        patients=published_counts(record.counts, SUPPRESS_BELOW).patients_at_least,
        score=read_score(folder, tensors).score,
    )


def _from_record(folder: Path) -> DistilledImages:
    path = folder / RECORD
    try:
        record = ImagesRecord.model_validate_json(read_plain(path, MAX_RECORD))
    except (OSError, ValidationError) as error:
        raise RunError("damaged or of another version", path, "distil again") from error
    tensors = read_result(folder)
    if not record.fits(tensors):
        raise RunError("is about other images", path, "distil again")
    values = {name: getattr(record, name) for name in ImagesRecord.COPIED}
    return DistilledImages(tensors=tensors, **values)
