"""``gdshare assessment``: the draft of a data-protection impact assessment of what was prepared."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gdshare.cli.approval_page import pages_for
from gdshare.cli.terminal import AsJson, print_facts
from gdshare.config import variable
from gdshare.errors import UsageError
from gdshare.release import read_prepared
from gdshare.release.approval import read_approvals
from gdshare.release.locked_outbox import open_outbox, require_owner
from gdshare.release.override import read_overrides
from gdshare.release.publish import require_ledger
from gdshare.report.impact_assessment import Reviewed, impact_assessment
from gdshare.report.preview import render_preview
from gdshare.storage import write_bytes


def assessment(
    prepared: Annotated[
        Path,
        typer.Argument(envvar=variable("prepared"), help="The folder written by gdshare prepare."),
    ],
    out: Annotated[Path, typer.Option(help="New file for the draft, Markdown.")],
    outbox: Annotated[
        Path, typer.Option(envvar=variable("outbox"), help="The outbox it would leave from.")
    ],
    as_json: AsJson = False,
) -> None:
    """Draft a data-protection impact assessment (GDPR, Article 35) of what was prepared.

    Filled in from the images' manifest, the attacks, the policy, approvals and overrides. What only
    the hospital can say stands in [square brackets]: the draft decides nothing. It stays in the
    hospital.
    """
    require_ledger(outbox)
    if out.exists():
        raise UsageError("is there already", out, "choose a new file; what was written is yours")
    with open_outbox(outbox) as desk:
        policy = desk.policy
        bundle = read_prepared(prepared, render_preview, pages_for(policy))
        require_owner(outbox, desk.ledger.entries, bundle.manifest.site)
        approvals, overrides = read_approvals(bundle, policy), read_overrides(bundle, policy)
    text = impact_assessment(Reviewed(bundle, policy, approvals, overrides), datetime.now(UTC))
    write_bytes(out, text.encode())
    facts = {"draft": out, "of": bundle.manifest.name, "to fill in": text.count("[")}
    print_facts(facts, as_json)


def register(app: typer.Typer) -> None:
    """Add ``assessment`` to the app."""
    app.command()(assessment)
