"""``gdshare trust``: whose bundles the aggregator believes."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from aggregator.flower.order import ledger_beside
from aggregator.trust import withdrawn_command
from aggregator.trust.bundle_history import (
    ACCEPT,
    ADMIT,
    accepted,
    line_of,
    quarantined,
    signed_with,
    standing,
    trained_with,
    withdrawn,
)
from aggregator.trust.candidate import Candidate, read_candidate
from aggregator.trust.key_history import (
    DISOWN,
    REVOKE,
    TRUST,
    ends,
    from_line,
    revoked,
    state,
    until,
)
from aggregator.trust.keys import SHORT, TrustedKey, load_trust, place_for, put_key
from gdshare.cli.operator import operator_name
from gdshare.cli.terminal import AsJson, print_json, print_table
from gdshare.cli.typed_digest import LEAST_DIGITS, matches, require_match
from gdshare.errors import FederationError, UsageError
from gdshare.ledger import Entry, in_one_line, open_ledger, read_ledger
from gdshare.signing import fingerprint, read_key_file, read_revocation

Folder = Annotated[
    Path, typer.Option("--trust", help="Folder of the hospitals' public keys, SITE.pub each.")
]
_DIGITS = re.compile(r"[0-9A-Fa-f\s]*")
DAYS = 730
"""Two years: NIST SP 800-57 has a key sign for one to three."""
By = Annotated[str | None, typer.Option(help="Who decides. Without it: this computer's user name.")]


def add(
    key: Annotated[
        Path,
        typer.Argument(
            metavar="KEY",
            help="What the hospital sent: the file of gdshare keys request, or its NAME.pub.",
        ),
    ],
    told: Annotated[
        str,
        typer.Option(
            "--fingerprint",
            help="What the hospital read to you over the phone: its key's fingerprint, or the "
            f"first {LEAST_DIGITS} digits of it or more.",
        ),
    ],
    trust: Folder,
    site: Annotated[
        str | None,
        typer.Option(help="The hospital's short name; a request tells it, a NAME.pub does not."),
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=3660, help="Days after which the key ends.")
    ] = DAYS,
    by: By = None,
) -> None:
    """Believe what a key signs as this hospital's, from now on and until it ends.

    Call the hospital at a number you know, have somebody read out the fingerprint that `gdshare
    keys` printed there, and type what you hear. A site may have several keys: its old bundles stay
    valid when it makes a new one, or when the old one ends.
    """
    candidate = read_candidate(key, site)
    known = fingerprint(candidate.key)
    _require_told(known, told, key)
    now = datetime.now(UTC)
    end = now + timedelta(days=days)
    with open_ledger(ledger_beside(trust)) as entries:
        if (entry := revoked(entries.entries).get(known)) is not None:
            raise FederationError(
                f"this very key was revoked on {entry.at:%Y-%m-%d}",
                key,
                "ask the hospital for a new one (gdshare keys new)",
            )
        path = place_for(trust, candidate.site, candidate.key)
        vouched = _vouched(trust, candidate, entries.entries, now)
        entries.write(now, TRUST, operator_name(by), candidate.site, known, until(end))
        put_key(path, candidate.key)
    typer.echo(f"trusted      {path}")
    typer.echo(f"until        {end:%Y-%m-%d}")
    typer.echo(f"fingerprint  {known}")
    for line in vouched:
        typer.echo(f"vouched for  {line}")


def revoke(
    told: Annotated[
        str,
        typer.Argument(
            metavar="FINGERPRINT|FILE",
            help=f"Of the key, or the first {LEAST_DIGITS} digits or more (see gdshare trust "
            "list); or the file of gdshare keys revoke, which the hospital sent.",
        ),
    ],
    trust: Folder,
    why: Annotated[
        str | None, typer.Option(help="The reason, for the ledger; the hospital's file tells it.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="LINE|SITE-NUMBER",
            help="From when on the key was no longer the hospital's: a line of the ledger, or the "
            "first bundle that was not the hospital's, such as st-mary-5. What was admitted of the "
            "key from there on loses its admission. May be told later too.",
        ),
    ] = None,
    by: By = None,
) -> None:
    """Believe nothing that a key signs, from now on.

    Bundles of it that were admitted before stay good and count as the site's newest, by the
    ledger's order: whatever time a bundle claims, one that comes now is refused. Where some of
    them were a thief's, say so by --since. A file that the key itself has signed is proof enough:
    a thief could end no other key than the one he stole.
    """
    begins, reason = _told(told, why)
    one = _one_that_begins(trust, begins)
    with open_ledger(ledger_beside(trust)) as book:
        act, text = _revocation(one, book.entries, reason, since)
        before = _admitted_of(one, book.entries)
        now, who = datetime.now(UTC), operator_name(by)
        book.write(now, act, who, one.site, one.fingerprint, in_one_line(text))
        entries = tuple(book.entries)
    good = _admitted_of(one, entries)
    typer.echo(f"revoked     {one.path}")
    for still in good:
        typer.echo(f"still good  {still.what}, line {still.number} of the ledger")
    for fell in before:
        if fell not in good:
            typer.echo(f"taken back  {fell.what}, line {fell.number} of the ledger")
            for model in trained_with(entries, fell.what, str(fell.digest)):
                typer.echo(f"  retrain or drop  {model.what}, of {model.at:%Y-%m-%d}")


def _admitted_of(one: TrustedKey, entries: Sequence[Entry]) -> list[Entry]:
    """What was admitted of a key, still counts, and was not withdrawn."""
    gone = withdrawn(entries)
    return [
        entry
        for entry in standing(entries, ADMIT)
        if entry.why == signed_with(one.fingerprint) and (entry.what, entry.digest) not in gone
    ]


def _told(told: str, why: str | None) -> tuple[str, str]:
    """Which key, and the reason: in the operator's words, or in those of the key's holder."""
    if _DIGITS.fullmatch(told):
        if why is None or not why.strip():
            raise UsageError(
                "--why: give the reason, for the ledger", remedy="a hospital's file tells it"
            )
        return told, why
    found = read_revocation(read_key_file(Path(told)), told)
    said = f"its holder says: {found.why}"
    return found.fingerprint, said if why is None else f"{why} ({said})"


def accept(
    told: Annotated[
        str,
        typer.Argument(
            metavar="DIGEST",
            help=f"Of a quarantined bundle, or the first {LEAST_DIGITS} digits or more; it stands "
            "in refusals.jsonl and in the ledger.",
        ),
    ],
    why: Annotated[str, typer.Option(help="What the hospital said, for the ledger.")],
    trust: Folder,
    by: By = None,
) -> None:
    """Let a quarantined bundle in, after you have talked to the hospital.

    From then on this very bundle is admitted although its figures are bad; they are told in every
    round. A new bundle of the hospital is judged anew.
    """
    with open_ledger(ledger_beside(trust)) as entries:
        held = quarantined(entries.entries)
        found = [digest for digest in held if matches(digest, told)]
        if len(found) != 1:
            raise UsageError(
                f"{len(found)} quarantined bundles begin so",
                f"{told:.70}",
                f"see gdshare ledger show {quote(str(ledger_beside(trust)))}",
            )
        if found[0] in accepted(entries.entries):
            raise FederationError("is accepted already", found[0])
        if not why.strip():
            raise UsageError("--why is empty", remedy="say what the hospital told you")
        what = held[found[0]].what
        if (what, found[0]) in withdrawn(entries.entries):
            raise FederationError(
                "was withdrawn by its hospital, for ever", what, "nobody lets it in"
            )
        now, who = datetime.now(UTC), operator_name(by)
        entries.write(now, ACCEPT, who, what, found[0], in_one_line(why))
    typer.echo(f"accepted  {what}  {found[0]}")


def show(trust: Folder, as_json: AsJson = False) -> None:
    """List the keys, whose they are, until when they are trusted, and which are revoked."""
    entries, now = read_ledger(ledger_beside(trust)), datetime.now(UTC)
    keys = load_trust(trust).keys
    rows = [_row(one, entries) for one in keys]
    if as_json:
        return print_json(rows)
    told = [
        (
            row["site"],
            row["fingerprint"],
            row["since"] or "put there by hand",
            state(one, entries, now),
        )
        for one, row in zip(keys, rows, strict=True)
    ]
    print_table(f"{trust}: {len(keys)} keys", ("site", "fingerprint", "since", "state"), told)
    return None


def _row(one: TrustedKey, entries: Sequence[Entry]) -> dict[str, str | None]:
    taken_in = [
        entry.at for entry in entries if entry.act == TRUST and entry.digest == one.fingerprint
    ]
    gone = revoked(entries).get(one.fingerprint)
    return {
        "site": one.site,
        "fingerprint": one.fingerprint,
        "since": _day(taken_in[-1] if taken_in else None),
        "until": _day(ends(entries).get(one.fingerprint)),
        "revoked": _day(gone.at if gone else None),
        "why": gone.why if gone else "",
    }


def _vouched(
    trust: Path, candidate: Candidate, entries: Sequence[Entry], now: datetime
) -> list[str]:
    """What the older key's word is worth, if there is one; taken in is what was heard."""
    if candidate.vouched_by is None:
        return []
    older = fingerprint(candidate.vouched_by)
    keys = load_trust(trust).keys if any(trust.glob("*.pub")) else ()
    for one in keys:
        if one.fingerprint == older and one.site == candidate.site:
            return [f"by {older[:SHORT]}, of {one.site}, {state(one, entries, now)}"]
        if one.fingerprint == older:
            return [f"by {older[:SHORT]}, which is {one.site}'s: ask both hospitals"]
    return [f"by {older[:SHORT]}, which is on nobody's name: ask the hospital which key that is"]


