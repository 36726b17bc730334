"""Time and memory of one training step, each rival doing equal work in turn.

Rounds are interleaved: in each, every rival takes one step in its own process while the others
wait, so that a machine that is busy for a while is busy for all of them, and each round begins with
another rival. The first round warms up; its times are dropped.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.engine.rivals import Name, stand_in
from benchmarks.engine.worker import Do, Job, Report, worker
from gdshare.distill.precision import fastest_precision
from gdshare.networks import build
from gdshare.protocol import CLASSES
from studies.tables import Row, Table

Start = Callable[[Job], AbstractContextManager[Do]]
"""Makes a rival ready for a job; ``worker`` but in tests."""

MEGABYTE = 1e6
SETTLING_STEPS = 2
"""Steps after which a process's memory no longer rises."""
GEMM_SIDE, GEMM_REPEATS = 1024, 15


@dataclass(frozen=True)
class SpeedScale:
    """How much work a measurement is."""

    job: Job = Job()  # noqa: RUF009 - frozen
    more_steps: int = 27  # of a longer trajectory, for how memory grows with it
    rounds: int = 7  # beside the one that warms up
    every_rival: bool = True  # the recipe beside their code, and bfloat16 where it is emulated


FULL = SpeedScale()
"""The work that the claims are made for."""
DEFAULT = SpeedScale(Job(network="convnet", side=32))
"""What ``gdshare distill`` does at 32 px by default."""
QUICK = SpeedScale(rounds=3, every_rival=False)


@dataclass(frozen=True)
class Speed:
    """Measured of all rivals."""

    scale: SpeedScale
    stand_in: Name
    rounds: Mapping[Name, Sequence[Report]]
    longer_bytes: int  # memory that our engine added with ``scale.more_steps``
    weight_bytes: int  # one set of float32 weights
    flops: int  # of one training step, see ``outer_step_flops``
    gemm: float  # GFLOP a CPU-second, median over the rounds

    def seconds(self, name: Name) -> float:
        """Median CPU-seconds a training step."""
        return median(report.cpu_seconds for report in self.rounds[name])

    def added_bytes(self, name: Name) -> int:
        return self.rounds[name][-1].added_bytes

    def of_gemm(self, name: Name) -> float:
        """Share of the matrix product's speed that a rival reaches in a training step."""
        return self.flops / self.seconds(name) / 1e9 / self.gemm

    @property
    def round_speedups(self) -> list[float]:
        """By round: the stand-in's CPU-seconds over ours."""
        pairs = zip(self.rounds[self.stand_in], self.rounds["ours"], strict=True)
        return [theirs.cpu_seconds / ours.cpu_seconds for theirs, ours in pairs]

    @property
    def memory_growth(self) -> float:
        """Bytes that each inner step beyond the job's adds to our engine's memory."""
        further = self.scale.more_steps - self.scale.job.steps
        return (self.longer_bytes - self.added_bytes("ours")) / further

    def figures(self) -> dict[str, object]:
        return {
            "stand_in": self.stand_in,
            "speedup_vs_ssnl": self.seconds(self.stand_in) / self.seconds("ours"),
            "speedup_vs_ssnl_low": min(self.round_speedups),
            "speedup_vs_ssnl_high": max(self.round_speedups),
            "memory_ratio_vs_ssnl": self.added_bytes("ours") / self.added_bytes(self.stand_in),
            "memory_growth_per_step_bytes": self.memory_growth,
            "weight_bytes": self.weight_bytes,
            "gemm_gflops": self.gemm,
            "outer_step_gflop": self.flops / 1e9,
            "rivals": {
                name: {
                    "cpu_seconds": [report.cpu_seconds for report in reports],
                    "added_bytes": self.added_bytes(name),
                    "fraction_of_gemm": self.of_gemm(name),
                }
                for name, reports in self.rounds.items()
            },
        }


