"""``gdshare prepare``, ``approve`` and ``release``: the steps by which a bundle leaves."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from gdshare.audit import read_attacks
from gdshare.bundle import describe_run, verify_files, verify_folder
from gdshare.cli.operator import operator_name
from gdshare.cli.passphrase import PASSPHRASE_FILE, read_passphrase
from gdshare.cli.publish import require_fitting
from gdshare.cli.terminal import DryRun
from gdshare.cli.typed_digest import LEAST_DIGITS, require_match
from gdshare.distill.folder import read_record, read_result
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
from gdshare.release import prepare as lay_out
from gdshare.release.policy import by_policy, require_not_lost, terms_of
from gdshare.release.prepared import PAGE, Pages
from gdshare.release.publish import ledger_beside, next_number, require_unused
from gdshare.release.publish import release as let_out
from gdshare.release.rules import findings
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
    by: By = None,
    dry_run: DryRun = False,
) -> None:
    """Show what would leave, every file, picture and number, and check it against the policy.

    Nothing is signed and nothing leaves. Open review.html in a browser, or read review.txt.
    """
    rules, now, who = read_policy(outbox), datetime.now(UTC), operator_name(by)
    record, distilled = read_record(run), read_result(run)
    if out.exists():
        raise UsageError("is there already", out, "choose another --out, or remove it")
    with open_ledger(ledger_beside(outbox)) as book:
        require_not_lost(outbox, book.entries)
        manifest = describe_run(
            record,
            site=site,
            sequence=next_number(outbox, book, site),
            now=now,
            lifetime=timedelta(days=expires_days),
            terms=terms_of(rules, to or ()),
            suppress_below=rules.bundle.suppress_below,
            attacks=read_attacks(run, distilled),
        )
        require_fitting(distilled, manifest, run)
        made = prepared_from(out, manifest, distilled, render_preview)
        if dry_run:
            typer.echo(f"would prepare  {manifest.name}")
        else:
            book.write(now, PREPARE, who, manifest.name, made.digest, by_policy(rules))
            lay_out(made, _pages(rules))
            typer.echo(f"prepared  {out}")
            typer.echo(f"look at   {out / PAGE}")
            typer.echo(f"digest    {made.digest}")
    for one in findings(rules, manifest):
        if not one.passed:
            typer.echo(f"NOT kept  {one.what}: {one.found}, {one.wanted}")


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
    _require_known(outbox)
    rules, now, who = read_policy(outbox), datetime.now(UTC), operator_name(by)
    what = read_prepared(prepared, render_preview, _pages(rules))
    _require_seen(what.digest, digest)
    require_allowed(rules, what.manifest)
    secret = load_private_key(key, read_passphrase(passphrase_file, confirm=False))
    require_approver(rules, secret.public_key())
    with open_ledger(ledger_beside(outbox)) as book:
        require_not_lost(outbox, book.entries)
        if dry_run:
            typer.echo(f"would approve  {what.manifest.name}  {what.digest}")
            return
        book.write(now, APPROVE, who, what.manifest.name, what.digest, by_policy(rules))
        path = sign_approval(what, rules, who, secret)
    typer.echo(f"approved  {what.manifest.name}")
    typer.echo(f"digest    {what.digest}")
    typer.echo(f"signed    {path}")


def release(
    prepared: Prepared,
    key: Annotated[Path, typer.Option(help="The hospital's private key, NAME.key.")],
    outbox: Outbox,
    by: By = None,
    dry_run: DryRun = False,
    passphrase_file: Path | None = PASSPHRASE_FILE,
) -> None:
    """Sign what was prepared and approved, and put it into the outbox, from where it may leave.

    Everything is regenerated and compared, then checked against the policy and the approvals. The
    signer does not count as an approver.
    """
    _require_known(outbox)
    rules, now, who = read_policy(outbox), datetime.now(UTC), operator_name(by)
    what = read_prepared(prepared, render_preview, _pages(rules))
    secret = load_private_key(key, read_passphrase(passphrase_file, confirm=False))
    with open_ledger(ledger_beside(outbox)) as book:
        require_not_lost(outbox, book.entries)
        files, approvals = sign_prepared(what, rules, secret, book.entries)
        made = verify_files(files, secret.public_key(), now, what.manifest.site)
        if dry_run:
            require_unused(made, outbox, book)
            typer.echo(f"would release  {what.manifest.name}  {made.digest}")
            return
        agreed = "".join(f", approved by {one.fingerprint}" for one in approvals)
        why = in_one_line(f"{by_policy(rules)}{agreed}")
        folder = let_out(made, files, outbox, book, who, now, why)
    bundle = verify_folder(folder, secret.public_key(), now)
    typer.echo(f"bundle       {folder}")
    typer.echo(f"digest       {bundle.digest}")
    typer.echo(f"signed with  {fingerprint(secret.public_key())}")


def _pages(rules: Policy) -> Pages:
    return lambda what: release_pages(what, rules)


def _require_known(outbox: Path) -> None:
    """A mistyped outbox has no policy, by which a page would look forged."""
    if not ledger_beside(outbox).exists():
        raise UsageError("nothing was prepared for this outbox", outbox, "check --outbox")


def _require_seen(known: str, told: str) -> None:
    require_match(known, told, "--digest", "look at review.html, which shows it at the top")


def register(app: typer.Typer) -> None:
    """Add the three commands to the app."""
    app.command()(prepare)
    app.command()(approve)
    app.command()(release)
