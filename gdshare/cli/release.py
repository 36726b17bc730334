"""``gdshare prepare``, ``approve`` and ``release``: the steps by which a bundle leaves."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from gdshare.audit.nearest_patches import read_nearest
from gdshare.bundle import verify_files, verify_folder
from gdshare.cli.approval_page import LOOK, look_and_type, pages_for
from gdshare.cli.exit_status import REFUSED
from gdshare.cli.measured_score import AtChance, ScoredOn, measured_score
from gdshare.cli.operator import operator_name
from gdshare.cli.passphrase import PASSPHRASE_FILE, read_passphrase
from gdshare.cli.terminal import (
    AsJson,
    DryRun,
    print_facts,
    print_line,
)
from gdshare.cli.typed_digest import LEAST_DIGITS, require_match
from gdshare.config import variable
from gdshare.distill.score_record import ScoreRecord, require_about
from gdshare.errors import UsageError
from gdshare.ledger import in_one_line
from gdshare.next_steps import Command, commands
from gdshare.release import (
    Policy,
    prepared_from,
    read_prepared,
    require_allowed,
    require_approver,
    sign_prepared,
)
from gdshare.release import approve as sign_approval
from gdshare.release import prepare as write_prepared
from gdshare.release.consent import require_consent
from gdshare.release.describe import describe
from gdshare.release.locked_outbox import open_outbox, require_owner
from gdshare.release.override import read_overrides, sign_override, write_override
from gdshare.release.own_key import require_own_key, signed_with
from gdshare.release.policy import by_policy
from gdshare.release.prepared import PAGE, read_signed_audit
from gdshare.release.publish import release as release_bundle
from gdshare.release.publish import require_ledger, require_unused
from gdshare.release.rules import AT_CHANCE, findings, require_better_than_chance
from gdshare.release.sign import APPROVE, OVERRIDE, PREPARE
from gdshare.report.preview import render_preview
from gdshare.signing import fingerprint, load_private_key

Prepared = Annotated[
    Path, typer.Argument(envvar=variable("prepared"), help="The folder written by gdshare prepare.")
]
Outbox = Annotated[
    Path,
    typer.Option(
        envvar=variable("outbox"),
        help="Folder from which the node hands bundles over. The hospital's policy is "
        "OUTBOX-policy.toml beside it; default policy: at most 30 images, at least 5 patients per "
        "class, at most 730 days, no approvals.",
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
AnotherKey = Annotated[
    bool,
    typer.Option(
        "--another-key",
        help="Allow another of the hospital's keys than the one that released before, such as its "
        "successor. The aggregator must trust that key.",
    ),
]


def prepare(
    run: Annotated[
        Path, typer.Argument(envvar=variable("run"), help="A finished run of gdshare distill.")
    ],
    out: Annotated[
        Path, typer.Option(envvar=variable("prepared"), help="Folder to create for the review.")
    ],
    outbox: Outbox,
    site: Annotated[
        str,
        typer.Option(
            envvar=variable("site"), help="The hospital's short name, visible to the others."
        ),
    ],
    expires_days: Annotated[
        int, typer.Option(min=1, max=3650, help="Days until the bundle expires.")
    ] = 365,
    to: Recipients = None,
    cohort: ScoredOn = None,
    by: By = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Show what would leave, every file, picture and number, and check it against the policy.

    Nothing is signed and nothing leaves. Open review.html in a browser, or read review.txt. If a
    rule of the policy is broken, the exit status is 3.
    """
    if out.exists():
        raise UsageError("already exists", out, "choose another --out, or remove it")
    score = measured_score(run, cohort)  # before anything is written beside the outbox
    with open_outbox(outbox) as desk:
        now, policy = datetime.now(UTC), desk.policy
        manifest, distilled = describe(
            run,
            desk,
            site=site,
            recipients=to or (),
            now=now,
            lifetime=timedelta(days=expires_days),
        )
        require_about(score, distilled, run)
        nearest = read_nearest(run, distilled)
        # With a guarantee, no figure of the audit leaves that its signature could stand for.
        audit = read_signed_audit(run, distilled) if manifest.attacks else None
        bundle = prepared_from(out, manifest, distilled, score, nearest, render_preview, audit)
        if not dry_run:
            why = by_policy(policy)
            desk.ledger.write(now, PREPARE, operator_name(by), manifest.name, bundle.digest, why)
            write_prepared(bundle, pages_for(policy))
    broken = [
        f"{finding.what}: {finding.actual}, {finding.required}"
        for finding in findings(policy, manifest)
        if not finding.passed
    ]
    if dry_run:
        facts: dict[str, object] = {"would prepare": manifest.name}
    else:
        facts = {"prepared": out, "look at": out / PAGE, "digest": bundle.digest}
        facts["teaches"] = score.text
        if manifest.privacy is not None:
            facts["guarantee"] = manifest.privacy.text
    if as_json:
        facts |= {"at chance": score.at_chance, "not kept": broken}
    print_facts(facts, as_json, None if broken or dry_run else _go_on(policy, out, outbox))
    if not as_json:
        _warn_of(score, broken)
    if broken:
        raise typer.Exit(REFUSED)


def _go_on(policy: Policy, prepared: Path, outbox: Path) -> Command:
    """The officer's command where the policy asks for approvals, else the signer's."""
    following = commands.approve if policy.release.approvals else commands.release
    return following(prepared, outbox)


def _warn_of(score: ScoreRecord, broken: list[str]) -> None:
    if score.at_chance:
        print_line("AT CHANCE no better than guessing: not released without --at-chance")
    for finding in broken:
        print_line(f"NOT kept  {finding}")


