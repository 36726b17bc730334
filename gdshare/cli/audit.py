"""``gdshare audit``: attack a run's images before they leave the hospital."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import floor
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from gdshare.cli.defaults import typed
from gdshare.cli.exit_status import INTERRUPTED
from gdshare.cli.passphrase import PASSPHRASE_FILE, read_passphrase
from gdshare.cli.terminal import (
    AsJson,
    Device,
    print_json,
    print_line,
    print_next,
    print_table,
    resolve_device,
)
from gdshare.config import variable
from gdshare.errors import UsageError
from gdshare.extras import require_extra
from gdshare.next_steps import commands
from gdshare.progress import progress

if TYPE_CHECKING:
    from gdshare.audit.figures import Result
    from gdshare.audit.identifiers import Leaving, Searched
    from gdshare.audit.record import AuditRecord, Mode

log = logging.getLogger(__name__)

BLIND = "control did not fire"


def audit(
    run: Annotated[
        Path, typer.Argument(envvar=variable("run"), help="A finished run of gdshare distill.")
    ],
    cohort: Annotated[
        Path | None,
        typer.Argument(
            envvar=variable("cohort"), metavar="COHORT", help="The cohort it was distilled from."
        ),
    ] = None,
    cohort_option: Annotated[Path | None, typer.Option("--cohort", hidden=True)] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full/--quick",
            help="Full: 64 shadow distillations, hours, resumed by the same command. Quick: 16, "
            "minutes, where the run trained a last layer alone (scattering, --train head), and "
            "none else.",
        ),
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option(help="Your private key: audit.sig beside audit.json says that you made it."),
    ] = None,
    known: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="CSV",
            help="A table of names and numbers, such as STORE-identities.csv: each cell is sought "
            "in what would leave, beside the cohort's patients, films and folders. Repeatable.",
        ),
    ] = None,
    second: Annotated[
        Path | None,
        typer.Option(
            metavar="COHORT",
            help="A cohort of other films of the same patients, labelled under the same names and "
            "with the same options: can a patient be picked from a line-up by such a film? "
            "Default: their own films, exposed again, which are easier to link.",
        ),
    ] = None,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Attack what would leave: how much do the images reveal about your patients?

    Can training patients be told from test patients, by networks trained on the images, by the
    images themselves, and with the help of distillations with and without each patient? Is one
    picked from a line-up, by another film? Is an image close to a patient's patch? Can a mark
    planted in one patient's windows, in distillations like the run, be read back? Every attack is
    also made on something that leaks, its control: one that finds nothing, and whose control does
    not fire, counts for nothing. Figures, intervals and controls are written to the run's
    audit.json; those that count are included when the run is prepared or published, and can be
    limited by the policy. The training patch nearest to each image is kept beside them, for the
    page of gdshare prepare. A failed attack does not prove that the images reveal nothing.
    """
    require_extra("distill")
    from gdshare.audit import AUDIT
    from gdshare.audit.audit_run import audit_run
    from gdshare.cohort import open_cohort
    from gdshare.distill.run_folder import read_record
    from gdshare.signing.keys import fingerprint, load_private_key

    chosen = cohort_option or cohort
    if chosen is None or (cohort_option and typed("cohort")):
        raise UsageError(
            "give the cohort that the run was distilled from, once",
            remedy=f"gdshare audit {quote(str(run))} COHORT",
        )
    read_record(run)  # of two wrong folders the first is named
    labelled, device_name = open_cohort(chosen), resolve_device(device)
    others = None if second is None else open_cohort(second)
    signing_key = None
    if key is not None:
        signing_key = load_private_key(key, read_passphrase(passphrase_file, confirm=False))
    mode: Mode = "full" if full else "quick"
    try:
        with progress("attacking patients") as report:
            leaving = would_leave(run, tuple(known or ()))
            audited = audit_run(
                *(run, labelled, device_name, report, mode, signing_key, leaving, others)
            )
    except KeyboardInterrupt:
        log.info("stopped; the same command goes on where it was")
        raise typer.Exit(INTERRUPTED) from None
    record, searched = audited.record, audited.searched
    if as_json:
        attacks = [attack.model_dump() for attack in record.attacks]
        return print_json(record.model_dump(mode="json") | {"attacks": attacks})
    print_audit(record)
    if searched is not None:
        print_identifiers(searched)
    print_line(f"written to {run / AUDIT}")
    if signing_key is not None:
        print_line(f"signed with the key {fingerprint(signing_key.public_key())}")
    print_next(commands.prepare(run))
    return None


def print_identifiers(searched: "Searched") -> None:
    """Name the identifiers that were found, on the screen alone: a log file is kept for long."""
    for text, where in searched.found.items():
        print_line(f"WARNING: {text} stands in what would leave: {where}")
    if searched.short:
        print_line(f"identifiers/1: {searched.short} were too short to be sought")


