"""``gdshare trust add``: trust a hospital's key, once its fingerprint was compared by phone."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from aggregator.trust.candidate import Candidate, read_candidate
from aggregator.trust.commands.options import By, TrustFolder
from aggregator.trust.waiting import hold_round
from gdshare.cli.operator import operator_name
from gdshare.cli.terminal import (
    AsJson,
    print_facts,
)
from gdshare.cli.typed_digest import LEAST_DIGITS, require_match
from gdshare.config import read_config
from gdshare.errors import TrustError
from gdshare.ledger import Entry, open_ledger
from gdshare.signing import fingerprint
from gdshare.trust.key_history import TRUST, key_state, revoked_keys, until
from gdshare.trust.keys import SHORT, ledger_beside, path_for, read_trust, write_key

DAYS = 730
"""Two years: NIST SP 800-57 has a key sign for one to three."""


def add(
    key: Annotated[
        Path,
        typer.Argument(
            metavar="KEY",
            help="What the hospital sent: the file of gdshare keys request, or its NAME.pub.",
        ),
    ],
    typed: Annotated[
        str,
        typer.Option(
            "--fingerprint",
            help="The fingerprint that the hospital read to you over the phone, or its first "
            f"{LEAST_DIGITS} digits or more.",
        ),
    ],
    trust: TrustFolder,
    site: Annotated[
        str | None,
        typer.Option(help="The hospital's short name; a request has it, a NAME.pub does not."),
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=3660, help="Days after which the key ends.")
    ] = DAYS,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Trust what a key signs as this hospital's, from now on and until it ends.

    Call the hospital at a number you know, have somebody read out the fingerprint that `gdshare
    keys` printed there, and type what you hear. A site may have several keys: its old bundles stay
    valid when it makes a new one, or when the old one ends.
    """
    candidate = read_candidate(key, site)
    digest = fingerprint(candidate.key)
    remedy = f"call the hospital about {key} before you trust it"
    require_match(digest, typed, "--fingerprint", remedy)
    now = datetime.now(UTC)
    end = now + timedelta(days=days)
    with open_ledger(ledger_beside(trust)) as ledger:
        if (entry := revoked_keys(ledger.entries).get(digest)) is not None:
            raise TrustError(
                f"this very key was revoked on {entry.at:%Y-%m-%d}",
                key,
                "ask the hospital for a new one (gdshare keys new)",
            )
        path = path_for(trust, candidate.site, candidate.key)
        voucher = _voucher(trust, candidate, ledger.entries, now)
        ledger.write(now, TRUST, operator_name(by), candidate.site, digest, until(end))
        write_key(path, candidate.key)
    facts = {
        "trusted": path,
        "until": f"{end:%Y-%m-%d}",
        "fingerprint": digest,
        "vouched for": voucher,
    }
    print_facts(facts, as_json, None if _is_at_a_hospital() else hold_round(trust))


def _is_at_a_hospital() -> bool:
    """Whether the settings here are a hospital's, whose list is for its node: it holds no round."""
    return "site" in read_config(os.environ, Path()).with_environment(os.environ)


def _voucher(
    trust: Path, candidate: Candidate, entries: Sequence[Entry], now: datetime
) -> str | None:
    """What the older key's signature is worth: a hint, since only the phone call decides."""
    if candidate.vouched_by is None:
        return None
    digest = fingerprint(candidate.vouched_by)
    older = read_trust(trust).find(digest)
    by = f"by {digest[:SHORT]}"
    if older is None:
        return f"{by}, which is not on the trust list: ask the hospital which key that is"
    if older.site != candidate.site:
        return f"{by}, which is {older.site}'s: ask both hospitals"
    return f"{by}, of {older.site}, {key_state(older, entries, now)}"