def _day(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d}"


def _one_that_begins(trust: Path, told: str) -> TrustedKey:
    found = [one for one in load_trust(trust).keys if matches(one.fingerprint, told)]
    if len(found) != 1:
        raise UsageError(
            f"{len(found)} keys of {trust} begin so", f"{told:.70}", "see gdshare trust list"
        )
    return found[0]


def _revocation(
    one: TrustedKey, entries: Sequence[Entry], why: str, since: str | None
) -> tuple[str, str]:
    """The act to write, and its reason."""
    if since is not None:
        return DISOWN, from_line(line_of(since, one.fingerprint, entries), why)
    if one.fingerprint in revoked(entries):
        raise FederationError(
            "is revoked already",
            one.path,
            "with --since you can still say from when on it was not the hospital's",
        )
    return REVOKE, why


def _require_told(known: str, told: str, key: Path) -> None:
    require_match(
        known, told, "--fingerprint", f"call the hospital about {key} before you trust it"
    )


def register(app: typer.Typer) -> None:
    """Add ``trust`` and its commands to the app."""
    trust = typer.Typer(no_args_is_help=True, help="Whose bundles the aggregator believes.")
    trust.command()(add)
    trust.command()(revoke)
    trust.command()(accept)
    trust.command("list")(show)
    withdrawn_command.register(trust)
    app.add_typer(trust, name="trust")