def would_leave(run: Path, tables: tuple[Path, ...]) -> "Leaving":
    """The files that would leave, and those of images that nobody's patients made.

    Args:
        run: a finished run.
        tables: CSV files of names and numbers.

    Raises:
        RunError: the run is not finished, or damaged.
    """
    from gdshare.audit.identifiers import Leaving
    from gdshare.bundle import describe_run
    from gdshare.bundle.build import content_files
    from gdshare.distill.run_folder import read_record, read_result
    from gdshare.distilled import Distilled
    from gdshare.release.guarantee import guarantee_of
    from gdshare.report.preview import render_preview

    record, distilled = read_record(run), read_result(run)
    now, lifetime = datetime.now(UTC), timedelta(days=1)
    manifest = describe_run(
        record,
        site="site",
        sequence=1,
        now=now,
        lifetime=lifetime,
        privacy=guarantee_of(run, record),
    )
    nobodys = Distilled(
        np.zeros_like(distilled.images),
        np.full_like(distilled.labels, 1 / 3),
        np.full_like(distilled.learning_rates, 0.5),
    )
    leaves, ordinary = (
        content_files(manifest, images, render_preview(images)) for images in (distilled, nobodys)
    )
    return Leaving(leaves, ordinary, tables)


def print_audit(record: "AuditRecord") -> None:
    """Every attack with its control, and what is to be known of them."""
    columns = ("attack", "figure", "95% interval", "baseline", "on its control")
    rows = [_row(result) for result in record.results]
    print_table("Higher figures reveal more", columns, rows)
    for line in (*_rates(record), *_lineups(record), *_controls(record), *_remarks(record)):
        print_line(line)


def _row(result: "Result") -> tuple[str, str, str, str, str]:
    attack, control = result.counted, result.control
    leak = (
        f"{control.figure:.3f} ({control.low:.3f} to {control.high:.3f}), baseline "
        f"{control.unrelated:.3f}"
    )
    return (
        attack.name,
        f"{attack.figure:.3f}" if result.counts else BLIND,
        f"{attack.low:.3f} to {attack.high:.3f}" if result.counts else "",
        f"{attack.unrelated:.3f}",
        leak,
    )


def _rates(record: "AuditRecord") -> Iterator[str]:
    """True positives at few false ones, of the attacks that guess who was in."""
    for result in record.results:
        if result.patients is None or not result.counts:
            continue
        found = result.patients
        shares = ", ".join(f"at {own.at:.1%} {own.text}" for own in found.true_positives)
        yield (
            f"{result.attack.name}: share of members recognised where so many others are taken for "
            f"members: {shares}; {found.others} others resolve {found.smallest:.2%}"
        )


def _lineups(record: "AuditRecord") -> Iterator[str]:
    """How large line-ups were, by which films, and where training patients came."""
    for result in record.results:
        if result.lineup is None or not result.counts:
            continue
        found = result.lineup
        films = (
            "their own films, exposed again" if found.film == "exposed-again" else "second films"
        )
        yield (
            f"{result.attack.name}: one training patient among {found.people}, by {films}; "
            f"{found.members} training patients and {found.others} others; median rank "
            f"{found.median_rank:.1f}, {(found.people + 1) / 2:.1f} by guessing"
        )


def _controls(record: "AuditRecord") -> Iterator[str]:
    """What each control was made on, and where it was the second of two."""
    made_on: dict[str, list[str]] = {}
    for result in record.results:
        made_on.setdefault(result.control.what, []).append(result.attack.name)
    for what, names in made_on.items():
        yield f"control of {', '.join(names)}: {what}"
    for result in record.results:
        if result.readback is not None and (first := result.readback.few) is not None:
            yield (
                f"{result.attack.name}: its control is a second one; on sets of five patients all "
                f"of whom carry a canary it found {first.auc:.3f} ({first.low:.3f} to "
                f"{first.high:.3f}), too little"
            )


def _remarks(record: "AuditRecord") -> Iterator[str]:
    if record.one_run is not None:
        own = record.one_run
        shown = floor(100 * own.epsilon) / 100  # a lower bound: rounded up it would be too much
        yield (
            f"{own.right} of {own.guesses} guesses who was in a shadow were right: distillations "
            f"like this one are not ε-differentially private for any ε below {shown:.2f} "
            "(95% confidence, δ = 0)"
        )
    planted = [own.readback.sets for own in record.results if own.readback is not None]
    if planted:
        yield (
            f"reconstruction: sought in {planted[0]} distillations like this one, with canaries "
            "planted in single patients; nothing can be planted in the run itself"
        )
    if not record.random_split:
        yield (
            "the table, not chance, decided who is a training patient: figures may show how the "
            "two kinds of patients differ, and not what the images give away"
        )
    for result in record.results:
        if not result.counts:
            yield f"{result.attack.name}: its {BLIND}, so it says nothing about these images"
        elif not result.control.fired:
            yield (
                f"{result.attack.name}: found something, although its {BLIND}: nobody knows how "
                "much more there is, so its interval ends at 1"
            )
    for untried in record.untried:
        yield f"{untried.name}: not tried; {untried.why}"


def register(app: typer.Typer) -> None:
    """Add ``audit`` to the app."""
    app.command()(audit)
