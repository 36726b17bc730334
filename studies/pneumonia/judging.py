"""The one look at the test images, after everything is chosen."""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from benchmarks.engine.tasks import pneumonia_split
from benchmarks.pieces.claims import Facts, Watch, facts
from gdshare.errors import RunError
from gdshare.storage import replacing
from gdshare.training import FORWARD_BATCH
from studies.pneumonia.distilled import networks, read_state
from studies.pneumonia.figures import Calls, Judged
from studies.pneumonia.plan import (
    PneumoniaPlan,
    Trial,
    distil_name,
    judge_name,
    real_name,
)
from studies.pneumonia.real import read_network
from studies.quality.choices import number
from studies.quality.network import Network

CALLS = "calls.npz"


def judge_seed(
    plan: PneumoniaPlan, file: Path, seed: int, out: Path, folder: Path, watch: Watch
) -> Facts:
    """The piece that shows the test images to one seed's networks.

    Of the distillation its best scored state, of the trainings on real images the best trial, both
    by validation images.
    """
    x, classes = pneumonia_split(file, "test")
    distilled = facts(out, distil_name(seed))
    state = read_state(out / distil_name(seed), int(number(distilled["step"])))
    trial = best_trial(plan, seed, out)
    ours = [called(one, x) for one in networks(plan, state, seed)]
    with replacing(folder / CALLS) as stream:
        np.savez(
            stream,
            truth=classes.numpy().astype(np.uint8),
            distilled=np.stack(ours),
            real=called(read_network(out / real_name(seed, trial)), x),
        )
    return {"batches": trial.batches, "rate": trial.rate}


def best_trial(plan: PneumoniaPlan, seed: int, out: Path) -> Trial:
    """The way of training on real images that validation images prefer."""
    return max(plan.trials, key=lambda trial: number(facts(out, real_name(seed, trial))["score"]))


def called(network: Network, x: Tensor) -> Calls:
    """The class that a network calls each image: uint8 [n]."""
    parts = [network.probabilities(part).argmax(1) for part in torch.split(x, FORWARD_BATCH)]
    classes: Calls = torch.cat(parts).numpy().astype(np.uint8)
    return classes


def read_judged(out: Path, seed: int) -> Judged:
    """What ``judge_seed`` wrote.

    Raises:
        RunError: it cannot be read.
    """
    path = out / judge_name(seed) / CALLS
    try:
        # The stream is ours: on a damaged file numpy leaves its own open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return Judged(arrays["truth"], arrays["distilled"], arrays["real"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise RunError(
            f"{path}: cannot be read ({error}); remove its folder, and run again"
        ) from error
