"""Bundles and models that this node was shown before, kept by digest so that they travel once.

They are kept in ``state``, bounded in number and bytes; the ones used longest ago go first. A file
appears whole or not at all, and what is kept is believed no more than what just arrived: bundles
are verified again each time (``tied``), and weights must have the SHA-256 that was written down.
"""

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gdshare.bundle.digests import digests_of, subject_digest
from gdshare.bundle.layout import BOUNDS
from gdshare.messages import MAX_BUNDLES, MAX_TEXT
from gdshare.model import MAX_MODEL_BYTES
from gdshare.plain_files import read_plain
from gdshare.signing.names import Digest
from gdshare.storage import write_bytes
from hospital_node.parcel import read_frames, write_frames

MIB: Final = 1 << 20
RECORD_BYTES: Final = MIB

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shelf:
    """A folder of items by digest.

    Attributes:
        folder: made when the first item is put there.
        most: how many items are kept.
        most_bytes: of all items together.
        largest: bytes of one item; a larger one is not kept.
    """

    folder: Path
    most: int
    most_bytes: int
    largest: int

    def get(self, digest: str) -> list[bytes] | None:
        """The pieces of an item; None: it is not here, or cannot be read, and is gone then."""
        path = self.folder / digest
        try:
            pieces = read_frames(BytesIO(read_plain(path, self.largest, follow=False)))
            os.utime(path)
        except FileNotFoundError:
            return None
        except (OSError, EOFError, ValueError) as error:
            log.warning("%s: cannot be used, and is sent anew (%s)", path, error)
            self.drop(digest)
            return None
        return pieces

    def put(self, digest: str, pieces: Sequence[bytes]) -> None:
        """Keep an item, if it fits; a full disk costs nothing but that it is sent anew."""
        stream = BytesIO()
        write_frames(stream, pieces)
        if stream.tell() > self.largest:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._make_room(stream.tell())
            write_bytes(self.folder / digest, stream.getvalue(), 0o600)
        except OSError as error:
            log.warning("%s: not kept, and sent anew next time (%s)", self.folder, error.strerror)

    def drop(self, digest: str) -> None:
        """Keep an item no longer."""
        try:
            (self.folder / digest).unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s: cannot be deleted (%s)", self.folder / digest, error.strerror)

    def _make_room(self, size: int) -> None:
        """Delete what was used longest ago, and what a kill left, until ``size`` more bytes fit."""
        items = sorted(
            (entry.stat().st_mtime, entry.stat().st_size, entry.name)
            for entry in os.scandir(self.folder)
        )
        there, bytes_there = len(items), sum(item[1] for item in items)
        for _, freed, name in items:
            if there < self.most and bytes_there + size <= self.most_bytes:
                return
            self.drop(name)
            there, bytes_there = there - 1, bytes_there - freed


def bundle_shelf(state: Path) -> Shelf:
    """Where bundles are kept."""
    largest = sum(BOUNDS.values()) + MIB
    return Shelf(state / "bundles", 2 * MAX_BUNDLES, 512 * MIB, largest)


def model_shelf(state: Path) -> Shelf:
    """Where models are kept."""
    return Shelf(state / "models", 4, 512 * MIB, MAX_MODEL_BYTES + RECORD_BYTES)


def keep_bundle(shelf: Shelf, files: Mapping[str, bytes]) -> None:
    """Keep the files of a bundle that was verified."""
    names = sorted(BOUNDS)
    digest = subject_digest(digests_of(files))
    shelf.put(digest, [piece for name in names for piece in (name.encode(), files[name])])


def kept_bundle(shelf: Shelf, digest: str) -> dict[str, bytes] | None:
    """The files of a bundle, to be verified; None: it is not here."""
    pieces = shelf.get(digest)
    if pieces is None:
        return None
    files = dict(
        zip((name.decode("utf-8", "replace") for name in pieces[::2]), pieces[1::2], strict=False)
    )
    if files.keys() != BOUNDS.keys() or subject_digest(digests_of(files)) != digest:
        log.warning("%s: altered, and sent anew", shelf.folder / digest)
        shelf.drop(digest)
        return None
    return files


class ModelOrigin(BaseModel):
    """Where a kept model comes from.

    Attributes:
        weights_sha256: of its bytes.
        pooling, seed, ensemble, bundles: of its recipe; no bundle: somebody sent the weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gdshare-kept-model/1"] = "gdshare-kept-model/1"
    weights_sha256: Digest
    pooling: Annotated[str, Field(max_length=MAX_TEXT)] = ""
    seed: int = 0
    ensemble: int = 0
    bundles: Annotated[tuple[Digest, ...], Field(max_length=MAX_BUNDLES)] = ()


def keep_model(shelf: Shelf, digest: str, origin: ModelOrigin, weights: bytes) -> None:
    """Keep a model under the digest that names it in questions."""
    shelf.put(digest, [origin.model_dump_json().encode(), weights])


def kept_model(shelf: Shelf, digest: str) -> tuple[ModelOrigin, bytes] | None:
    """A model's origin and weights, which have the SHA-256 written down; None: it is not here."""
    pieces = shelf.get(digest)
    if pieces is None:
        return None
    try:
        record, weights = pieces
        origin = ModelOrigin.model_validate_json(record)
        if hashlib.sha256(weights).hexdigest() == origin.weights_sha256:
            return origin, weights
        reason = "altered"
    except (ValueError, ValidationError) as error:
        reason = f"no record ({type(error).__name__})"
    log.warning("%s: %s, and made anew", shelf.folder / digest, reason)
    shelf.drop(digest)
    return None
