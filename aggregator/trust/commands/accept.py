"""``gdshare trust accept``: let a quarantined bundle in."""

from datetime import UTC, datetime
from shlex import quote
from typing import Annotated

import typer

from aggregator.trust.bundle_history import (
    ACCEPT,
    accepted_digests,
    quarantined_digests,
    withdrawn_bundles,
)
from aggregator.trust.commands.options import By, TrustFolder
from gdshare.cli.operator import operator_name
from gdshare.cli.terminal import (
    AsJson,
    print_facts,
)
from gdshare.cli.typed_digest import LEAST_DIGITS, matches
from gdshare.errors import TrustError, UsageError
from gdshare.ledger import in_one_line, open_ledger
from gdshare.trust.keys import ledger_beside


def accept(
    typed: Annotated[
        str,
        typer.Argument(
            metavar="DIGEST",
            help=f"Of a quarantined bundle, or the first {LEAST_DIGITS} digits or more; see "
            "refusals.jsonl or the ledger.",
        ),
    ],
    why: Annotated[str, typer.Option(help="What the hospital said, for the ledger.")],
    trust: TrustFolder,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Let a quarantined bundle in, after you have talked to the hospital.

    From then on this very bundle is admitted although its figures are bad; every round reports
    them. A new bundle of the hospital is screened again.
    """
    with open_ledger(ledger_beside(trust)) as ledger:
        quarantined = quarantined_digests(ledger.entries)
        digests = [digest for digest in quarantined if matches(digest, typed)]
        if len(digests) != 1:
            raise UsageError(
                f"{len(digests)} quarantined bundles begin so",
                f"{typed:.70}",
                f"see gdshare ledger show {quote(str(ledger_beside(trust)))}",
            )
        [digest] = digests
        if digest in accepted_digests(ledger.entries):
            raise TrustError("is accepted already", digest)
        if not why.strip():
            raise UsageError("is empty", "--why", "say what the hospital told you")
        name = quarantined[digest].what
        if (name, digest) in withdrawn_bundles(ledger.entries):
            raise TrustError(
                "was withdrawn by its hospital, for ever", name, "nobody can let it in"
            )
        ledger.write(datetime.now(UTC), ACCEPT, operator_name(by), name, digest, in_one_line(why))
    print_facts({"accepted": name, "digest": digest}, as_json)
