"""Classifying whole films by patch voting (Li et al. 2020, section 2.3, Eq. 4)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from gdshare.films import Film
from gdshare.model import Model
from gdshare.networks import build, forward
from gdshare.patches import Grid, cut_rows, normalise
from gdshare.protocol import CLASSES, PatchClass, Protocol

Predict = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.int64]]
"""Normalised patches float32 [n, side, side] -> class int64 [networks, n], by each network."""


@dataclass(frozen=True)
class Votes:
    """How often a film's windows were called I, N and P, by all networks of the ensemble."""

    i: int
    n: int
    p: int

    @property
    def indeterminate(self) -> bool:
        """No network called any window N or P, so the film cannot be judged."""
        return self.n + self.p == 0

    @property
    def ratio(self) -> float:
        """P / (P + N), Eq. 4's left side; 0 for an indeterminate film."""
        return 0.0 if self.indeterminate else self.p / (self.p + self.n)

    def positive_at(self, threshold: float) -> bool:
        """Eq. 4: ratio >= ε; an indeterminate film is Eq. 4's "otherwise", whatever ε."""
        return not self.indeterminate and self.ratio >= threshold


def predictor(model: Model, device: str = "cpu") -> Predict:
    """Put a model on a device and return it as a function from patches to classes."""
    module = build(model.network, model.protocol.side)
    ensemble = [
        {name: tensor.to(device) for name, tensor in parameters.items()}
        for parameters in model.ensemble
    ]

    @torch.inference_mode()
    def predict(patches: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        x = torch.from_numpy(patches).unsqueeze(1).to(device)
        called = [forward(module, parameters, x).argmax(1) for parameters in ensemble]
        return torch.stack(called).cpu().numpy()

    return predict


def film_votes(film: Film, protocol: Protocol, predict: Predict) -> Votes:
    """Cut every window of a film and let each network vote on each. No mask is needed.

    Votes of an ensemble are counted together, as if each network brought its own windows: that
    keeps Eq. 4, and one network's odd θ0 has one share of the say.

    Raises:
        FilmError: see ``Grid.on``.
    """
    grid = Grid.on(film, protocol)
    tally = np.zeros(len(CLASSES), np.int64)
    for row in cut_rows(film.scaled(), grid, protocol.side):
        tally += np.bincount(predict(normalise(row, protocol)).ravel(), minlength=len(CLASSES))
    return Votes(*(int(tally[label]) for label in PatchClass))
