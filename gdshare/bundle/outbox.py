"""The outbox: one folder per bundle, named SITE-SEQUENCE, appearing whole or not at all.

Names that begin with a dot are bundles being written, or left by a crash; readers skip them.
``SITE-SEQUENCE.withdrawal`` withdraws the bundle of that name: from then on neither it nor an older
one is sent.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from gdshare.bundle.errors import AlreadyPublished
from gdshare.bundle.layout import MANIFEST, check_complete, check_name
from gdshare.bundle.manifest import Manifest
from gdshare.errors import UsageError
from gdshare.signing.names import SITE
from gdshare.storage import new_folder, write_bytes

_NAME = re.compile(rf"(?P<site>{SITE})-(?P<number>[1-9][0-9]{{0,8}})")
WITHDRAWAL = ".withdrawal"


def published(outbox: Path) -> tuple[Path, ...]:
    """The bundles' folders, by site and then sequence number; empty without an outbox."""
    return _listed(outbox, "")


def withdrawals(outbox: Path) -> tuple[Path, ...]:
    """The withdrawals' files, by site and then sequence number."""
    return _listed(outbox, WITHDRAWAL)


def newest(outbox: Path, site: str) -> Path | None:
    """The bundle to send: a site's newest, or None if that or a newer one was withdrawn.

    An older bundle never replaces a withdrawn one: nobody decided that, and to an aggregator it
    looks like an attack.
    """
    bundles = [path for path in published(outbox) if site_of(path) == site]
    withdrawn = [path for path in withdrawals(outbox) if site_of(path) == site]
    if not bundles or (withdrawn and _number(withdrawn[-1]) >= _number(bundles[-1])):
        return None
    return bundles[-1]


def is_withdrawal(name: str) -> bool:
    """Whether a file name is a withdrawal's."""
    return name.endswith(WITHDRAWAL) and bool(_NAME.fullmatch(name.removesuffix(WITHDRAWAL)))


def site_of(path: Path) -> str:
    """The site in the name of a bundle's folder or of a withdrawal."""
    return path.stem.rpartition("-")[0]


def _number(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _listed(outbox: Path, suffix: str) -> tuple[Path, ...]:
    if not outbox.is_dir():
        return ()
    named = [
        path
        for path in outbox.iterdir()
        if path.name.endswith(suffix) and _NAME.fullmatch(path.name.removesuffix(suffix))
    ]
    return tuple(sorted(named, key=lambda path: (site_of(path), _number(path))))


def next_sequence(outbox: Path, site: str) -> int:
    """The number after the site's highest in the outbox; 1 if it has none."""
    names = (_NAME.fullmatch(path.name) for path in published(outbox))
    return 1 + max((int(m["number"]) for m in names if m and m["site"] == site), default=0)


def write_bundle(outbox: Path, files: Mapping[str, bytes]) -> Path:
    """Put a bundle into the outbox.

    If two publish the same number at once, exactly one succeeds (``storage.new_folder``).

    Args:
        outbox: made if missing.
        files: what ``build_files`` gave.

    Returns:
        The bundle's folder, ``outbox/SITE-SEQUENCE``.

    Raises:
        AlreadyPublished: that number is taken.
        UsageError: the outbox cannot be written to.
    """
    for name in files:
        check_name(name)
    check_complete(files)
    target = outbox / Manifest.from_bytes(files[MANIFEST]).name
    try:
        with new_folder(target) as folder:
            for name, content in files.items():
                write_bytes(folder / name, content)
    except OSError as fault:
        if isinstance(fault, FileExistsError):
            raise AlreadyPublished(
                f"{target} already exists and is never overwritten",
                remedy="publish with the next sequence number",
            ) from None
        raise UsageError(
            f"{outbox} cannot take a bundle ({fault.strerror})",
            remedy="choose an outbox you can write to",
        ) from None
    return target
