"""What a folder contains, and why a file in it is no film."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from gdshare.store.outcome import Outcome

LINK = "a symbolic link, not followed (put the file itself there)"
SPECIAL = "neither a file nor a folder"
EMPTY = "an empty file"
ARCHIVE = "an archive (unpack it and import the folder)"
POINTER = "a placeholder of git-annex or Git LFS (fetch the file itself)"
PICTURE = "a PNG or TIFF (import it by a table: patient,image)"
OTHER = "not DICOM"

_ARCHIVES = (
    b"PK\x03\x04",  # zip
    b"PK\x05\x06",  # zip without content
    b"\x1f\x8b",  # gzip
    b"BZh",
    b"\xfd7zXZ\x00",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    b"\x28\xb5\x2f\xfd",  # zstd
)
_POINTERS = (b"/annex/objects/", b"version https://git-lfs.")
_PICTURES = (b"\x89PNG", b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_TAR, _TAR_START = b"ustar", 257


@dataclass(frozen=True)
class Listing:
    """The content of a folder and its subfolders.

    Attributes:
        files: regular files, sorted.
        left_out: links, special files, and folders that cannot be opened, sorted.
    """

    files: tuple[Path, ...]
    left_out: tuple[Outcome, ...]


def list_folder(folder: Path, without: Collection[Path] = ()) -> Listing:
    """List a folder and its subfolders; symbolic links inside it are not followed.

    Args:
        folder: the folder, which may be a link itself.
        without: resolved paths that are passed over without a word: what the import itself writes.
    """
    files: list[Path] = []
    left_out: list[Outcome] = []
    pending, resolved = [folder], folder.resolve()
    while pending:
        parent = pending.pop()
        try:
            for entry in sorted(os.scandir(parent), key=lambda entry: entry.name):
                path = Path(entry.path)
                if without and resolved / path.relative_to(folder) in without:
                    continue
                if entry.is_symlink():
                    left_out.append(Outcome(path, "not followed", reasons=(LINK,)))
                elif entry.is_dir():
                    pending.append(path)
                elif entry.is_file():
                    files.append(path)
                else:
                    left_out.append(Outcome(path, "not DICOM", reasons=(SPECIAL,)))
        except OSError as error:
            reason = f"a folder that cannot be opened ({error.strerror})"
            left_out.append(Outcome(parent, "unreadable", reasons=(reason,)))
    return Listing(tuple(sorted(files)), tuple(sorted(left_out, key=lambda outcome: outcome.path)))


def why_not_dicom(head: bytes) -> str:
    """The reason why a file with these first bytes is left out."""
    if not head:
        return EMPTY
    if head.startswith(_ARCHIVES) or head[_TAR_START:].startswith(_TAR):
        return ARCHIVE
    if head.startswith(_POINTERS):
        return POINTER
    return PICTURE if head.startswith(_PICTURES) else OTHER
