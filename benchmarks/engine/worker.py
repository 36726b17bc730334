"""A rival in a process of its own, taking orders: ``python -m benchmarks.engine.worker``.

The first line on standard input is a ``Job``, each further one an ``Order``; each is answered by
one line of JSON. Only one rival works at a time, so that a round of orders compares them under the
same load of the machine, and no rival's memory is hidden in what another left behind.

Before the job's own problem, a tiny one is solved, so that what torch sets up once for all (thread
pools, kernels) is resident already when memory is first looked at.
"""

import json
import sys
import time
from pathlib import Path
from typing import Literal, TextIO

import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import save_file

from benchmarks.engine.memory import PeakMemory
from benchmarks.engine.problem import Engine
from benchmarks.engine.rivals import Name, make
from benchmarks.engine.tasks import gaussian

TINY_SIDE, TINY_BATCH, TINY_STEPS = 16, 3, 2


class Frozen(BaseModel):
    """Frozen and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Job(Frozen):
    """What a worker is to do.

    Attributes:
        side, batch, steps, network: of the noise problem, see ``tasks.gaussian``.
        precision: torch's float type throughout.
        checkout: of ssnl/dataset-distillation.
    """

    rival: Name
    network: Literal["resnet18", "convnet"]
    side: int
    batch: int
    steps: int
    seed: int = 0
    precision: Literal["float32", "float64"] = "float32"
    checkout: Path | None = None


class Order(Frozen):
    """Take one training step, or write the meta-gradient to a file without moving."""

    do: Literal["step", "gradient"]
    to: Path | None = None


class Report(Frozen):
    """The answer to an order.

    Attributes:
        cpu_seconds: of this process and all its threads, for the order.
        loss: outer loss, nats.
        rss_before_bytes: resident before the first order, with network and data loaded.
        rss_peak_bytes: highest since.
    """

    cpu_seconds: float
    loss: float
    rss_before_bytes: int
    rss_peak_bytes: int

    @property
    def added_bytes(self) -> int:
        """Memory that the orders so far needed."""
        return self.rss_peak_bytes - self.rss_before_bytes


def engine_for(job: Job) -> Engine:
    """Set the job's rival to work on its noise."""
    torch.set_default_dtype(getattr(torch, job.precision))
    tiny = gaussian(job.network, TINY_SIDE, TINY_BATCH, TINY_STEPS, job.seed)
    make(job.rival, tiny, job.checkout).outer_step()
    problem = gaussian(job.network, job.side, job.batch, job.steps, job.seed)
    return make(job.rival, problem, job.checkout)


def obey(order: Order, engine: Engine, memory: PeakMemory) -> Report:
    """Carry out one order and measure it."""
    began = time.process_time()
    if order.do == "step":
        loss = engine.outer_step()
    else:
        found = engine.gradient()
        loss = found.loss
        if order.to is not None:
            images, rates = found.images.contiguous(), found.rates.contiguous()
            save_file({"images": images, "rates": rates}, order.to)
    spent = time.process_time() - began
    return Report(
        cpu_seconds=spent,
        loss=loss,
        rss_before_bytes=memory.before,
        rss_peak_bytes=memory.peak(),
    )


def serve(orders: TextIO, answers: TextIO) -> None:
    """Take a job, then orders until there are no more."""
    torch.set_num_threads(1)
    engine = engine_for(Job.model_validate_json(orders.readline()))
    memory = PeakMemory()
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in orders:
        report = obey(Order.model_validate_json(line), engine, memory)
        print(report.model_dump_json(), file=answers, flush=True)


if __name__ == "__main__":
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a rival prints is no answer
    serve(sys.stdin, answers)
