"""Signed receipts, one for each bundle that was admitted, refused or withdrawn.

They are signed by the command, after the round, of the lines that the round has added to the
ledger: the round itself runs in a process of Flower's, which is given neither key nor passphrase.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from gdshare.cli.passphrase import read_passphrase
from gdshare.errors import LedgerError, UsageError
from gdshare.ledger import Anchor, Entry, head_of, read_ledger
from gdshare.release.receipts import receipt_of
from gdshare.signing import SITE, load_private_key
from gdshare.storage import write_bytes

SUFFIX = ".receipt"


@dataclass(frozen=True)
class Signer:
    """The aggregator: its short name and its key."""

    name: str
    key: ec.EllipticCurvePrivateKey


def signer_from(key: Path | None, name: str | None, passphrase_file: Path | None) -> Signer | None:
    """Unlock the aggregator's key, if it has one; asked before anything else is done.

    Raises:
        UsageError: a key without a name, by which hospitals know whose receipt it is.
        KeyFileError: it does not open.
    """
    if key is None:
        return None
    if name is None or re.fullmatch(SITE, name) is None:
        raise UsageError(
            "--key signs receipts in the aggregator's name",
            remedy="give that too, by --name, in lower-case letters, digits and hyphens",
        )
    return Signer(name, load_private_key(key, read_passphrase(passphrase_file, confirm=False)))


def signed_receipts(entries: Sequence[Entry], signer: Signer) -> dict[str, bytes]:
    """Sign what lines of the ledger say of bundles.

    What is not sound has no digest that could be named, and its hospital is not proven: it gets no
    receipt. Of lines that say the same of one bundle the first is enough.

    Returns:
        file name -> content; ``SITE-SEQUENCE.receipt``, and ``SITE-SEQUENCE.LINE.receipt`` for
        what else is said of that bundle, or of another under its name.
    """
    files: dict[str, bytes] = {}
    said: set[tuple[str, str, str, str]] = set()
    for entry in entries:
        told = receipt_of(entry, signer.name)
        if told is None or entry.digest is None:
            continue
        saying = (told.name, entry.digest, told.verdict, told.reason)
        if saying not in said:
            said.add(saying)
            plain = f"{told.name}{SUFFIX}"
            name = f"{told.name}.{told.line}{SUFFIX}" if plain in files else plain
            files[name] = told.signed(entry.digest, signer.key)
    return files


@contextmanager
def receipts_for(
    ledger: Path, folder: Path, signer: Signer | None, tell: Callable[[str], None]
) -> Iterator[None]:
    """Give receipts for what the block adds to the ledger, also where it ends without a model.

    Args:
        ledger: the aggregator's.
        folder: for the receipts; made if there are any.
        signer: none: no receipts.
        tell: told how many there are.

    Raises:
        LedgerError: the ledger is no longer what it was before the block.
    """
    before = head_of([] if signer is None else read_ledger(ledger))
    try:
        yield
    except BaseException:  # however a round ends: what it recorded is in the ledger all the same
        with suppress(LedgerError, OSError):
            _sign_since(before, ledger, folder, signer, tell)
        raise
    _sign_since(before, ledger, folder, signer, tell)


def _sign_since(
    before: Anchor, ledger: Path, folder: Path, signer: Signer | None, tell: Callable[[str], None]
) -> None:
    if signer is not None:
        entries = read_ledger(ledger, [before] if before.number else [])
        _write(folder, signed_receipts(entries[before.number :], signer), tell)


def _write(folder: Path, files: Mapping[str, bytes], tell: Callable[[str], None]) -> None:
    for name, content in files.items():
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / name, content)
    tell(f"signed {len(files)} receipts{f' in {folder}: send each to its hospital' * bool(files)}")
