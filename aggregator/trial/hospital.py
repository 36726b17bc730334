"""One hospital's part of a trial: label, distil, sign, release."""

import logging
import secrets
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from aggregator.trial.plan import Hospital, Show, Trial
from gdshare.bundle import build_files, describe_run, published, verify_files, verify_folder
from gdshare.cohort import Cohort, label_cohort, open_cohort
from gdshare.contributions import contribution_of
from gdshare.distill.loop import distill
from gdshare.distill.precision import with_precision
from gdshare.distill.run_folder import PREVIEW, RECORD, read_record, read_result, seconds_of
from gdshare.ledger import open_ledger
from gdshare.pooling import Contribution
from gdshare.release.publish import ledger_beside, next_number
from gdshare.release.publish import release as release_bundle
from gdshare.report.preview import render_preview
from gdshare.signing import load_private_key, load_public_key, write_key_pair
from gdshare.storage import write_bytes

LIFETIME = timedelta(days=365)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Participant:
    """A hospital that has done its part.

    Attributes:
        name: of the hospital.
        cohort: its films; an aggregator never sees them.
        outbox: the folder its node serves.
        bundle: the bundle's folder.
        digest: of the bundle.
        contribution: what the bundle brings to a pooled training.
        bundle_bytes: size of all six files.
        patch_score, patch_score_deviation: of the result, on validation patients.
        seconds: spent distilling, over all attempts, by the wall clock.
    """

    name: str
    cohort: Cohort
    outbox: Path
    bundle: Path
    digest: str
    contribution: Contribution
    bundle_bytes: int
    patch_score: float
    patch_score_deviation: float
    seconds: float


def release(
    hospital: Hospital,
    place: int,
    folder: Path,
    trust: Path,
    trial: Trial,
    now: datetime,
    show: Show,
) -> Participant:
    """Do a hospital's whole part, skipping what an earlier attempt finished.

    Args:
        hospital: its name and table.
        place: its place in the trial's list, added to the seed.
        folder: the hospital's own.
        trust: folder for its public key.
        trial: the plan.
        now: time of signing.
        show: shows progress.
    """
    name = hospital.name
    cohort = _labelled_cohort(hospital, folder / "cohort", trial, show)
    seed = trial.settings.seed + place
    settings = with_precision(trial.settings.model_copy(update={"seed": seed}), "cpu")
    run = folder / "run"
    log.info("%s: distilling to %d images", name, settings.images)
    outcome = distill(
        cohort,
        run,
        settings,
        resume=(run / RECORD).exists(),
        progress=lambda tick: show(f"{name}: distilling", tick.step, tick.total),
    )
    write_bytes(run / PREVIEW, render_preview(outcome.distilled))
    log.info(
        "%s: patch score %.3f on validation patients (guessing is 0.333)", name, outcome.score.mean
    )
    public, outbox = trust / f"{name}.pub", folder / "outbox"
    if not (public.exists() and published(outbox)):
        _sign(name, run, outbox, trust, now)
    path = published(outbox)[-1]
    bundle = verify_folder(path, load_public_key(public), now)
    return Participant(
        name=name,
        cohort=cohort,
        outbox=outbox,
        bundle=path,
        digest=bundle.digest,
        contribution=contribution_of(bundle),
        bundle_bytes=sum(file.stat().st_size for file in path.iterdir()),
        patch_score=outcome.score.mean,
        patch_score_deviation=outcome.score.deviation,
        seconds=seconds_of(run),
    )


def _labelled_cohort(hospital: Hospital, folder: Path, trial: Trial, show: Show) -> Cohort:
    if not folder.exists():
        log.info("%s: cutting and labelling patches", hospital.name)
        label_cohort(
            hospital.table,
            folder,
            trial.protocol,
            trial.split,
            trial.settings.seed,
            lambda done, total: show(f"{hospital.name}: labelling", done, total),
        )
    cohort = open_cohort(folder)
    trial.protocol.require_same(cohort.protocol, f"cohort {folder}")
    return cohort


def _sign(name: str, run: Path, outbox: Path, trust: Path, now: datetime) -> None:
    """Sign with a new key pair and keep its public half only: a trial never signs again."""
    record = read_record(run)
    passphrase = secrets.token_hex(16).encode()
    with (
        open_ledger(ledger_beside(outbox)) as ledger,
        tempfile.TemporaryDirectory(prefix="gdshare-keys-") as scratch,
    ):
        number = next_number(outbox, ledger, name)
        manifest = describe_run(record, site=name, sequence=number, now=now, lifetime=LIFETIME)
        private, public = write_key_pair(Path(scratch), name, passphrase)
        distilled, key = read_result(run), load_private_key(private, passphrase)
        files = build_files(manifest, distilled, render_preview(distilled), key)
        trust.mkdir(parents=True, exist_ok=True)
        write_bytes(trust / f"{name}.pub", public.read_bytes())
        bundle = verify_files(files, key.public_key(), now, name)
        release_bundle(bundle, files, outbox, ledger, "trial", now)
