"""``gdshare trust``: whose bundles the aggregator believes."""

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from aggregator.order import ledger_beside
from aggregator.seen import ACCEPT, accepted, quarantined
from aggregator.trust import REVOKE, TRUST, load_trust, place_for, put_key, revoked
from gdshare.bundle import fingerprint, load_public_key
from gdshare.cli.terminal import AsJson, print_json, print_table
from gdshare.cli.typed_digest import LEAST_DIGITS, is_told
from gdshare.errors import FederationError, UsageError
from gdshare.ledger import in_one_line, open_ledger, read_ledger

Folder = Annotated[
    Path, typer.Option("--trust", help="Folder of the hospitals' public keys, SITE.pub each.")
]
By = Annotated[str | None, typer.Option(help="Who decides. Without it: this computer's user name.")]


def add(
    key: Annotated[Path, typer.Argument(help="The hospital's public key, NAME.pub.")],
    site: Annotated[str, typer.Option(help="The hospital's short name.")],
    told: Annotated[
        str,
        typer.Option(
            "--fingerprint",
            help="What the hospital read to you over the phone: its key's fingerprint, or the "
            f"first {LEAST_DIGITS} digits of it or more.",
        ),
    ],
    trust: Folder,
    by: By = None,
) -> None:
    """Believe what a key signs as this hospital's, from now on.

    Call the hospital at a number you know, have somebody read out the fingerprint that `gdshare
    keys new` or `gdshare keys show` printed there, and type what you hear. A site may have several
    keys: its old bundles stay valid when it makes a new one.
    """
    public = load_public_key(key)
    _require_told(public_fingerprint := fingerprint(public), told, key)
    with open_ledger(ledger_beside(trust)) as acts:
        path = place_for(trust, site, public)
        acts.write(datetime.now(UTC), TRUST, _who(by), site, public_fingerprint, "")
        put_key(path, public)
    typer.echo(f"trusted      {path}")
    typer.echo(f"fingerprint  {public_fingerprint}")


def revoke(
    told: Annotated[
        str,
        typer.Argument(
            metavar="FINGERPRINT",
            help=f"Of the key, or the first {LEAST_DIGITS} digits or more; see gdshare trust list.",
        ),
    ],
    why: Annotated[str, typer.Option(help="The reason, for the ledger.")],
    trust: Folder,
    by: By = None,
) -> None:
    """Believe nothing that a key signs, from now on.

    Bundles of it that were admitted before stay good, by the ledger's order: whatever time a bundle
    claims, one that comes now is refused.
    """
    found = [one for one in load_trust(trust).keys if is_told(one.fingerprint, told)]
    if len(found) != 1:
        raise UsageError(
            f"{told:.70}: {len(found)} keys of {trust} begin so; see gdshare trust list"
        )
    with open_ledger(ledger_beside(trust)) as acts:
        if found[0].fingerprint in revoked(acts.acts):
            raise FederationError(f"{found[0].path}: is revoked already")
        acts.write(
            datetime.now(UTC),
            REVOKE,
            _who(by),
            found[0].site,
            found[0].fingerprint,
            in_one_line(why),
        )
    typer.echo(f"revoked  {found[0].path}")


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
    with open_ledger(ledger_beside(trust)) as acts:
        held = quarantined(acts.acts)
        found = [digest for digest in held if is_told(digest, told)]
        if len(found) != 1:
            raise UsageError(
                f"{told:.70}: {len(found)} quarantined bundles begin so; see gdshare ledger show "
                f"{ledger_beside(trust)}"
            )
        if found[0] in accepted(acts.acts):
            raise FederationError(f"{found[0]}: is accepted already")
        if not why.strip():
            raise UsageError("--why is empty; say what the hospital told you")
        what = held[found[0]].what
        acts.write(datetime.now(UTC), ACCEPT, _who(by), what, found[0], in_one_line(why))
    typer.echo(f"accepted  {what}  {found[0]}")


def show(trust: Folder, as_json: AsJson = False) -> None:
    """List the keys, whose they are, and which are revoked."""
    acts = read_ledger(ledger_beside(trust))
    gone = revoked(acts)
    since = {act.digest: f"{act.at:%Y-%m-%d}" for act in acts if act.act == TRUST}
    rows = [
        {
            "site": one.site,
            "fingerprint": one.fingerprint,
            "since": since.get(one.fingerprint),
            "revoked": None if (act := gone.get(one.fingerprint)) is None else f"{act.at:%Y-%m-%d}",
            "why": "" if act is None else act.why,
        }
        for one in load_trust(trust).keys
    ]
    if as_json:
        return print_json(rows)
    told = [
        (
            row["site"],
            row["fingerprint"],
            row["since"] or "put there by hand",
            f"revoked {row['revoked']}: {row['why']}" if row["revoked"] else "trusted",
        )
        for row in rows
    ]
    print_table(f"{trust}: {len(rows)} keys", ("site", "fingerprint", "since", "state"), told)
    return None


def _require_told(known: str, told: str, key: Path) -> None:
    if not is_told(known, told):
        raise UsageError(
            f"--fingerprint {told:.70}: not that of {key}, which is {known}; do not trust this key "
            "before you have called the hospital"
        )


def _who(by: str | None) -> str:
    return by or getpass.getuser()


def register(app: typer.Typer) -> None:
    """Add ``trust`` and its commands to the app."""
    trust = typer.Typer(no_args_is_help=True, help="Whose bundles the aggregator believes.")
    trust.command()(add)
    trust.command()(revoke)
    trust.command()(accept)
    trust.command("list")(show)
    app.add_typer(trust, name="trust")
