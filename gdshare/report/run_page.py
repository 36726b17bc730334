"""The page of a run: the images, what they teach, and what attacks found."""

import io
import json
from pathlib import Path
from shlex import quote

from PIL import Image

from gdshare.audit.record import read_audit
from gdshare.bundle.guarantee import Guarantee
from gdshare.distill.run_folder import METRICS, read_record, read_result
from gdshare.distill.score_record import CHANCE, read_score
from gdshare.errors import RunError
from gdshare.method import RunRecord
from gdshare.plain_files import MAX_TABLE, read_plain
from gdshare.release.guarantee import guarantee_of
from gdshare.report.curves import Training, training_picture
from gdshare.report.page import Page, Picture, Section, Table
from gdshare.report.preview import render_preview
from gdshare.report.sections import Shared, attacks_section

SCORED = (
    "The score is the mean over classes, on validation patients, by whom the images were chosen: "
    "it flatters. This page never leaves the hospital: its counts are exact."
)


def _guaranteed(guarantee: Guarantee) -> str:
    return (
        f"{guarantee.text}. The score is the mean over classes, on surrogates drawn from the noisy "
        "statistic, not on patients. The counts are noisy. Figures of attacks are outside the "
        "guarantee: this page never leaves the hospital."
    )


def run_page(folder: Path) -> Page:
    """The page of a finished run.

    Args:
        folder: of ``gdshare distill``.

    Raises:
        RunError: not finished, or a part of it is damaged.
    """
    record, distilled = read_record(folder), read_result(folder)
    score, training = read_score(folder, distilled), read_training(folder, "this run")
    audit = read_audit(folder, distilled)
    guarantee = guarantee_of(folder, record)
    shared = Shared(folder.name, distilled, audit.attacks if audit else ())
    counts = record.counts
    patients = counts.patients_negative + counts.patients_positive
    patches = counts.patches_i + counts.patches_n + counts.patches_p
    better = "no better than guessing" if score.at_chance else "better than guessing"
    about = "" if guarantee is None else "about "
    tested = "patches" if guarantee is None else "surrogates (not patches)"
    return Page(
        f"A run of gdshare distill: {folder.name}",
        f"{len(distilled.images)} images, distilled from {about}{patches:,} patches of {about}"
        f"{patients} patients, teach a network to call {score.score:.0%} of {tested} right, "
        f"{better} ({CHANCE:.0%}).",
        Picture.photographed(
            Image.open(io.BytesIO(render_preview(distilled))),
            "The distilled images with their soft labels and the learning rate",
            "All that a bundle would hold of the films.",
        ),
        (SCORED if guarantee is None else _guaranteed(guarantee),),
        (
            Section(
                "How they were trained",
                pictures=(training_picture([training]),),
            ),
            attacks_section([shared], audit.blind if audit else ()),
            _provenance(folder, record),
        ),
    )


def read_training(run: Path, name: str) -> Training:
    """The scores of a run while it was trained.

    Raises:
        RunError: its log cannot be read.
    """
    path = run / METRICS
    try:
        lines = [json.loads(line) for line in read_plain(path, MAX_TABLE).splitlines()]
        scored = [(int(own["step"]), float(own["score"])) for own in lines if "score" in own]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"cannot be read ({error})", path, "distil again") from error
    if not scored:
        raise RunError("has no score of any step", path, "go on with gdshare distill --resume")
    return Training(name, [step for step, _ in scored], [score for _, score in scored])


def _provenance(folder: Path, record: RunRecord) -> Section:
    settings = record.settings.model_dump(mode="json", exclude={"seed"})
    rows = tuple((name, str(value)) for name, value in sorted(settings.items()))
    protocol = record.protocol.model_dump(mode="json")
    cut = tuple((name, str(value)) for name, value in sorted(protocol.items()))
    columns = ("option", "value")
    return Section(
        "Where this comes from",
        (f"The cohort's SHA-256: {record.cohort_sha256}. The seed is in the run's folder alone.",),
        tables=(Table("The protocol", columns, cut), Table("The distillation", columns, rows)),
        commands=(
            f"gdshare audit {quote(str(folder))} COHORT",
            f"gdshare prepare {quote(str(folder))} --out prepared --outbox outbox --site SITE",
        ),
    )
