"""The state of a run between two training steps, and its checkpoint on disk."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional

from gdshare.distill.unroll import Unknowns
from gdshare.distilled import Distilled
from gdshare.errors import RunError
from gdshare.method import Settings
from gdshare.protocol import CLASSES
from gdshare.seeding import torch_generator
from gdshare.storage import write_bytes

CHECKPOINT = "checkpoint.safetensors"
_TENSORS = 3


class Progress(BaseModel):
    """The part of a checkpoint that is not a tensor.

    Attributes:
        step: training steps done.
        updates: times the unknowns were moved (once a step, or with greedy once an inner step).
        skipped, skipped_in_a_row: updates left out because their derivative was of no use.
        norm: running mean of the derivative's norm; 0 before the first update.
        best_step, best_scores: of the best scored state so far, one score for each θ0; 0 and
            nothing before the first.
        metrics_bytes: length of ``metrics.jsonl`` at this point; the rest is a lost attempt.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    step: int = 0
    updates: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    norm: float = 0.0
    best_step: int = 0
    best_scores: tuple[float, ...] = ()
    metrics_bytes: int = 0


@dataclass(frozen=True)
class State:
    """Everything a run needs to go on.

    Attributes:
        unknowns: current images, logits and rates, on the CPU.
        first, second: Adam's two moments of each of the three tensors.
        best: the best scored unknowns so far (the start's, before the first score).
        progress: counters.
    """

    unknowns: Unknowns
    first: tuple[Tensor, Tensor, Tensor]
    second: tuple[Tensor, Tensor, Tensor]
    best: Unknowns
    progress: Progress


def initial_unknowns(settings: Settings, side: int) -> Unknowns:
    """x̃ from noise, ỹ a scaled one-hot with the classes in turn, α̃ at its start."""
    generator = torch_generator(settings.seed, "start")
    images = torch.randn(settings.images, 1, side, side, generator=generator)
    classes = torch.arange(settings.images) % len(CLASSES)
    logits = settings.label_scale * functional.one_hot(classes, len(CLASSES)).float()
    rates = 1 if settings.inner_rates == "shared" else settings.trajectory
    inverse_softplus = torch.log(
        torch.expm1(torch.tensor(settings.inner_rate, dtype=torch.float64))
    )
    return Unknowns(images, logits, torch.full((rates,), inverse_softplus.item()))


def initial_state(settings: Settings, side: int) -> State:
    """The state before the first training step."""
    unknowns = initial_unknowns(settings, side)
    a, b, c = (torch.zeros_like(tensor) for tensor in unknowns.tensors())
    return State(unknowns, (a, b, c), (a.clone(), b.clone(), c.clone()), unknowns, Progress())


def hard_targets(settings: Settings) -> Tensor:
    """One-hot rows [M, classes] when labels are hard, else an empty tensor."""
    if settings.labels == "soft":
        return torch.empty(0)
    return functional.one_hot(torch.arange(settings.images) % len(CLASSES), len(CLASSES)).float()


def as_distilled(unknowns: Unknowns, settings: Settings) -> Distilled:
    """The constrained values: what is scored, shown and published."""
    targets = hard_targets(settings)
    labels = targets if targets.numel() else functional.softmax(unknowns.logits, dim=1)
    return Distilled(
        unknowns.images.numpy().astype(np.float32),
        labels.numpy().astype(np.float32),
        functional.softplus(unknowns.rates).numpy().astype(np.float32),
    )


def save_checkpoint(folder: Path, state: State) -> None:
    """Write the checkpoint whole or not at all. One file, so its parts can never disagree."""
    tensors: dict[str, Tensor] = {}
    for group, members in _groups(state).items():
        # Copies, since the writer refuses tensors that share memory, as the best and the current
        # unknowns do right after a score.
        tensors |= {f"{group}.{i}": t.contiguous().clone() for i, t in enumerate(members)}
    metadata = {"progress": state.progress.model_dump_json()}
    write_bytes(folder / CHECKPOINT, save(tensors, metadata))


def load_checkpoint(folder: Path, settings: Settings, side: int) -> State:
    """Read the checkpoint, or start afresh where none was reached yet.

    Raises:
        RunError: damaged, or not of these settings.
    """
    path = folder / CHECKPOINT
    blank = initial_state(settings, side)
    if not path.exists():
        return blank
    try:
        data = path.read_bytes()
        tensors = load(data)
        progress = Progress.model_validate_json(_metadata(path)["progress"])
        groups = {
            group: tuple(tensors[f"{group}.{i}"] for i in range(_TENSORS))
            for group in _groups(blank)
        }
        for group, members in _groups(blank).items():
            if [t.shape for t in groups[group]] != [t.shape for t in members]:
                raise RunError("is not of these settings", path, "resume with the run's own")
    except (OSError, SafetensorError, KeyError, ValidationError) as error:
        raise RunError("damaged", path, "start again in a new folder") from error
    return replace(
        blank,
        unknowns=Unknowns(*groups["unknowns"]),
        first=_triple(groups["first"]),
        second=_triple(groups["second"]),
        best=Unknowns(*groups["best"]),
        progress=progress,
    )


def _groups(state: State) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    return {
        "unknowns": state.unknowns.tensors(),
        "first": state.first,
        "second": state.second,
        "best": state.best.tensors(),
    }


def _triple(tensors: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
    a, b, c = tensors
    return a, b, c


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as handle:
        return handle.metadata() or {}