def measure(
    scale: SpeedScale, checkout: Path | None, say: Callable[[str], None], start: Start = worker
) -> Speed:
    """Time every rival that can run here; ``say`` is called with a line a round."""
    job, theirs = scale.job, stand_in(checkout)
    names: list[Name] = [theirs, "graph", "ours"]
    # Without the processor's own instructions bfloat16 is emulated, ten times as slow as float32.
    if scale.every_rival or fastest_precision("convnet", "cpu") == "bfloat16":
        names.append(other_precision(job.network))
    if theirs == "ssnl" and scale.every_rival:
        names.insert(1, "recipe")
    rounds, products = [], []
    with ExitStack() as stack:
        jobs = {name: replace(job, rival=name, checkout=checkout) for name in names}
        ready = {name: stack.enter_context(start(own)) for name, own in jobs.items()}
        for index in range(scale.rounds + 1):
            first = index % len(names)
            reports = {name: ready[name]("step") for name in (*names[first:], *names[:first])}
            rounds.append(reports)
            products.append(gemm_gflops())
            seconds = "  ".join(f"{name} {reports[name].cpu_seconds:.2f}" for name in names)
            say(f"round {index or 'to warm up'}: {seconds} CPU-s")
    with start(replace(job, rival="ours", steps=scale.more_steps)) as do:
        longer = [do("step") for _ in range(SETTLING_STEPS)][-1]
    module = build(job.network, job.side)
    return Speed(
        scale,
        theirs,
        {name: [reports[name] for reports in rounds[1:]] for name in names},
        longer.added_bytes,
        sum(weights.nbytes for weights in module.parameters()),
        outer_step_flops(forward_flops(module, job.side), len(CLASSES), job.steps, job.batch),
        median(products),
    )


def other_precision(network: str) -> Name:
    """Our engine at the precision that it would not choose by itself."""
    return "ours-f32" if fastest_precision(network, "cpu") == "bfloat16" else "ours-bf16"


def forward_flops(module: nn.Module, side: int) -> int:
    """Floating-point operations of a forward pass of one patch of ``side`` px: 2 a multiply-add.

    Of convolutions and linear layers; beside those, norms, activations and pooling are small.
    """
    with FlopCounterMode(display=False) as counter:
        module(torch.empty(1, 1, side, side, device="meta"))
    return int(counter.get_total_flops())


def outer_step_flops(forward: int, images: int, steps: int, batch: int) -> int:
    """Floating-point operations that one training step cannot do without.

    With F those of a forward pass: an inner step's gradient is F forward and 2F back, on each of M
    images. Sending a vector back through that gradient touches each of its three products once
    more for each of their two factors, 6F. The final loss on the minibatch and its derivative by
    the weights are 3F a patch. In all, F · (9 · M · E · I + 3 · K). What an engine computes a
    second time to save memory is not counted in its favour, nor are Adam and the drawing of θ0.
    """
    return forward * (9 * images * steps + 3 * batch)


def gemm_gflops() -> float:
    """Speed of a float32 product of two 1024 x 1024 matrices, GFLOP a CPU-second, one thread."""
    a, b = torch.randn(2, GEMM_SIDE, GEMM_SIDE, dtype=torch.float32)
    seconds = []
    for _ in range(GEMM_REPEATS):
        began = time.process_time()
        a @ b
        seconds.append(time.process_time() - began)
    return 2 * GEMM_SIDE**3 / median(seconds) / 1e9


def table(speed: Speed) -> str:
    job, theirs = speed.scale.job, speed.stand_in
    title = (
        f"One training step: {job.network}, {job.side} px, {len(CLASSES)} images, "
        f"{job.steps} inner steps, {job.batch} real patches, one thread"
    )
    rows: list[Row] = [
        [
            name,
            f"{speed.seconds(name):.2f}",
            f"{speed.seconds(theirs) / speed.seconds(name):.2f}x",
            f"{speed.added_bytes(name) / MEGABYTE:.0f}",
            f"{speed.added_bytes(name) / speed.added_bytes(theirs):.2f}x",
            f"{speed.of_gemm(name):.0%}",
        ]
        for name in speed.rounds
    ]
    low, high = min(speed.round_speedups), max(speed.round_speedups)
    return f"""\
{Table(title, ["", "CPU-s", "speed", "added MB", "memory", "of GEMM"], rows)}
1x is {theirs}; over {speed.scale.rounds} rounds ours is {low:.2f}x to {high:.2f}x
Here ours computes in {fastest_precision(job.network, "cpu")}; with bfloat16 (bf16) the factors \
of products are rounded: the same work, less exact.
A training step is {speed.flops / 1e9:.0f} GFLOP; matrix products run at {speed.gemm:.0f} GFLOP/s \
here.
Ours at {speed.scale.more_steps} inner steps adds {speed.longer_bytes / MEGABYTE:.0f} MB: \
{speed.memory_growth / MEGABYTE:.1f} MB a further step; one set of weights is \
{speed.weight_bytes / MEGABYTE:.1f} MB."""
