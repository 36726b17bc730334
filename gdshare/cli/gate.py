"""``gdshare prepare``, ``approve`` and ``release``: the three acts by which a bundle leaves."""

import getpass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from gdshare.bundle import (
    describe_run,
    fingerprint,
    load_private_key,
    verify_files,
    verify_folder,
)
from gdshare.cli.passphrase import PASSPHRASE_FILE, read_passphrase
from gdshare.cli.publish import fitting
from gdshare.distill.folder import read_record, read_result
from gdshare.gate import approve as sign_approval
from gdshare.gate import prepare as lay_out
from gdshare.gate import read_policy, read_prepared, require_allowed, sign_prepared
from gdshare.gate.policy import by_policy, findings, terms_of
from gdshare.gate.prepared import PAGE
from gdshare.ledger import open_ledger
from gdshare.release import ledger_beside, next_number
from gdshare.release import release as let_out
from gdshare.report.preview import render_preview
from gdshare.report.release_page import release_pages

PREPARE, APPROVE = "prepare", "approve"

Prepared = Annotated[Path, typer.Argument(help="The folder that gdshare prepare made.")]
Outbox = Annotated[
    Path,
    typer.Option(
        help="Folder from which bundles are handed over. OUTBOX-policy.toml beside it is the "
        "hospital's policy; without that file: 30 images, 5 patients a class, 730 days, no "
        "approvals."
    ),
]
Recipients = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Who may use it; may be given several times. Without it: all that the policy names.",
    ),
]
LedgerFile = Annotated[
    Path | None,
    typer.Option("--ledger", help="The ledger. Without it: OUTBOX-ledger.jsonl, by the outbox."),
]
By = Annotated[
    str | None, typer.Option(help="Who does it, for the ledger. Without it: this computer's user.")
]


def prepare(
    run: Annotated[Path, typer.Argument(help="A finished run, made by `gdshare distill`.")],
    out: Annotated[Path, typer.Option(help="Folder to make, for people to look at.")],
    outbox: Outbox,
    site: Annotated[str, typer.Option(help="The hospital's short name, told to the others.")],
    expires_days: Annotated[
        int, typer.Option(min=1, max=3650, help="Days after which nobody may use the bundle.")
    ] = 365,
    to: Recipients = None,
    ledger: LedgerFile = None,
    by: By = None,
) -> None:
    """Lay out what would leave, every file, picture and number, and what the policy says of it.

    Nothing is signed and nothing leaves. Open review.html in a browser, or read review.txt.
    """
    rules, now = read_policy(outbox), datetime.now(UTC)
    record = read_record(run)
    with open_ledger(ledger or ledger_beside(outbox)) as book:
        manifest = describe_run(
            record,
            site=site,
            sequence=next_number(outbox, book, site),
            now=now,
            lifetime=timedelta(days=expires_days),
            terms=terms_of(rules, to or ()),
        )
        distilled = fitting(read_result(run), manifest, run)
        made = lay_out(
            out, manifest, distilled, render_preview, lambda what: release_pages(what, rules)
        )
        book.write(
            now, PREPARE, by or getpass.getuser(), manifest.name, made.digest, by_policy(rules)
        )
    typer.echo(f"prepared  {out}")
    typer.echo(f"look at   {out / PAGE}")
    typer.echo(f"digest    {made.digest}")
    for one in findings(rules, manifest):
        if not one.passed:
            typer.echo(f"NOT kept  {one.what}: {one.found}, {one.wanted}")


def approve(
    prepared: Prepared,
    key: Annotated[Path, typer.Option(help="The approver's own private key, NAME.key.")],
    outbox: Outbox,
    ledger: LedgerFile = None,
    by: By = None,
    passphrase_file: Path | None = PASSPHRASE_FILE,
) -> None:
    """Agree that exactly this may leave: a signature on its digest and on the policy.

    Look at review.html first. Picture and text are drawn anew from the numbers and compared; one
    changed byte afterwards, in the content or in the policy, and the approval is worth nothing.
    """
    rules, now, who = read_policy(outbox), datetime.now(UTC), by or getpass.getuser()
    what = read_prepared(prepared, render_preview)
    require_allowed(rules, what.manifest)
    secret = load_private_key(key, read_passphrase(passphrase_file, confirm=False))
    with open_ledger(ledger or ledger_beside(outbox)) as book:
        path = sign_approval(what, rules, who, secret)
        book.write(now, APPROVE, who, what.manifest.name, what.digest, by_policy(rules))
    typer.echo(f"approved  {what.manifest.name}")
    typer.echo(f"digest    {what.digest}")
    typer.echo(f"signed    {path}")


def release(
    prepared: Prepared,
    key: Annotated[Path, typer.Option(help="The hospital's private key, NAME.key.")],
    outbox: Outbox,
    ledger: LedgerFile = None,
    by: By = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, sign and release nothing.")
    ] = False,
    passphrase_file: Path | None = PASSPHRASE_FILE,
) -> None:
    """Sign what was prepared and approved, and put it into the outbox, from where it may leave.

    Everything is drawn anew and compared, and held to the policy and its approvals. The one who
    signs here does not count as an approver.
    """
    rules, now = read_policy(outbox), datetime.now(UTC)
    what = read_prepared(prepared, render_preview)
    secret = load_private_key(key, read_passphrase(passphrase_file, confirm=False))
    with open_ledger(ledger or ledger_beside(outbox)) as book:
        files = sign_prepared(what, rules, secret, render_preview)
        made = verify_files(files, secret.public_key(), now, what.manifest.site)
        if dry_run:
            typer.echo(f"would release  {what.manifest.name}  {made.digest}")
            return
        folder = let_out(made, files, outbox, book, by or getpass.getuser(), now, by_policy(rules))
    bundle = verify_folder(folder, secret.public_key(), now)
    typer.echo(f"bundle       {folder}")
    typer.echo(f"digest       {bundle.digest}")
    typer.echo(f"signed with  {fingerprint(secret.public_key())}")


def register(app: typer.Typer) -> None:
    """Add the three commands to the app."""
    app.command()(prepare)
    app.command()(approve)
    app.command()(release)
