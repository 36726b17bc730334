"""One hospital's part: label, distil, sign, release."""

import secrets
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from aggregator.trial.plan import Hospital, Stage, Trial
from gdshare.bundle import build_files, describe_run, published, verify_files, verify_folder
from gdshare.cohort import Cohort, label_cohort, open_cohort
from gdshare.distill.folder import PREVIEW, RECORD, read_record, read_result, seconds_of
from gdshare.distill.loop import distill
from gdshare.distill.precision import with_precision
from gdshare.ledger import open_ledger
from gdshare.method import Settings
from gdshare.pooling import Contribution, contribution_from
from gdshare.release.publish import ledger_beside, next_number
from gdshare.release.publish import release as release_bundle
from gdshare.report.preview import render_preview
from gdshare.signing import load_private_key, load_public_key, write_key_pair
from gdshare.storage import write_bytes

LIFETIME = timedelta(days=365)


@dataclass(frozen=True)
class Released:
    """What a hospital has in its outbox.

    Attributes:
        name: of the hospital.
        cohort: its films; an aggregator never sees them.
        outbox: the folder its node serves.
        bundle: the bundle's folder.
        digest: of its files, as the signature has it.
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
    stage: Stage,
) -> Released:
    """Do a hospital's whole part, skipping what an earlier attempt finished.

    Args:
        hospital: whose part.
        place: its place in the trial's list, added to the seed.
        folder: the hospital's own.
        trust: where its public key goes.
        trial: the plan.
        now: time of signing.
        stage: told what happens.
    """
    cohort = _labelled(hospital, folder / "cohort", trial, stage)
    settings = with_precision(site_settings(trial.settings, place), "cpu")
    run = folder / "run"

    stage.tell(f"{hospital.name}: distilling to {settings.images} images")
    outcome = distill(
        cohort,
        run,
        settings,
        resume=(run / RECORD).exists(),
        progress=lambda tick: stage.show(f"{hospital.name}: distilling", tick.step, tick.total),
    )
    write_bytes(run / PREVIEW, render_preview(outcome.distilled))
    stage.tell(
        f"{hospital.name}: patch score {outcome.score.mean:.3f} on validation patients "
        f"(guessing is 0.333)"
    )
    public = trust / f"{hospital.name}.pub"
    outbox = folder / "outbox"
    if not (public.exists() and published(outbox)):
        _sign(hospital.name, run, outbox, trust, now)
    bundle = published(outbox)[-1]
    verified = verify_folder(bundle, load_public_key(public), now)
    manifest = verified.manifest
    return Released(
        hospital.name,
        cohort,
        outbox,
        bundle,
        verified.digest,
        contribution_from(
            hospital.name, verified.distilled, manifest, manifest.counts.patients_at_least
        ),
        sum(path.stat().st_size for path in bundle.iterdir()),
        outcome.score.mean,
        outcome.score.deviation,
        seconds_of(run),
    )


def site_settings(settings: Settings, place: int) -> Settings:
    """A hospital's own settings: the trial's, with its place in the list added to the seed."""
    return settings.model_copy(update={"seed": settings.seed + place})


def _labelled(hospital: Hospital, folder: Path, trial: Trial, stage: Stage) -> Cohort:
    if not folder.exists():
        stage.tell(f"{hospital.name}: cutting and labelling patches")
        label_cohort(
            hospital.table,
            folder,
            trial.protocol,
            trial.split,
            trial.settings.seed,
            lambda done, total: stage.show(f"{hospital.name}: labelling", done, total),
        )
    cohort = open_cohort(folder)
    trial.protocol.require_same(cohort.protocol, f"cohort {folder}")
    return cohort


def _sign(name: str, run: Path, outbox: Path, trust: Path, now: datetime) -> None:
    """Make a key pair, sign with it, keep its public half only: nobody signs for a trial again."""
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
        made = verify_files(files, key.public_key(), now, name)
        release_bundle(made, files, outbox, ledger, "trial", now)
