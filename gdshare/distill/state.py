"""The state of a run between two training steps, and its checkpoint on disk."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional

from gdshare.distill.unroll import Unknowns, constrain
from gdshare.distilled import Distilled
from gdshare.errors import RunError
from gdshare.method import Settings
from gdshare.plain_files import MAX_TENSORS, read_plain
from gdshare.protocol import CLASSES
from gdshare.seeding import torch_generator
from gdshare.storage import write_bytes

CHECKPOINT = "checkpoint.safetensors"
MEMORY = "memory."
LISTS = ("old_dirs", "old_stps", "ro")
"""Of L-BFGS's memory: what it keeps of each of its last steps."""


class Progress(BaseModel):
    """The part of a checkpoint that is not a tensor.

    Attributes:
        step: training steps done.
        updates: updates of the unknowns: one a training step, or with greedy one an inner step.
        skipped, skipped_in_a_row: updates skipped because their gradient was useless.
        norm: running mean of the gradient's norm; 0 before the first update.
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
        memory: what L-BFGS knows of its last steps, by torch's names; empty with Adam.
        best: the best scored unknowns so far; before the first score, the initial ones.
        progress: counters.
    """

    unknowns: Unknowns
    first: tuple[Tensor, Tensor, Tensor]
    second: tuple[Tensor, Tensor, Tensor]
    best: Unknowns
    progress: Progress
    memory: Mapping[str, Tensor] = field(default_factory=dict)


def initial_unknowns(settings: Settings, side: int, classes: int = len(CLASSES)) -> Unknowns:
    """x̃ from noise, ỹ a scaled one-hot with the classes in turn, α̃ at its initial value."""
    generator = torch_generator(settings.seed, "start")
    images = torch.randn(settings.images, 1, side, side, generator=generator)
    logits = settings.label_scale * _one_hot(settings.images, classes)
    rates = 1 if settings.inner_rates == "shared" else settings.trajectory
    inverse_softplus = torch.log(
        torch.expm1(torch.tensor(settings.inner_rate, dtype=torch.float64))
    )
    return Unknowns(images, logits, torch.full((rates,), inverse_softplus.item()))


def initial_state(settings: Settings, side: int, classes: int = len(CLASSES)) -> State:
    """The state before the first training step."""
    unknowns = initial_unknowns(settings, side, classes)
    a, b, c = (torch.zeros_like(tensor) for tensor in unknowns.tensors())
    return State(unknowns, (a, b, c), (a.clone(), b.clone(), c.clone()), unknowns, Progress())


def hard_labels(settings: Settings, classes: int) -> Tensor:
    """One-hot rows, float32 [M, classes], where labels are hard; else an empty tensor."""
    return torch.empty(0) if settings.labels == "soft" else _one_hot(settings.images, classes)


def as_distilled(unknowns: Unknowns, settings: Settings) -> Distilled:
    """The constrained values: what is scored, shown and published."""
    data = constrain(unknowns, hard_labels(settings, unknowns.classes), settings.sets)
    return Distilled(
        data.images.numpy().astype(np.float32),
        data.labels.numpy().astype(np.float32),
        data.rates.numpy().astype(np.float32),
    )


def save_checkpoint(folder: Path, state: State) -> None:
    """Write the checkpoint whole or not at all. It is one file, so its parts always agree."""
    tensors: dict[str, Tensor] = {}
    for group, members in _groups(state).items():
        # Copies, since the writer refuses tensors that share memory, as the best and the current
        # unknowns do right after a score.
        tensors |= {f"{group}.{i}": t.contiguous().clone() for i, t in enumerate(members)}
    tensors |= {f"{MEMORY}{name}": t.contiguous().clone() for name, t in state.memory.items()}
    metadata = {"progress": state.progress.model_dump_json()}
    write_bytes(folder / CHECKPOINT, save(tensors, metadata))


def load_checkpoint(folder: Path, settings: Settings, side: int) -> State:
    """Read the checkpoint; the initial state where there is none yet.

    Raises:
        RunError: damaged, or of other settings.
    """
    path = folder / CHECKPOINT
    initial = initial_state(settings, side)
    if not path.exists():
        return initial
    try:
        tensors = load(read_plain(path, MAX_TENSORS))
        progress = Progress.model_validate_json(_metadata(path)["progress"])
        groups = {
            group: (tensors[f"{group}.0"], tensors[f"{group}.1"], tensors[f"{group}.2"])
            for group in _groups(initial)
        }
    except (OSError, SafetensorError, KeyError, ValidationError) as error:
        raise RunError("damaged", path, "start again in a new folder") from error
    for group, members in _groups(initial).items():
        if [t.shape for t in groups[group]] != [t.shape for t in members]:
            raise RunError("is of other settings", path, "resume with the run's own settings")
    memory = {
        name.removeprefix(MEMORY): tensor
        for name, tensor in tensors.items()
        if name.startswith(MEMORY)
    }
    if not _fits(memory, sum(tensor.numel() for tensor in initial.unknowns.tensors())):
        raise RunError("damaged", path, "start again in a new folder")
    return replace(
        initial,
        unknowns=Unknowns(*groups["unknowns"]),
        first=groups["first"],
        second=groups["second"],
        best=Unknowns(*groups["best"]),
        progress=progress,
        memory=memory,
    )


def _fits(memory: Mapping[str, Tensor], unknowns: int) -> bool:
    """Whether L-BFGS can go on: the last loss and gradient, and steps of so many unknowns."""
    if not memory:
        return True
    steps = {memory[name].shape[:1] for name in LISTS if name in memory}
    vectors = [t for name, t in memory.items() if name not in LISTS and t.dim() == 1]
    rows = [memory[name] for name in LISTS if name in memory and memory[name].dim() == 2]
    return (
        {"loss", "gradient"} <= set(memory)
        and all(len(vector) == unknowns for vector in vectors)
        and all(row.shape[1] == unknowns for row in rows)
        and len(steps) <= 1
    )


def _one_hot(images: int, classes: int) -> Tensor:
    """The classes in turn, float32 [images, classes]."""
    return functional.one_hot(torch.arange(images) % classes, classes).float()


def _groups(state: State) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    return {
        "unknowns": state.unknowns.tensors(),
        "first": state.first,
        "second": state.second,
        "best": state.best.tensors(),
    }


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as handle:
        return handle.metadata() or {}
