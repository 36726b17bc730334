"""What would leave, laid out to be looked at.

::

    PREPARED/
      content/        the four files that a signature would cover
      review.html     all of it on one page, for whoever approves
      review.txt      the same in text
      approvals/      signatures of those who approve, see ``approval``
"""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gdshare.bundle import Manifest, datasheet, read_tensors
from gdshare.bundle.folder import read_folder
from gdshare.bundle.layout import MANIFEST, PREVIEW, README, SIGNED, TENSORS
from gdshare.bundle.statement import digests_of, subject_digest
from gdshare.distill.synthetic import Distilled
from gdshare.errors import PolicyError, UsageError
from gdshare.storage import sync_folder, write_bytes

CONTENT, APPROVALS = "content", "approvals"
PAGE, TEXT = "review.html", "review.txt"

Render = Callable[[Distilled], bytes]
"""Draws the preview: a PNG of the tensors and nothing else."""


@dataclass(frozen=True)
class Prepared:
    """What would leave.

    Attributes:
        path: the folder.
        files: name -> content of the four files.
        manifest, distilled: what they hold.
        digest: names the content, as it will name the bundle.
    """

    path: Path
    files: Mapping[str, bytes]
    manifest: Manifest
    distilled: Distilled
    digest: str


def content_of(manifest: Manifest, distilled: Distilled, render: Render) -> dict[str, bytes]:
    """Draw the four files from manifest and tensors, and from nothing else."""
    return {
        README: datasheet(manifest, distilled).encode(),
        TENSORS: distilled.to_bytes(),
        MANIFEST: manifest.to_bytes(),
        PREVIEW: render(distilled),
    }


def prepare(
    path: Path,
    manifest: Manifest,
    distilled: Distilled,
    render: Render,
    pages: Callable[[Prepared], Mapping[str, bytes]],
) -> Prepared:
    """Lay out a folder, whole or not at all.

    Args:
        path: of the folder, which must not be there.
        manifest, distilled: what would leave.
        render: draws the preview.
        pages: what people are shown, by its file name.

    Raises:
        UsageError: the folder is there, or cannot be made.
    """
    files = content_of(manifest, distilled, render)
    prepared = Prepared(path, files, manifest, distilled, subject_digest(digests_of(files)))
    if path.exists():
        raise UsageError(f"{path}: is there already; choose another --out, or remove it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            for folder in (CONTENT, APPROVALS):
                (aside / folder).mkdir()
            for name, content in files.items():
                write_bytes(aside / CONTENT / name, content)
            for name, content in pages(prepared).items():
                write_bytes(aside / name, content)
            aside.rename(path)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be made ({error.strerror}); choose another --out"
        ) from error
    return prepared


def read_prepared(path: Path, render: Render) -> Prepared:
    """Read what was prepared, and draw picture and text anew to compare them.

    Raises:
        PolicyError: picture or text are not what the tensors give: a place to hide something.
        BundleError: a file missing, too many, too large or malformed.
    """
    files = read_folder(path / CONTENT, SIGNED)
    manifest = Manifest.from_bytes(files[MANIFEST])
    distilled = read_tensors(files[TENSORS], manifest)
    for name, drawn in content_of(manifest, distilled, render).items():
        if files[name] != drawn:
            raise PolicyError(
                f"{path / CONTENT / name}: is not what its numbers give when it is drawn anew; "
                "prepare it again, and find out who changed it"
            )
    return Prepared(path, files, manifest, distilled, subject_digest(digests_of(files)))
