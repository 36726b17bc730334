"""Time and memory of one training step, each rival doing equal work in turn.

Rounds are interleaved: in each, every rival takes one step in its own process while the others
wait, so that a machine that is busy for a while is busy for all of them, and each round begins with
another rival. One round warms up; its times are dropped. Times are CPU-seconds of the rival's
process, memory is the highest resident set since before the first step, less what was resident then
(network and data loaded).
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal, Protocol

from benchmarks.engine.flops import forward_flops, gemm_gflops, outer_step_flops
from benchmarks.engine.rivals import Name
from benchmarks.engine.team import Worker
from benchmarks.engine.worker import Job, Report
from gdshare.distill.precision import fitting
from gdshare.networks import build
from gdshare.protocol import CLASSES


class Stepper(Protocol):
    """Whoever takes training steps and reports them; ``team.Worker`` in earnest."""

    def step(self) -> Report:
        """One training step."""


Start = Callable[[Job], AbstractContextManager[Stepper]]

MEGABYTE = 1e6
FLOAT32_BYTES = 4
SETTLING_STEPS = 2
"""Steps after which a process's memory has seen all that it will see."""


@dataclass(frozen=True)
class SpeedScale:
    """How much work a measurement is.

    Attributes:
        network, side, batch, steps: of the noise problem; M is one image a class.
        more_steps: a longer trajectory, for how memory grows with it.
        rounds: counted ones.
        every_rival: whether the recipe runs even where it need not stand in, and bfloat16 even
            where it is emulated.
    """

    network: Literal["resnet18", "convnet"] = "resnet18"
    side: int = 64
    batch: int = 64
    steps: int = 9
    more_steps: int = 27
    rounds: int = 7
    every_rival: bool = True


FULL = SpeedScale()
"""The work that the claims are made for."""
DEFAULT = SpeedScale(network="convnet", side=32)
"""What ``gdshare distill`` does at 32 px when told nothing."""
QUICK = SpeedScale(rounds=3, every_rival=False)


@dataclass(frozen=True)
class RivalSpeed:
    """What was seen of one rival.

    Attributes:
        cpu_seconds: a training step, one entry a counted round.
        added_bytes: memory.
    """

    cpu_seconds: tuple[float, ...]
    added_bytes: int

    @property
    def median(self) -> float:
        """Median CPU-seconds a training step."""
        return median(self.cpu_seconds)


@dataclass(frozen=True)
class Speed:
    """What was seen of all.

    Attributes:
        stand_in: the rival that stands for Wang et al.: their own code, or ours of their recipe.
        longer_bytes: memory that our engine added with ``scale.more_steps``.
        weight_bytes: one set of float32 weights.
        flops: of one training step, see ``flops.outer_step_flops``.
        gemm: GFLOP a CPU-second, median of one look a round.
    """

    scale: SpeedScale
    stand_in: Name
    rivals: Mapping[Name, RivalSpeed]
    longer_bytes: int
    weight_bytes: int
    flops: int
    gemm: float

    @property
    def round_speedups(self) -> list[float]:
        """For each round, the stand-in's CPU-seconds over ours."""
        theirs, ours = self.rivals[self.stand_in].cpu_seconds, self.rivals["ours"].cpu_seconds
        return [a / b for a, b in zip(theirs, ours, strict=True)]

    @property
    def memory_growth(self) -> float:
        """Bytes that each inner step beyond ``scale.steps`` adds to our engine's memory."""
        further = self.scale.more_steps - self.scale.steps
        return (self.longer_bytes - self.rivals["ours"].added_bytes) / further

    def of_gemm(self, name: Name) -> float:
        """Share of the matrix product's speed that a rival reaches in a training step."""
        return self.flops / self.rivals[name].median / 1e9 / self.gemm

    def figures(self) -> dict[str, object]:
        """The figures by name, for JSON."""
        theirs, ours = self.rivals[self.stand_in], self.rivals["ours"]
        return {
            "stand_in": self.stand_in,
            "speedup_vs_ssnl": theirs.median / ours.median,
            "speedup_vs_ssnl_low": min(self.round_speedups),
            "speedup_vs_ssnl_high": max(self.round_speedups),
            "memory_ratio_vs_ssnl": ours.added_bytes / theirs.added_bytes,
            "memory_growth_per_step_bytes": self.memory_growth,
            "weight_bytes": self.weight_bytes,
            "gemm_gflops": self.gemm,
            "outer_step_gflop": self.flops / 1e9,
            "rivals": {
                name: {
                    "median_cpu_seconds": seen.median,
                    "cpu_seconds": list(seen.cpu_seconds),
                    "added_bytes": seen.added_bytes,
                    "fraction_of_gemm": self.of_gemm(name),
                }
                for name, seen in self.rivals.items()
            },
        }


