"""Time and memory of one training step, each rival doing equal work in turn.

Rounds are interleaved: in each, every rival takes one step in its own process while the others
wait, so that a machine that is busy for a while is busy for all of them, and each round begins with
another rival. The first round warms up; its times are dropped.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from benchmarks.engine.flops import forward_flops, gemm_gflops, outer_step_flops
from benchmarks.engine.rivals import Name, stand_in
from benchmarks.engine.worker import Do, Job, Report, worker
from gdshare.distill.precision import fitting
from gdshare.networks import build
from gdshare.protocol import CLASSES
from studies.tables import Table

Start = Callable[[Job], AbstractContextManager[Do]]
"""Makes a rival ready for a job; ``worker`` but in tests."""

MEGABYTE = 1e6
FLOAT32_BYTES = 4
SETTLING_STEPS = 2
"""Steps after which a process's memory no longer rises."""


RESNET = Job()


@dataclass(frozen=True)
class SpeedScale:
    """How much work a measurement is.

    Attributes:
        job: what every rival does; M is one image a class.
        more_steps: of a longer trajectory, for how memory grows with it.
        rounds: beside the one that warms up.
        every_rival: whether the recipe runs even where it need not stand in, and bfloat16 even
            where it is emulated.
    """

    job: Job = RESNET
    more_steps: int = 27
    rounds: int = 7
    every_rival: bool = True


FULL = SpeedScale()
"""The work that the claims are made for."""
DEFAULT = SpeedScale(Job(network="convnet", side=32))
"""What ``gdshare distill`` does at 32 px by default."""
QUICK = SpeedScale(rounds=3, every_rival=False)


@dataclass(frozen=True)
class RivalSpeed:
    """Measured of one rival.

    Attributes:
        cpu_seconds: of a training step, by round.
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
    """Measured of all rivals.

    Attributes:
        stand_in: the rival that stands for Wang et al.
        longer_bytes: memory that our engine added with ``scale.more_steps``.
        weight_bytes: one set of float32 weights.
        flops: of one training step, see ``flops.outer_step_flops``.
        gemm: GFLOP a CPU-second, median over the rounds.
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
        """By round: the stand-in's CPU-seconds over ours."""
        theirs, ours = self.rivals[self.stand_in].cpu_seconds, self.rivals["ours"].cpu_seconds
        return [a / b for a, b in zip(theirs, ours, strict=True)]

    @property
    def memory_growth(self) -> float:
        """Bytes that each inner step beyond the job's adds to our engine's memory."""
        further = self.scale.more_steps - self.scale.job.steps
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
                    "median_cpu_seconds": rival.median,
                    "cpu_seconds": list(rival.cpu_seconds),
                    "added_bytes": rival.added_bytes,
                    "fraction_of_gemm": self.of_gemm(name),
                }
                for name, rival in self.rivals.items()
            },
        }


def measure(
    scale: SpeedScale,
    checkout: Path | None,
    say: Callable[[str], None],
    start: Start = worker,
) -> Speed:
    """Time every rival that can run here.

    Args:
        scale: how much work.
        checkout: of ssnl/dataset-distillation; without it ``recipe`` stands in.
        say: called with a line a round.
        start: makes a rival ready for a job.

    Raises:
        RunError: a rival's process ended.
    """
    job = scale.job
    names = _rivals(scale, stand_in(checkout))
    jobs = {name: replace(job, rival=name, checkout=checkout) for name in names}
    rounds, gemm = _rounds(scale.rounds, jobs, say, start)
    with start(replace(job, rival="ours", steps=scale.more_steps)) as do:
        longer = [do("step") for _ in range(SETTLING_STEPS)][-1]
    module = build(job.network, job.side)
    weights = sum(parameter.numel() for parameter in module.parameters())
    forward = forward_flops(module, job.side)
    return Speed(
        scale,
        stand_in(checkout),
        {
            name: RivalSpeed(
                tuple(reports[name].cpu_seconds for reports in rounds[1:]),
                rounds[-1][name].added_bytes,
            )
            for name in names
        },
        longer.added_bytes,
        FLOAT32_BYTES * weights,
        outer_step_flops(forward, len(CLASSES), job.steps, job.batch),
        gemm,
    )


def other_precision(network: str) -> Name:
    """Our engine at the precision that it would not choose by itself."""
    return "ours-f32" if fitting(network, "cpu") == "bfloat16" else "ours-bf16"


def _rivals(scale: SpeedScale, theirs: Name) -> list[Name]:
    names: list[Name] = [theirs, "graph", "ours"]
    # Without the processor's own instructions bfloat16 is emulated, ten times as slow as float32.
    if scale.every_rival or fitting("convnet", "cpu") == "bfloat16":
        names.append(other_precision(scale.job.network))
    if theirs == "ssnl" and scale.every_rival:
        names.insert(1, "recipe")
    return names


def _rounds(
    count: int, jobs: Mapping[Name, Job], say: Callable[[str], None], start: Start
) -> tuple[Sequence[Mapping[Name, Report]], float]:
    """Every rival's step in every round, the warm-up first; and the matrix product's speed."""
    names = list(jobs)
    rounds, products = [], []
    with ExitStack() as stack:
        ready = {name: stack.enter_context(start(job)) for name, job in jobs.items()}
        for index in range(count + 1):
            first = index % len(names)
            reports = {name: ready[name]("step") for name in (*names[first:], *names[:first])}
            rounds.append(reports)
            products.append(gemm_gflops())
            seconds = "  ".join(f"{name} {reports[name].cpu_seconds:.2f}" for name in names)
            say(f"round {index or 'to warm up'}: {seconds} CPU-s")
    return rounds, median(products)


def table(speed: Speed) -> str:
    """The table for people."""
    job, theirs = speed.scale.job, speed.rivals[speed.stand_in]
    title = (
        f"One training step: {job.network}, {job.side} px, {len(CLASSES)} images, "
        f"{job.steps} inner steps, {job.batch} real patches, one thread"
    )
    rows = [
        [
            name,
            f"{rival.median:.2f}",
            f"{theirs.median / rival.median:.2f}x",
            f"{rival.added_bytes / MEGABYTE:.0f}",
            f"{rival.added_bytes / theirs.added_bytes:.2f}x",
            f"{speed.of_gemm(name):.0%}",
        ]
        for name, rival in speed.rivals.items()
    ]
    low, high = min(speed.round_speedups), max(speed.round_speedups)
    return "\n".join(
        [
            str(Table(title, ["", "CPU-s", "speed", "added MB", "memory", "of GEMM"], rows)),
            f"1x is {speed.stand_in}; over {speed.scale.rounds} rounds ours is {low:.2f}x to "
            f"{high:.2f}x",
            f"Here ours computes in {fitting(job.network, 'cpu')}; with bfloat16 (bf16) the "
            "factors of products are rounded: the same work, less exact.",
            f"A training step is {speed.flops / 1e9:.0f} GFLOP; matrix products run at "
            f"{speed.gemm:.0f} GFLOP/s here.",
            f"Ours at {speed.scale.more_steps} inner steps adds "
            f"{speed.longer_bytes / MEGABYTE:.0f} MB: {speed.memory_growth / MEGABYTE:.1f} MB a "
            f"further step; one set of weights is {speed.weight_bytes / MEGABYTE:.1f} MB.",
        ]
    )
