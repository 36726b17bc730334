"""The result of a distillation: images, soft labels, learning rates. Numpy only.

Serialised as ``distilled.safetensors``: exactly three float32 tensors and no metadata, in the byte
order of the safetensors writer, so that equal content gives equal bytes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from gdshare.errors import RunError

TENSORS = ("images", "labels", "learning_rates")
SIMPLEX_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Distilled:
    """A distilled data set.

    Attributes:
        images: float32 [M, 1, side, side], in normalised units: (pixel - mean) / std, as in the
            protocol.
        labels: float32 [M, classes], each row a distribution over (I, N, P), or over
            other classes if they were distilled from arrays.
        learning_rates: float32 [1] when shared by all steps, else [E * I], all positive.
    """

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]
    learning_rates: npt.NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """Serialise as safetensors; equal values always give equal bytes."""
        return save({name: np.ascontiguousarray(getattr(self, name)) for name in TENSORS})

    def problem(self) -> str | None:
        """The first thing wrong with the values, in words; None when they are sound.

        Checked: dtypes, ranks, sizes that agree, finiteness, labels on the simplex within 1e-4,
        positive learning rates.
        """
        for name in TENSORS:
            if getattr(self, name).dtype != np.float32:
                return f"tensor {name} is {getattr(self, name).dtype}, not float32"
        if self.images.ndim != 4 or self.images.shape[1] != 1:
            return f"images have shape {self.images.shape}, not [M, 1, side, side]"
        if self.images.shape[2] != self.images.shape[3]:
            return f"images are {self.images.shape[2]} x {self.images.shape[3]} px, not square"
        if self.labels.ndim != 2 or len(self.labels) != len(self.images):
            return f"labels have shape {self.labels.shape} for {len(self.images)} images"
        if self.learning_rates.ndim != 1 or not len(self.learning_rates):
            return f"learning rates have shape {self.learning_rates.shape}, not [steps]"
        for name in TENSORS:
            if not np.isfinite(getattr(self, name)).all():
                return f"tensor {name} has values that are not finite"
        if (self.labels < 0).any() or (
            np.abs(self.labels.sum(axis=1, dtype=np.float64) - 1) > SIMPLEX_TOLERANCE
        ).any():
            return "a soft label is not a distribution (negative, or not summing to 1)"
        if (self.learning_rates <= 0).any():
            return "a learning rate is not positive"
        return None

    def require_sound(self, where: str) -> "Distilled":
        """Return self, or refuse.

        Raises:
            RunError: naming ``where`` and the first problem.
        """
        problem = self.problem()
        if problem:
            raise RunError(problem, where, "distil again")
        return self
