"""Eq. 4 of Li et al. 2020: classifying whole films by the votes of their patches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from gdshare.films import Film
from gdshare.model import Model
from gdshare.networks import build, forward
from gdshare.patches import Grid, film_patches, normalise
from gdshare.protocol import CLASSES, PatchClass, Protocol

Verdict = Literal["positive", "negative", "indeterminate"]
Predict = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.int64]]
"""Normalised patches float32 [n, side, side] -> classes int64 [networks, n]."""


@dataclass(frozen=True)
class Votes:
    """Votes for I, N and P on a film's windows, of all networks of the ensemble together."""

    i: int
    n: int
    p: int

    @property
    def indeterminate(self) -> bool:
        """Whether no window was voted N or P, so that Eq. 4 has no ratio."""
        return self.n + self.p == 0

    @property
    def ratio(self) -> float:
        """Num(P) / (Num(P) + Num(N)), the left side of Eq. 4; 0 for an indeterminate film."""
        return 0.0 if self.indeterminate else self.p / (self.p + self.n)

    def positive_at(self, threshold: float) -> bool:
        """Eq. 4: whether ratio >= ε. An indeterminate film is "otherwise": negative at any ε."""
        return not self.indeterminate and self.ratio >= threshold

    def verdict_at(self, threshold: float) -> Verdict:
        """For people, who are told that an indeterminate film is none of both."""
        if self.indeterminate:
            return "indeterminate"
        return "positive" if self.positive_at(threshold) else "negative"


@dataclass(frozen=True)
class VoteMap:
    """What every network calls every window of a film.

    Attributes:
        grid: the windows.
        called: uint8 [networks, rows, columns], of ``PatchClass``.
    """

    grid: Grid
    called: npt.NDArray[np.uint8]

    @property
    def votes(self) -> Votes:
        """All of them together: each network counts as if it had windows of its own."""
        tally = np.bincount(self.called.ravel(), minlength=len(CLASSES))
        return Votes(*(int(tally[label]) for label in PatchClass))

    def share(self, label: PatchClass) -> npt.NDArray[np.float64]:
        """How many of the networks call each window so: float64 [rows, columns] in [0, 1]."""
        share: npt.NDArray[np.float64] = (self.called == label).mean(0)
        return share


def predictor(model: Model, device: str = "cpu") -> Predict:
    """A model on a device, as a function from patches to classes."""
    module = build(model.network, model.protocol.side)
    ensemble = [
        {name: tensor.to(device) for name, tensor in parameters.items()}
        for parameters in model.ensemble
    ]

    @torch.inference_mode()
    def predict(patches: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        x = torch.from_numpy(patches).unsqueeze(1).to(device)
        classes = [forward(module, parameters, x).argmax(1) for parameters in ensemble]
        return torch.stack(classes).cpu().numpy()

    return predict


def vote_map(film: Film, protocol: Protocol, predict: Predict) -> VoteMap:
    """Cut every window of a film and let every network vote on it. No mask is needed.

    Raises:
        FilmError: see ``Grid.on``.
    """
    grid = Grid.on(film, protocol)
    rows = [predict(normalise(row, protocol)) for row in film_patches(film, grid, protocol)]
    return VoteMap(grid, np.stack(rows, axis=1).astype(np.uint8))


def film_votes(film: Film, protocol: Protocol, predict: Predict) -> Votes:
    """A film's votes, of an ensemble together.

    Eq. 4 stays as it is, and a network from an unlucky θ0 has only its share of the votes.

    Raises:
        FilmError: see ``Grid.on``.
    """
    return vote_map(film, protocol, predict).votes
