"""Do the rivals compute the same derivative? All from one θ0, images and minibatch.

In float64 they must agree to rounding. In float32 they do too, but for some draws: where a unit
lies so near ReLU's kink that rounding decides its side, two sound results differ by a percent or
two (at 64 px, seed 0 is such a draw; against float64 it is then one side that is off, by chance).
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.engine.rivals import Name
from benchmarks.engine.speed import MEGABYTE, SETTLING_STEPS, SpeedScale
from benchmarks.engine.team import Worker
from benchmarks.engine.worker import Job, Report

Precision = Literal["float32", "float64"]

SEED = 1


@dataclass(frozen=True)
class Agreement:
    """One rival held against the reference.

    Attributes:
        images, rates: |difference| / |reference's|, Euclidean, of the derivative.
        loss: difference of the outer losses, nats.
        cpu_seconds: for the derivative, of the rival and of the reference.
        added_bytes: likewise.
    """

    rival: Name
    reference: Name
    precision: Precision
    images: float
    rates: float
    loss: float
    cpu_seconds: tuple[float, float]
    added_bytes: tuple[int, int]


@dataclass(frozen=True)
class _Computed:
    report: Report
    images: Tensor
    rates: Tensor


def agreement(
    reference: Name,
    others: Sequence[Name],
    scale: SpeedScale,
    precision: Precision = "float32",
    checkout: Path | None = None,
    seed: int = SEED,
) -> list[Agreement]:
    """Compute one meta-gradient by several rivals, and hold each against the reference's.

    Args:
        reference: who all are held against.
        others: the rest; ``ours`` has labels and rates of its own, so take ``ours-recipe``.
        scale: the problem; its rounds do not matter.
        precision: float type throughout.
        checkout: of ssnl/dataset-distillation, where one of them is ``ssnl``.
        seed: decides every draw.
    """
    expected = _computed(reference, scale, precision, checkout, seed)
    seen = []
    for name in others:
        found = _computed(name, scale, precision, checkout, seed)
        pair = (found.report, expected.report)
        seen.append(
            Agreement(
                name,
                reference,
                precision,
                relative(found.images, expected.images),
                relative(found.rates, expected.rates),
                found.report.loss - expected.report.loss,
                (pair[0].cpu_seconds, pair[1].cpu_seconds),
                (pair[0].added_bytes, pair[1].added_bytes),
            )
        )
    return seen


def relative(found: Tensor, expected: Tensor) -> float:
    """Euclidean length of the difference over that of the expected."""
    return float(torch.linalg.norm(found - expected) / torch.linalg.norm(expected))


def table(seen: Sequence[Agreement]) -> str:
    """The table for people."""
    lines = [
        "Relative difference of the meta-gradient, by images and by rates; cost of each of the two",
        f"{'':20}{'':10}{'images':>10}{'rates':>10}{'CPU-s':>15}{'added MB':>14}",
    ]
    for one in seen:
        seconds = " : ".join(f"{s:.2f}" for s in one.cpu_seconds)
        memory = " : ".join(f"{b / MEGABYTE:.0f}" for b in one.added_bytes)
        lines.append(
            f"{one.rival + ' : ' + one.reference:20}{one.precision:10}"
            f"{one.images:10.1e}{one.rates:10.1e}{seconds:>15}{memory:>14}"
        )
    return "\n".join(lines)


def _computed(
    name: Name, scale: SpeedScale, precision: Precision, checkout: Path | None, seed: int
) -> _Computed:
    """The derivative, computed twice: the second time is the one that is timed."""
    job = Job(
        rival=name,
        network=scale.network,
        side=scale.side,
        batch=scale.batch,
        steps=scale.steps,
        seed=seed,
        precision=precision,
        checkout=checkout,
    )
    with tempfile.TemporaryDirectory(prefix="engine-") as folder, Worker(job) as worker:
        to = Path(folder) / "gradient.safetensors"
        report = [worker.gradient(to) for _ in range(SETTLING_STEPS)][-1]
        tensors = load_file(to)
    return _Computed(report, tensors["images"], tensors["rates"])
