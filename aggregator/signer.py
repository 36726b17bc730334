"""The aggregator's own name and key, as its commands read them from their options."""

import re
from pathlib import Path

from aggregator.receipts import Signer
from gdshare.cli.passphrase import read_passphrase
from gdshare.errors import UsageError
from gdshare.signing import SITE, load_private_key


def check_name(name: str | None) -> None:
    """Refuse a name that no bundle can list as a recipient.

    Raises:
        UsageError: other than lower-case letters, digits and hyphens.
    """
    if name is not None and re.fullmatch(SITE, name) is None:
        raise UsageError(f"--name {name}: a name has lower-case letters, digits and hyphens only")


def open_signer(key: Path | None, name: str | None, passphrase_file: Path | None) -> Signer | None:
    """Unlock the key that signs receipts; None without one. Commands do this before anything else.

    Raises:
        UsageError: a key without a name, by which hospitals know whose receipt it is.
        KeyFileError: it does not open.
    """
    if key is None:
        return None
    if name is None:
        raise UsageError(
            "--key signs receipts in the aggregator's name", remedy="give that too, by --name"
        )
    check_name(name)
    return Signer(name, load_private_key(key, read_passphrase(passphrase_file, confirm=False)))