def measure(
    scale: SpeedScale,
    checkout: Path | None,
    say: Callable[[str], None] = lambda line: None,
    start: Start = Worker,
) -> Speed:
    """Time every rival that can run here.

    Args:
        scale: how much work.
        checkout: of ssnl/dataset-distillation; without it ``recipe`` stands in.
        say: told of each round.
        start: makes a rival ready for a job.

    Raises:
        RunError: a rival's process ended.
    """
    stand_in: Name = "recipe" if checkout is None else "ssnl"
    names: list[Name] = [stand_in, "graph", "ours"]
    # Without the processor's own instructions bfloat16 is emulated, ten times as slow as float32.
    if scale.every_rival or fitting("convnet", "cpu") == "bfloat16":
        names.append(other_precision(scale.network))
    if checkout is not None and scale.every_rival:
        names.insert(1, "recipe")
    jobs = {name: _job(scale, name, checkout) for name in names}
    rounds, gemm = _rounds(scale.rounds, jobs, say, start)
    module = build(scale.network, scale.side)
    weights = sum(parameter.numel() for parameter in module.parameters())
    forward = forward_flops(module, scale.side)
    return Speed(
        scale,
        stand_in,
        {
            name: RivalSpeed(
                tuple(one[name].cpu_seconds for one in rounds[1:]), rounds[-1][name].added_bytes
            )
            for name in names
        },
        _longer(scale, start),
        FLOAT32_BYTES * weights,
        outer_step_flops(forward, len(CLASSES), scale.steps, scale.batch),
        gemm,
    )


def other_precision(network: str) -> Name:
    """Our engine at the precision that it would not take by itself."""
    return "ours-f32" if fitting(network, "cpu") == "bfloat16" else "ours-bf16"


def _rounds(
    count: int, jobs: Mapping[Name, Job], say: Callable[[str], None], start: Start
) -> tuple[list[dict[Name, Report]], float]:
    """Every rival's step in every round, the warm-up first; and the matrix product's speed."""
    names = list(jobs)
    rounds: list[dict[Name, Report]] = []
    products = []
    with ExitStack() as stack:
        workers = {name: stack.enter_context(start(job)) for name, job in jobs.items()}
        for index in range(count + 1):
            first = index % len(names)
            rounds.append({n: workers[n].step() for n in (*names[first:], *names[:first])})
            products.append(gemm_gflops())
            seconds = "  ".join(f"{n} {rounds[-1][n].cpu_seconds:.2f}" for n in names)
            say(f"round {index or 'to warm up'}: {seconds} CPU-s")
    return rounds, median(products)


def _longer(scale: SpeedScale, start: Start) -> int:
    """Memory that our engine adds with more inner steps."""
    with start(_job(scale, "ours", None, scale.more_steps)) as worker:
        return [worker.step() for _ in range(SETTLING_STEPS)][-1].added_bytes


def _job(scale: SpeedScale, name: Name, checkout: Path | None, steps: int | None = None) -> Job:
    return Job(
        rival=name,
        network=scale.network,
        side=scale.side,
        batch=scale.batch,
        steps=steps or scale.steps,
        checkout=checkout,
    )


def table(speed: Speed) -> str:
    """The table for people."""
    scale, theirs = speed.scale, speed.rivals[speed.stand_in]
    lines = [
        f"One training step: {scale.network}, {scale.side} px, {len(CLASSES)} images, "
        f"{scale.steps} inner steps, {scale.batch} real patches, one thread",
        f"{'':10}{'CPU-s':>8}{'speed':>9}{'added MB':>10}{'memory':>9}{'of GEMM':>9}",
    ]
    for name, seen in speed.rivals.items():
        lines.append(
            f"{name:10}{seen.median:8.2f}{theirs.median / seen.median:8.2f}x"
            f"{seen.added_bytes / MEGABYTE:10.0f}{seen.added_bytes / theirs.added_bytes:8.2f}x"
            f"{speed.of_gemm(name):9.0%}"
        )
    low, high = min(speed.round_speedups), max(speed.round_speedups)
    lines += [
        f"1x is {speed.stand_in}; over {scale.rounds} rounds ours is {low:.2f}x to {high:.2f}x",
        f"Here ours computes in {fitting(scale.network, 'cpu')}; with bfloat16 (bf16) the factors "
        "of products are rounded: the same work, less exact.",
        f"A training step is {speed.flops / 1e9:.0f} GFLOP; matrix products run at "
        f"{speed.gemm:.0f} GFLOP/s here.",
        f"Ours at {scale.more_steps} inner steps adds {speed.longer_bytes / MEGABYTE:.0f} MB: "
        f"{speed.memory_growth / MEGABYTE:.1f} MB a further step; one set of weights is "
        f"{speed.weight_bytes / MEGABYTE:.1f} MB.",
    ]
    return "\n".join(lines)
