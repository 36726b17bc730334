"""The real side: networks trained on real patches of all hospitals, as no federation could."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save

from benchmarks.pieces.claims import Facts, Watch
from gdshare.errors import RunError
from gdshare.networks import build
from gdshare.storage import write_bytes
from gdshare.training import TrainingPlan, train_on_real
from studies.quality import batchnorm
from studies.quality.fold import Fold
from studies.quality.network import Network
from studies.quality.plan import Baseline

WEIGHTS = "weights.safetensors"


def train_real(fold: Fold, baseline: Baseline, folder: Path, watch: Watch) -> Facts:
    """The piece that trains one baseline of one fold; a kill loses it whole."""
    plan = fold.plan.training_of(baseline, fold.number)
    found = _trained(fold, baseline, plan)
    weights = {name: tensor.contiguous() for name, tensor in found.network.weights.items()}
    write_bytes(folder / WEIGHTS, save(weights))
    return {
        "patches": found.patches,
        "patch_score": found.score,
        "rate": found.rate,
        "epoch": found.epoch,
    }


def baseline_network(fold: Fold, baseline: Baseline) -> Network:
    """A trained baseline.

    Raises:
        RunError: it cannot be read.
    """
    path = fold.out / fold.real(baseline) / WEIGHTS
    batch = baseline.kind == "batch"
    module = batchnorm.shape() if batch else build(baseline.network, fold.plan.protocol.side)
    try:
        return Network(module, load(path.read_bytes()))
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{path}: cannot be read ({error}); remove its folder, and run again"
        ) from error


def _trained(fold: Fold, baseline: Baseline, plan: TrainingPlan) -> batchnorm.Trained:
    if baseline.kind == "batch":
        return batchnorm.train_on_real(fold.cohorts, plan)
    found = train_on_real(fold.cohorts, plan)
    return batchnorm.Trained(
        Network.of(found.model), found.patches, found.score, found.rate, found.epoch
    )
