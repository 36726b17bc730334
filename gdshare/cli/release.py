"""``gdshare prepare``, ``approve`` and ``release``: the steps by which a bundle leaves."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from gdshare.bundle import verify_files, verify_folder
from gdshare.cli.measured_score import AtChance, ScoredOn, measured_score
from gdshare.cli.operator import operator_name
from gdshare.cli.passphrase import PASSPHRASE_FILE, read_passphrase
from gdshare.cli.terminal import DryRun
from gdshare.cli.typed_digest import LEAST_DIGITS, require_match
from gdshare.errors import UsageError
from gdshare.ledger import in_one_line, open_ledger
from gdshare.release import (
    Policy,
    prepared_from,
    read_policy,
    read_prepared,
    require_allowed,
    require_approver,
    sign_prepared,
)
from gdshare.release import approve as sign_approval
from gdshare.release import prepare as write_prepared
from gdshare.release.describe import describe
from gdshare.release.policy import by_policy, require_not_lost
from gdshare.release.prepared import PAGE, Pages
from gdshare.release.publish import ledger_beside, require_ledger, require_unused
from gdshare.release.publish import release as release_bundle
from gdshare.release.rules import AT_CHANCE, findings, require_better_than_chance
from gdshare.release.sign import APPROVE, PREPARE
from gdshare.report.preview import render_preview
from gdshare.report.release_page import release_pages
from gdshare.signing import fingerprint, load_private_key

Prepared = Annotated[Path, typer.Argument(help="The folder written by gdshare prepare.")]
Outbox = Annotated[
    Path,
    typer.Option(
        help="Folder from which the node hands bundles over. The hospital's policy is "
        "OUTBOX-policy.toml beside it; default policy: at most 30 images, at least 5 patients per "
        "class, at most 730 days, no approvals."
    ),
]
Recipients = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="A recipient who may use it. Repeatable. Default: all in the policy.",
    ),
]
By = Annotated[
    str | None, typer.Option(help="Your name for the ledger. Default: this computer's user.")
]


def prepare(
    run: Annotated[Path, typer.Argument(help="A finished run of gdshare distill.")],
    out: Annotated[Path, typer.Option(help="Folder to create for the review.")],
    outbox: Outbox,
    site: Annotated[str, typer.Option(help="The hospital's short name, visible to the others.")],
    expires_days: Annotated[
        int, typer.Option(min=1, max=3650, help="Days until the bundle expires.")
    ] = 365,
    to: Recipients = None,
    cohort: ScoredOn = None,
    by: By = None,
    dry_run: DryRun = False,
) -> None:
    """Show what would leave, every file, picture and number, and check it against the policy.

    Nothing is signed and nothing leaves. Open review.html in a browser, or read review.txt.
    """
    policy, now, operator = read_policy(outbox), datetime.now(UTC), operator_name(by)
    if out.exists():
        raise UsageError("already exists", out, "choose another --out, or remove it")
    score = measured_score(run, cohort)  # before anything is written beside the outbox
    with open_ledger(ledger_beside(outbox)) as ledger:
        manifest, distilled = describe(
            run,
            outbox,
            policy,
            ledger,
            site=site,
            recipients=to or (),
            now=now,
            lifetime=timedelta(days=expires_days),
        )
        bundle = prepared_from(out, manifest, distilled, score, render_preview)
        if dry_run:
            typer.echo(f"would prepare  {manifest.name}")
        else:
            ledger.write(now, PREPARE, operator, manifest.name, bundle.digest, by_policy(policy))
            write_prepared(bundle, _pages(policy))
            typer.echo(f"prepared  {out}")
            typer.echo(f"look at   {out / PAGE}")
            typer.echo(f"digest    {bundle.digest}")
            typer.echo(f"teaches   {score.text}")
    if score.at_chance:
        typer.echo("AT CHANCE no better than guessing: not released without --at-chance")
    for finding in findings(policy, manifest):
        if not finding.passed:
            typer.echo(f"NOT kept  {finding.what}: {finding.actual}, {finding.required}")


def approve(
    prepared: Prepared,
    key: Annotated[Path, typer.Option(help="Your own private key, NAME.key.")],
    outbox: Outbox,
    digest: Annotated[
        str,
        typer.Option(
            help=f"The digest of all from review.html, at least its first {LEAST_DIGITS} digits; "
            "shows that you looked at what you sign."
        ),
    ],
    by: By = None,
    dry_run: DryRun = False,
    passphrase_file: Path | None = PASSPHRASE_FILE,
) -> None:
    """Approve exactly this content: sign its digest and the policy.

    Look at review.html first. Page, preview and datasheet are regenerated from the numbers and
    compared. If one byte of the content or the policy changes later, the approval is void.
    """
    require_ledger(outbox)
    policy, now, operator = read_policy(outbox), datetime.now(UTC), operator_name(by)
    bundle = read_prepared(prepared, render_preview, _pages(policy))
    name = bundle.manifest.name
    require_match(
        bundle.digest, digest, "--digest", "look at review.html, which shows it at the top"
    )
    require_allowed(policy, bundle.manifest)
    signing_key = load_private_key(key, read_passphrase(passphrase_file, confirm=False))
    require_approver(policy, signing_key.public_key())
    with open_ledger(ledger_beside(outbox)) as ledger:
        require_not_lost(outbox, ledger.entries)
        if dry_run:
            typer.echo(f"would approve  {name}  {bundle.digest}")
            return
        ledger.write(now, APPROVE, operator, name, bundle.digest, by_policy(policy))
        path = sign_approval(bundle, policy, operator, signing_key)
    typer.echo(f"approved  {name}")
    typer.echo(f"digest    {bundle.digest}")
    typer.echo(f"signed    {path}")


def release(
    prepared: Prepared,
    key: Annotated[Path, typer.Option(help="The hospital's private key, NAME.key.")],
    outbox: Outbox,
    at_chance: AtChance = False,
    by: By = None,
    dry_run: DryRun = False,
    passphrase_file: Path | None = PASSPHRASE_FILE,
) -> None:
    """Sign what was prepared and approved, and put it into the outbox, from where it may leave.

    Everything is regenerated and compared, then checked against the policy and the approvals. The
    signer does not count as an approver.
    """
    require_ledger(outbox)
    policy, now, operator = read_policy(outbox), datetime.now(UTC), operator_name(by)
    reviewed = read_prepared(prepared, render_preview, _pages(policy))
    require_better_than_chance(reviewed.score, reviewed.manifest.name, at_chance)
    signing_key = load_private_key(key, read_passphrase(passphrase_file, confirm=False))
    with open_ledger(ledger_beside(outbox)) as ledger:
        require_not_lost(outbox, ledger.entries)
        files, approvals = sign_prepared(reviewed, policy, signing_key, ledger.entries)
        bundle = verify_files(files, signing_key.public_key(), now, reviewed.manifest.site)
        if dry_run:
            require_unused(bundle, outbox, ledger)
            typer.echo(f"would release  {bundle.manifest.name}  {bundle.digest}")
            return
        approvers = "".join(f", approved by {approval.fingerprint}" for approval in approvals)
        despite = f", {AT_CHANCE}" if reviewed.score.at_chance else ""
        why = in_one_line(f"{by_policy(policy)}{despite}{approvers}")
        folder = release_bundle(bundle, files, outbox, ledger, operator, now, why)
    bundle = verify_folder(folder, signing_key.public_key(), now)
    typer.echo(f"bundle       {folder}")
    typer.echo(f"digest       {bundle.digest}")
    typer.echo(f"signed with  {fingerprint(signing_key.public_key())}")


def _pages(policy: Policy) -> Pages:
    return lambda prepared: release_pages(prepared, policy)


def register(app: typer.Typer) -> None:
    """Add the three commands to the app."""
    app.command()(prepare)
    app.command()(approve)
    app.command()(release)
