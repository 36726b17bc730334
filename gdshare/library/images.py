"""Distilled images as a value, with all that a receiver needs to train on them. Needs no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from gdshare.bundle import Manifest
from gdshare.distill.run_folder import RESULT
from gdshare.distill.score_record import tensors_digest
from gdshare.distilled import Distilled
from gdshare.errors import UsageError
from gdshare.method import Frozen, Method
from gdshare.protocol import Protocol
from gdshare.storage import new_folder, write_bytes, write_json

RECORD = "images.json"
MAX_CLASSES = 255

Signature = Literal["verified", "not checked", "none"]


@dataclass(frozen=True)
class DistilledImages:
    """Distilled images, their soft labels and learning rates, and how they were made.

    Attributes:
        name: of the hospital; of a run its folder; of arrays what the caller said.
        tensors: images, labels and learning rates in normalised units.
        classes: names of the soft labels' columns.
        protocol: how patches were cut and normalised. Of arrays, its side, mean and std count.
        method: settings that they were distilled with; never a seed.
        initialiser: name and version of the scheme that draws θ0.
        theta0_sha256: of the announced θ0; None if θ0 was random.
        patients: training patients, which pooling weighs by; a bundle's are at least so many, or
            with a guarantee about so many.
        score: class-balanced accuracy on validation patches, in [0, 1], of networks trained on the
            images alone; None of a bundle, which does not say.
        signature: of a bundle, ``verified`` with a key or ``not checked``; else ``none``.
        manifest: of a bundle: its terms, attacks and counts; else None.
    """

    name: str
    tensors: Distilled
    classes: tuple[str, ...]
    protocol: Protocol
    method: Method
    initialiser: str
    theta0_sha256: str | None
    patients: int
    score: float | None
    signature: Signature = "none"
    manifest: Manifest | None = None

    @property
    def images(self) -> npt.NDArray[np.float32]:
        """Normalised, float32 [M, 1, side, side]: (gray - mean) / std. Networks train on these."""
        return self.tensors.images

    @property
    def gray(self) -> npt.NDArray[np.float32]:
        """The images as gray levels, float32 [M, side, side]; some lie outside [0, 1]."""
        scale, shift = np.float32(self.protocol.std), np.float32(self.protocol.mean)
        return np.asarray(self.images[:, 0] * scale + shift, np.float32)

    @property
    def labels(self) -> npt.NDArray[np.float32]:
        """Soft labels, float32 [M, classes]; each row sums to 1."""
        return self.tensors.labels

    @property
    def learning_rates(self) -> npt.NDArray[np.float32]:
        """Float32 [1] if all inner steps share it, else [steps]; all above 0."""
        return self.tensors.learning_rates

    @property
    def digest(self) -> str:
        """SHA-256 of the tensors, 64 hex digits."""
        return tensors_digest(self.tensors)

    def __repr__(self) -> str:
        """One line, without the arrays."""
        count, _, side, _ = self.images.shape
        score = "" if self.score is None else f", score {self.score:.3f}"
        signed = "" if self.signature == "none" else f", signature {self.signature}"
        return (
            f"<DistilledImages {self.name}: {count} of {side} x {side} px, "
            f"classes {', '.join(self.classes)}{score}{signed}>"
        )

    def save(self, folder: Path) -> None:
        """Write ``distilled.safetensors`` and ``images.json``, which ``load_images`` reads.

        Args:
            folder: must not exist yet, or be empty; it appears complete or not at all.

        Raises:
            UsageError: the images are a bundle's; or the folder is not empty.
        """
        if self.manifest is not None:
            raise UsageError(
                "a bundle's images would lose their signature and terms",
                folder,
                "copy the bundle's folder as it is",
            )
        record = ImagesRecord(
            tensors_sha256=self.digest,
            **{name: getattr(self, name) for name in ImagesRecord.COPIED},
        )
        try:
            with new_folder(folder) as aside:
                write_bytes(aside / RESULT, self.tensors.to_bytes())
                write_json(aside / RECORD, record.model_dump(mode="json"))
        except FileExistsError as error:
            raise UsageError("already exists", folder, "choose another folder") from error


class ImagesRecord(Frozen):
    """``images.json``: what ``DistilledImages`` says beside its tensors."""

    COPIED: ClassVar = (
        *("name", "classes", "protocol", "method"),
        *("initialiser", "theta0_sha256", "patients", "score"),
    )

    format: Literal["gdshare-images/1"] = "gdshare-images/1"
    tensors_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    name: Annotated[str, Field(max_length=4096)]
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=MAX_CLASSES)]
    protocol: Protocol
    method: Method
    initialiser: Annotated[str, Field(max_length=100)]
    theta0_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    patients: Annotated[int, Field(ge=0, le=10**9)]
    score: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)] | None

    def fits(self, tensors: Distilled) -> bool:
        """Whether the tensors are those that it was written with."""
        return (
            self.tensors_sha256 == tensors_digest(tensors)
            and tensors.labels.shape[1] == len(self.classes)
            and tensors.images.shape[2] == self.protocol.side
        )
