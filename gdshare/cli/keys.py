"""``gdshare keys``: signing keys, their requests and revocations, and sealing keys."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gdshare.cli.passphrase import PASSPHRASE_FILE, read_passphrase
from gdshare.cli.terminal import (
    AsJson,
    print_facts,
)
from gdshare.config import variable
from gdshare.next_steps import Command, Word, commands
from gdshare.signing import (
    fingerprint,
    load_private_key,
    parse_public_pem,
    read_key_file,
    require_absent,
    write_key_pair,
    write_new,
    write_request,
    write_revocation,
    write_sealing_pair,
)

Secret = Annotated[
    Path, typer.Argument(envvar=variable("key"), metavar="NAME.key", help="The private key.")
]
Site = Annotated[
    str,
    typer.Option(envvar=variable("site"), help="The hospital's short name, visible to the others."),
]


def new(
    name: Annotated[
        str,
        typer.Option(help="Short name of the key's owner: lower-case letters, digits, hyphens."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the two key files.")] = Path("keys"),
    sealing: Annotated[
        bool,
        typer.Option(
            "--sealing",
            help="Make a sealing key instead, NAME.seal.key and NAME.seal.pub, to receive bundles "
            "sealed with gdshare seal.",
        ),
    ] = False,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    as_json: AsJson = False,
) -> None:
    """Make a signing key: NAME.key stays here, NAME.pub goes to the aggregator.

    The private key (ECDSA, curve P-256) is encrypted with a passphrase and readable only by you.
    No file is overwritten. Read the fingerprint to the aggregator over the phone.
    """
    passphrase = read_passphrase(passphrase_file, confirm=True, key_name="the new key")
    make = write_sealing_pair if sealing else write_key_pair
    private, public = make(out, name, passphrase)
    facts = {
        "private key (keep)": private,
        "public key (give)": public,
        "fingerprint": _fingerprint(public),
    }
    show_it = Command("keys show", (Word(public),))
    print_facts(facts, as_json, show_it if sealing else commands.request_trust(private))


def show(
    key: Annotated[Path, typer.Argument(help="A public key, NAME.pub or NAME.seal.pub.")],
    as_json: AsJson = False,
) -> None:
    """Show a key's fingerprint, also in groups of four to read over the phone.

    The aggregator types it into gdshare trust add; spaces and case do not matter.
    """
    digest = _fingerprint(key)
    print_facts(_fingerprint_facts(digest), as_json)


def _fingerprint(public: Path) -> str:
    return fingerprint(parse_public_pem(read_key_file(public), str(public)))


def request(
    key: Secret,
    site: Site,
    out: Annotated[
        Path | None, typer.Option(help="File to write. Default: NAME.request beside the key.")
    ] = None,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    as_json: AsJson = False,
) -> None:
    """Write a request to trust this key: a small file, signed with the key itself.

    It contains the site's name, the public key and the time. Send it to the aggregator, then read
    the fingerprint over the phone: the file proves possession of the key, not who sent it.
    """
    secret = load_private_key(key, read_passphrase(passphrase_file, confirm=False))
    path = out or key.with_suffix(".request")
    write_new(path, write_request(site, secret, datetime.now(UTC)))
    facts = {"request (send)": path} | _fingerprint_facts(fingerprint(secret.public_key()))
    print_facts(facts, as_json)


def rotate(
    old: Annotated[Path, typer.Argument(metavar="OLD.key", help="The private key to replace.")],
    name: Annotated[
        str,
        typer.Argument(metavar="NEW", help="Name for the new key's files, such as st-mary-2027."),
    ],
    site: Site,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the new files. Default: the old key's.")
    ] = None,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    new_passphrase_file: Annotated[
        Path | None, typer.Option(help="The same, for the new key.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a new key, and a request to trust it, countersigned by the old key.

    Send NEW.request, then read the new fingerprint over the phone. The old key stays trusted until
    the aggregator revokes it or it expires; what it has signed stays valid.
    """
    old_secret = load_private_key(old, read_passphrase(passphrase_file, confirm=False))
    folder = out or old.parent
    request_path = folder / f"{name}.request"
    require_absent(request_path)
    passphrase = read_passphrase(new_passphrase_file, confirm=True, key_name="the new key")
    private, _ = write_key_pair(folder, name, passphrase)
    secret = load_private_key(private, passphrase)
    write_new(request_path, write_request(site, secret, datetime.now(UTC), old_secret))
    facts = {"private key (keep)": private, "request (send)": request_path}
    print_facts(facts | _fingerprint_facts(fingerprint(secret.public_key())), as_json)


def revoke(
    key: Secret,
    why: Annotated[str, typer.Option(help="The reason, in plain ASCII.")],
    out: Annotated[
        Path | None, typer.Option(help="File to write. Default: NAME.revocation beside the key.")
    ] = None,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    as_json: AsJson = False,
) -> None:
    """Write a revocation: nothing signed by this key from now on is to be trusted.

    Send it to the aggregator, which needs no other proof. You can write it in advance and keep it
    safe in case the key is lost.
    """
    secret = load_private_key(key, read_passphrase(passphrase_file, confirm=False))
    path = out or key.with_suffix(".revocation")
    write_new(path, write_revocation(secret, why, datetime.now(UTC)))
    print_facts({"revocation (send)": path}, as_json)


def _fingerprint_facts(digest: str) -> dict[str, object]:
    groups = " ".join(digest[at : at + 4] for at in range(0, len(digest), 4))
    return {"fingerprint": digest, "to say": groups}


def register(app: typer.Typer) -> None:
    """Add ``keys`` and its commands to the app."""
    keys = typer.Typer(no_args_is_help=True, help="Make and manage the keys a hospital signs with.")
    keys.command()(new)
    keys.command()(show)
    keys.command()(request)
    keys.command()(rotate)
    keys.command()(revoke)
    app.add_typer(keys, name="keys")
