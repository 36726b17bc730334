"""``gdshare publish``: sign a finished run as a bundle in the outbox."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from gdshare.bundle import build_files, verify_files, verify_folder
from gdshare.cli.measured_score import AtChance, ScoredOn, measured_score
from gdshare.cli.operator import operator_name
from gdshare.cli.passphrase import PASSPHRASE_FILE, read_passphrase
from gdshare.cli.release import AnotherKey
from gdshare.cli.terminal import (
    AsJson,
    DryRun,
    print_facts,
)
from gdshare.config import variable
from gdshare.distill.score_record import require_about
from gdshare.next_steps import commands
from gdshare.release import require_allowed
from gdshare.release.describe import describe
from gdshare.release.locked_outbox import open_outbox
from gdshare.release.own_key import require_own_key, signed_with
from gdshare.release.policy import by_policy, require_one_shot
from gdshare.release.publish import release, require_unused
from gdshare.release.rules import AT_CHANCE, require_better_than_chance
from gdshare.report.preview import render_preview
from gdshare.signing import fingerprint, load_private_key


def publish(
    run: Annotated[
        Path, typer.Argument(envvar=variable("run"), help="A finished run of gdshare distill.")
    ],
    key: Annotated[
        Path, typer.Option(envvar=variable("key"), help="The hospital's private key, NAME.key.")
    ],
    outbox: Annotated[
        Path,
        typer.Option(
            envvar=variable("outbox"),
            help="Folder from which the node hands bundles over. The hospital's policy is "
            "OUTBOX-policy.toml beside it.",
        ),
    ],
    site: Annotated[
        str,
        typer.Option(
            envvar=variable("site"), help="The hospital's short name, visible to the others."
        ),
    ],
    expires_days: Annotated[
        int, typer.Option(min=1, max=3650, help="Days until the bundle expires.")
    ] = 365,
    sequence: Annotated[
        int | None,
        typer.Option(min=1, help="The bundle's number. Default: the outbox's next."),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A recipient who may use it. Repeatable. Default: all in the policy.",
        ),
    ] = None,
    cohort: ScoredOn = None,
    at_chance: AtChance = False,
    by: Annotated[
        str | None,
        typer.Option(help="Your name for the ledger. Default: this computer's user."),
    ] = None,
    another_key: AnotherKey = False,
    dry_run: DryRun = False,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    as_json: AsJson = False,
) -> None:
    """Sign a run's result and put it into the outbox, from where it may leave.

    The bundle contains the distilled images with labels and learning rates, the method, the patch
    protocol and total counts without small ones. It never contains the run's seed, a path, or
    anything about a single patient. Text and picture are regenerated from those numbers, and no
    other file of the run is included.

    For policies that allow a single step; otherwise use gdshare prepare, approve and release.
    """
    score = measured_score(run, cohort)  # before the passphrase is asked for
    require_better_than_chance(score, str(run), at_chance)
    signing_key = load_private_key(key, read_passphrase(passphrase_file, confirm=False))
    signer = fingerprint(signing_key.public_key())
    with open_outbox(outbox) as desk:
        policy, ledger, now = desk.policy, desk.ledger, datetime.now(UTC)
        require_one_shot(policy)
        manifest, distilled = describe(
            run,
            desk,
            site=site,
            recipients=to or (),
            now=now,
            lifetime=timedelta(days=expires_days),
            sequence=sequence,
        )
        require_about(score, distilled, run)
        require_own_key(outbox, ledger.entries, key, signer, site, another_key)
        require_allowed(policy, manifest)
        files = build_files(manifest, distilled, render_preview(distilled), signing_key)
        bundle = verify_files(files, signing_key.public_key(), now, site)
        if dry_run:
            require_unused(bundle, outbox, ledger)
            print_facts({"would publish": manifest.name, "digest": bundle.digest}, as_json)
            return
        despite = f", {AT_CHANCE}" if score.at_chance else ""
        why = f"{by_policy(policy)}{despite}, {signed_with(signer)}"
        folder = release(bundle, files, outbox, ledger, operator_name(by), now, why)
    # What is reported is what lies on the disk, read back by the rules its readers will apply.
    bundle = verify_folder(folder, signing_key.public_key(), datetime.now(UTC))
    facts = {
        "bundle": folder,
        "digest": bundle.digest,
        "signed with": signer,
        "expires": f"{manifest.expires:%Y-%m-%d}",
    }
    if manifest.privacy is not None:
        facts["guarantee"] = manifest.privacy.text
    print_facts(facts, as_json, commands.serve_node())


def register(app: typer.Typer) -> None:
    """Add ``publish`` to the app."""
    app.command()(publish)
