"""A prepared bundle: what would leave, laid out for people to review.

::

    PREPARED/
      content/        the five files that a signature would cover
      review.html     all of it on one page, for the approvers
      review.txt      the same as text
      nearest.safetensors  the training patch nearest to each image, after an audit; stays here
      audit.json, audit.sig  the audit whose figures leave, if somebody signed it; stays here
      score.json      what the images teach, see ``gdshare.distill.score_record``; stays here
      approvals/      the approvers' signatures, see ``approval``
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gdshare.audit import read_attacks
from gdshare.audit.nearest_patches import NearestPatches, read_nearest, write_nearest
from gdshare.audit.record import AUDIT, MAX_BYTES, SIGNATURE, signer_of_audit
from gdshare.bundle import Manifest, read_tensors
from gdshare.bundle.build import content_files
from gdshare.bundle.digests import digests_of, subject_digest
from gdshare.bundle.folder import read_folder
from gdshare.bundle.layout import MANIFEST, SIGNED, TENSORS
from gdshare.distill.score_record import ScoreRecord, read_score, write_score
from gdshare.distilled import Distilled
from gdshare.errors import PolicyError, UsageError
from gdshare.plain_files import TooLargeError, read_plain
from gdshare.storage import make_folder, new_folder, own_mode, write_bytes

CONTENT, APPROVALS = "content", "approvals"
PAGE, TEXT = "review.html", "review.txt"

Render = Callable[[Distilled], bytes]
"""Draws the preview: a PNG of the tensors and nothing else."""
Pages = Callable[["Prepared"], Mapping[str, bytes]]
"""Writes the pages people review: file name -> content."""


@dataclass(frozen=True)
class SignedAudit:
    """An audit that somebody signed.

    Attributes:
        content, signature: of ``audit.json`` and ``audit.sig``.
        signer: fingerprint of the key.
    """

    content: bytes
    signature: bytes
    signer: str


def read_signed_audit(folder: Path, distilled: Distilled) -> SignedAudit | None:
    """The audit of a run, or of what was prepared from it, if somebody signed it.

    Raises:
        RunError: it is damaged, about another result, or its signature is not its own.
    """
    signer = signer_of_audit(folder, distilled)
    if signer is None:
        return None
    return SignedAudit(
        read_plain(folder / AUDIT, MAX_BYTES), read_plain(folder / SIGNATURE, MAX_BYTES), signer
    )


@dataclass(frozen=True)
class Prepared:
    """What would leave.

    Attributes:
        path: the folder.
        files: name -> content of the five files.
        manifest, distilled: what they hold.
        digest: names the content, as it will name the bundle.
        score: what the images teach; it does not leave.
        nearest: the training patches nearest to the images, after an audit; they do not leave.
        audit: that the figures of attacks are from, if somebody signed it; it does not leave.
    """

    path: Path
    files: Mapping[str, bytes]
    manifest: Manifest
    distilled: Distilled
    digest: str
    score: ScoreRecord
    nearest: NearestPatches | None
    audit: SignedAudit | None = None


def prepared_from(
    path: Path,
    manifest: Manifest,
    distilled: Distilled,
    score: ScoreRecord,
    nearest: NearestPatches | None,
    render: Render,
    audit: SignedAudit | None = None,
) -> Prepared:
    """What ``prepare`` would lay out at ``path``."""
    files = content_files(manifest, distilled, render(distilled))
    digest = subject_digest(digests_of(files))
    return Prepared(path, files, manifest, distilled, digest, score, nearest, audit)


def prepare(prepared: Prepared, pages: Pages) -> None:
    """Write the folder, whole or not at all: for its owner, or for the group that shares the place.

    Args:
        prepared: what would leave, and where the folder goes.
        pages: writes the pages people review.

    Raises:
        UsageError: the folder exists, or cannot be made.
    """
    path = prepared.path
    try:
        make_folder(path.parent)
        with new_folder(path, own_mode(path.parent, 0o700)) as aside:
            for folder in (CONTENT, APPROVALS):
                (aside / folder).mkdir()
            for name, content in prepared.files.items():
                write_bytes(aside / CONTENT / name, content)
            for name, content in pages(prepared).items():
                write_bytes(aside / name, content)
            write_score(aside, prepared.score)
            if prepared.audit is not None:
                write_bytes(aside / AUDIT, prepared.audit.content)
                write_bytes(aside / SIGNATURE, prepared.audit.signature)
            if prepared.nearest is not None:
                write_nearest(aside, prepared.nearest, prepared.distilled)
    except OSError as error:
        raise UsageError(
            f"cannot be made ({error.strerror})", path, "choose another --out"
        ) from error


def read_prepared(path: Path, render: Render, pages: Pages) -> Prepared:
    """Read a prepared bundle; preview, datasheet and pages are made again and compared.

    Args:
        path: the folder.
        render: draws the preview.
        pages: writes the pages people review, for today's policy.

    Raises:
        PolicyError: the preview, the datasheet or a page is not what tensors, manifest and policy
            give; it could hide data, or show something other than what leaves.
        BundleError: a file is missing, unexpected, too large or malformed.
        RunError: ``score.json`` is missing; or it, the nearest patches or the signed audit is
            damaged or about other images.
    """
    files = read_folder(path / CONTENT, SIGNED)
    manifest = Manifest.from_bytes(files[MANIFEST])
    distilled = read_tensors(files[TENSORS], manifest)
    score, nearest = read_score(path, distilled), read_nearest(path, distilled)
    audit = read_signed_audit(path, distilled)
    if audit is not None and read_attacks(path, distilled) != manifest.attacks:
        raise PolicyError(
            "the signed audit has other figures than leave", path / AUDIT, "prepare it again"
        )
    prepared = prepared_from(path, manifest, distilled, score, nearest, render, audit)
    for name, content in prepared.files.items():
        _require_same(path / CONTENT / name, files[name], content)
    for name, content in pages(prepared).items():
        _require_same(path / name, _page(path / name, len(content)), content)
    return prepared


def _page(path: Path, length: int) -> bytes:
    try:
        return read_plain(path, length, follow=False)
    except TooLargeError:
        return b""  # another page
    except OSError as error:
        raise PolicyError(f"cannot be read ({error.strerror})", path, "prepare it again") from error


def _require_same(path: Path, content: bytes, expected: bytes) -> None:
    if content != expected:
        raise PolicyError(
            "is not what the images, the manifest and the policy give",
            path,
            "prepare it again, and find out who changed it, or the policy",
        )
