"""A rival in a process of its own, which takes orders.

Only one rival works at a time, so that a round of orders compares all of them under the same load
of the machine, and no rival's memory is hidden in what another left behind.

Before the job's own problem a tiny one is solved, so that what torch sets up once for all (thread
pools, kernels) is resident before memory is first read.
"""

import ctypes
import gc
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.engine.rivals import Name, make
from benchmarks.engine.tasks import Engine, gaussian
from gdshare.errors import RunError, UsageError

TINY_SIDE, TINY_BATCH, TINY_STEPS = 16, 3, 2
STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
RESET_PEAK = "5"

Order = Literal["step", "gradient"]
Precision = Literal["float32", "float64"]


@dataclass(frozen=True)
class Job:
    """What a worker is to do: the noise of ``tasks.gaussian``, in torch's type ``precision``."""

    rival: Name = "ours"
    network: Literal["resnet18", "convnet"] = "resnet18"
    side: int = 64
    batch: int = 64
    steps: int = 9
    seed: int = 0
    precision: Precision = "float32"
    checkout: Path | None = None  # of ssnl/dataset-distillation


@dataclass(frozen=True)
class Report:
    """The answer to an order.

    Added bytes: the highest resident memory since before the first order, less what was resident
    then, with network and data loaded.
    """

    cpu_seconds: float  # of the rival's process and all its threads, for the order
    loss: float
    added_bytes: int
    gradient: tuple[npt.NDArray[np.floating[Any]], ...] = ()  # by images and rates, if asked for


Do = Callable[[Order], Report]


def resident() -> int:
    """Bytes resident now, after what was freed went back to the system; the peak is reset."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; other C libraries lack it
    if trim is not None:
        trim(0)
    try:
        CLEAR.write_text(RESET_PEAK)
    except OSError as error:
        what = f"cannot be written ({error}), and only there can the peak of memory be reset"
        raise UsageError(what, CLEAR, "run the benchmark on Linux with /proc") from error
    return _status("VmRSS")


def peak() -> int:
    """Bytes resident at the most since ``resident``."""
    return _status("VmHWM")


def _status(field: str) -> int:
    lines = (line.partition(":") for line in STATUS.read_text().splitlines())
    return next(int(value.split()[0]) * 1024 for name, _, value in lines if name == field)


def engine_for(job: Job) -> Engine:
    """Set the job's rival to work on its noise."""
    torch.set_default_dtype(getattr(torch, job.precision))
    tiny = gaussian(job.network, TINY_SIDE, TINY_BATCH, TINY_STEPS, job.seed)
    make(job.rival, tiny, job.checkout).outer_step()
    problem = gaussian(job.network, job.side, job.batch, job.steps, job.seed)
    return make(job.rival, problem, job.checkout)


def obey(order: Order, engine: Engine, before: int) -> Report:
    """Carry out an order and measure it; ``before``: bytes resident before the first order."""
    began = time.process_time()
    if order == "step":
        loss = engine.outer_step()
        return Report(time.process_time() - began, loss, peak() - before)
    gradient = engine.gradient()
    spent = time.process_time() - began
    arrays = gradient.images.numpy(), gradient.rates.numpy()
    return Report(spent, gradient.loss, peak() - before, arrays)


@contextmanager
def worker(job: Job) -> Iterator[Do]:
    """A rival in a process of its own, with one thread, for as long as the ``with`` block.

    Yields what carries out an order there, or raises RunError where the process ends instead.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as process:

        def do(order: Order) -> Report:
            try:
                return process.submit(_obey, order).result()
            except BrokenExecutor as error:
                what = "its process ended; its last words are above"
                raise RunError(what, f"rival {job.rival}") from error

        process.submit(_prepare, job).result()
        yield do


_ready: list[tuple[Engine, int]] = []
"""In a rival's process: the rival, and the bytes that were resident before the first order."""


def _prepare(job: Job) -> None:
    sys.stdout = sys.stderr  # what a rival prints is no figure
    torch.set_num_threads(1)
    engine = engine_for(job)
    _ready.append((engine, resident()))


def _obey(order: Order) -> Report:
    return obey(order, *_ready[0])