def approve(
    prepared: Prepared,
    key: Annotated[
        Path, typer.Option(envvar=variable("approver-key"), help="Your own private key, NAME.key.")
    ],
    outbox: Outbox,
    digest: Annotated[
        str | None,
        typer.Option(
            help=f"The digest of all from review.html, at least its first {LEAST_DIGITS} digits; "
            "shows that you looked at what you sign. Or look at it with --serve."
        ),
    ] = None,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve",
            help="Show review.html on a page of this machine, and have the digest typed there. The "
            "passphrase is asked for here, afterwards.",
        ),
    ] = False,
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, help="Port of --serve on 127.0.0.1. Default: any free port."
        ),
    ] = 0,
    despite: Annotated[
        str | None,
        typer.Option(
            metavar="WHY",
            help="Approve although an attack finds more than the policy's bound allows, for this "
            "reason: you sign the bounds and their figures, and the ledger has it.",
        ),
    ] = None,
    by: By = None,
    dry_run: DryRun = False,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    as_json: AsJson = False,
) -> None:
    """Approve exactly this content: sign its digest and the policy.

    Look at review.html first. Page, preview and datasheet are regenerated from the numbers and
    compared. If one byte of the content or the policy changes later, the approval is void.
    """
    require_ledger(outbox)
    looked_at = None
    if serve:
        if digest is not None:
            raise UsageError("is typed on the page", "--digest with --serve", "leave one out")
        looked_at = look_and_type(prepared, outbox, port, despite is not None)
        digest = looked_at.digest
    elif digest is None:
        raise UsageError("is missing", "--digest", f"{LOOK}, or look at it with --serve")
    signing_key = load_private_key(key, read_passphrase(passphrase_file, confirm=False))
    with open_outbox(outbox) as desk:
        policy, entries = desk.policy, desk.ledger.entries
        if looked_at is not None:
            looked_at.require_same(policy)
        bundle = read_prepared(prepared, render_preview, pages_for(policy))
        name = bundle.manifest.name
        require_owner(outbox, entries, bundle.manifest.site)
        require_match(bundle.digest, digest, "--digest", LOOK)
        now, operator = datetime.now(UTC), operator_name(by)
        overrides = read_overrides(bundle, policy)
        require_allowed(policy, bundle.manifest, despite is not None or bool(overrides))
        require_consent(bundle.manifest, entries)
        require_approver(policy, signing_key.public_key())
        overriding = None
        if despite is not None:
            overriding = sign_override(bundle, policy, operator, despite, signing_key)
        earlier: dict[str, object] = {}
        if overrides:
            earlier["overridden before"] = "; ".join(
                f"{part.by}: {part.text}" for part in overrides
            )
        if dry_run:
            print_facts({"would approve": name, "digest": bundle.digest, **earlier}, as_json)
            return
        if overriding is not None:
            why = in_one_line(overriding[0].text)
            desk.ledger.write(now, OVERRIDE, operator, name, bundle.digest, why)
            write_override(bundle, *overriding)
        desk.ledger.write(now, APPROVE, operator, name, bundle.digest, by_policy(policy))
        path = sign_approval(bundle, policy, operator, signing_key)
    facts = {"approved": name, "digest": bundle.digest, "signed": path, **earlier}
    if overriding is not None:
        facts["overridden"] = "; ".join(overriding[0].bounds)
    print_facts(facts, as_json, commands.release(prepared, outbox))


def release(
    prepared: Prepared,
    key: Annotated[
        Path, typer.Option(envvar=variable("key"), help="The hospital's private key, NAME.key.")
    ],
    outbox: Outbox,
    at_chance: AtChance = False,
    by: By = None,
    another_key: AnotherKey = False,
    dry_run: DryRun = False,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    as_json: AsJson = False,
) -> None:
    """Sign what was prepared and approved, and put it into the outbox, from where it may leave.

    Everything is regenerated and compared, then checked against the policy and the approvals. The
    signer does not count as an approver.
    """
    require_ledger(outbox)
    signing_key = load_private_key(key, read_passphrase(passphrase_file, confirm=False))
    signer = fingerprint(signing_key.public_key())
    with open_outbox(outbox) as desk:
        policy, ledger, now = desk.policy, desk.ledger, datetime.now(UTC)
        reviewed = read_prepared(prepared, render_preview, pages_for(policy))
        site = reviewed.manifest.site
        require_better_than_chance(reviewed.score, reviewed.manifest.name, at_chance)
        require_owner(outbox, ledger.entries, site)
        require_own_key(outbox, ledger.entries, key, signer, site, another_key)
        files, approvals = sign_prepared(reviewed, policy, signing_key, ledger.entries)
        bundle = verify_files(files, signing_key.public_key(), now, site)
        if dry_run:
            require_unused(bundle, outbox, ledger)
            facts = {"would release": bundle.manifest.name, "digest": bundle.digest}
            print_facts(facts, as_json)
            return
        approvers = "".join(f", approved by {approval.fingerprint}" for approval in approvals)
        despite = f", {AT_CHANCE}" if reviewed.score.at_chance else ""
        why = in_one_line(f"{by_policy(policy)}{despite}, {signed_with(signer)}{approvers}")
        folder = release_bundle(bundle, files, outbox, ledger, operator_name(by), now, why)
    bundle = verify_folder(folder, signing_key.public_key(), now)
    print_facts(
        {"bundle": folder, "digest": bundle.digest, "signed with": signer},
        as_json,
        commands.serve_node(),
    )


def register(app: typer.Typer) -> None:
    """Add the three commands to the app."""
    app.command()(prepare)
    app.command()(approve)
    app.command()(release)
