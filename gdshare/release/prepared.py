"""What would leave, laid out to be looked at.

::

    PREPARED/
      content/        the five files that a signature would cover
      review.html     all of it on one page, for whoever approves
      review.txt      the same in text
      approvals/      signatures of those who approve, see ``approval``
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gdshare.bundle import Manifest, read_tensors
from gdshare.bundle.build import content_files
from gdshare.bundle.digests import digests_of, subject_digest
from gdshare.bundle.folder import read_folder
from gdshare.bundle.layout import MANIFEST, SIGNED, TENSORS
from gdshare.distilled import Distilled
from gdshare.errors import PolicyError, UsageError
from gdshare.storage import new_folder, write_bytes

CONTENT, APPROVALS = "content", "approvals"
PAGE, TEXT = "review.html", "review.txt"

Render = Callable[[Distilled], bytes]
"""Draws the preview: a PNG of the tensors and nothing else."""
Pages = Callable[["Prepared"], Mapping[str, bytes]]
"""Writes what people are shown, by its file name."""


@dataclass(frozen=True)
class Prepared:
    """What would leave.

    Attributes:
        path: the folder.
        files: name -> content of the five files.
        manifest, distilled: what they hold.
        digest: names the content, as it will name the bundle.
    """

    path: Path
    files: Mapping[str, bytes]
    manifest: Manifest
    distilled: Distilled
    digest: str


def drawn(path: Path, manifest: Manifest, distilled: Distilled, render: Render) -> Prepared:
    """What ``prepare`` would lay out at ``path``."""
    files = content_files(manifest, distilled, render(distilled))
    return Prepared(path, files, manifest, distilled, subject_digest(digests_of(files)))


def prepare(prepared: Prepared, pages: Pages) -> None:
    """Lay out a folder, whole or not at all.

    Args:
        prepared: what would leave, and where the folder goes.
        pages: what people are shown.

    Raises:
        UsageError: the folder is there, or cannot be made.
    """
    path = prepared.path
    try:
        with new_folder(path, 0o700) as aside:
            for folder in (CONTENT, APPROVALS):
                (aside / folder).mkdir()
            for name, content in prepared.files.items():
                write_bytes(aside / CONTENT / name, content)
            for name, content in pages(prepared).items():
                write_bytes(aside / name, content)
    except OSError as error:
        raise UsageError(
            f"cannot be made ({error.strerror})", path, "choose another --out"
        ) from error


def read_prepared(path: Path, render: Render, pages: Pages) -> Prepared:
    """Read what was prepared, and draw all that people look at anew to compare it.

    Args:
        path: the folder.
        render: draws the preview.
        pages: what people are shown, by the policy that holds now.

    Raises:
        PolicyError: the preview, the datasheet or a page is not what the numbers and the policy
            give: a place to hide something, or to show something else than what leaves.
        BundleError: a file missing, too many, too large or malformed.
    """
    files = read_folder(path / CONTENT, SIGNED)
    manifest = Manifest.from_bytes(files[MANIFEST])
    anew = drawn(path, manifest, read_tensors(files[TENSORS], manifest), render)
    for name, content in anew.files.items():
        _require_same(path / CONTENT / name, files[name], content)
    for name, content in pages(anew).items():
        _require_same(path / name, _page(path / name, len(content)), content)
    return anew


def _page(path: Path, length: int) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(length + 1)
    except OSError as error:
        raise PolicyError(f"cannot be read ({error.strerror})", path, "prepare it again") from error


def _require_same(path: Path, there: bytes, anew: bytes) -> None:
    if there != anew:
        raise PolicyError(
            "is not what its numbers and the policy give when it is drawn anew",
            path,
            "prepare it again, and find out who changed it, or the policy",
        )
