"""The folder of a training on real patches while it goes on, so that it can be resumed.

::

    OUT/
      training.json            plan, cohorts and machine
      checkpoint.safetensors   the state to resume from; deleted once the model is there
      .lock                    locked while a process trains
      model.safetensors, model.json   the result, see ``gdshare.model``
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from gdshare.errors import LockedError, RunError
from gdshare.lock import lock
from gdshare.networks import Parameters
from gdshare.plain_files import MAX_RECORD, MAX_TENSORS, read_plain
from gdshare.protocol import Protocol
from gdshare.storage import write_bytes, write_json

RECORD, CHECKPOINT, LOCK, MODEL = "training.json", "checkpoint.safetensors", ".lock", "model.json"

Frozen = ConfigDict(frozen=True, extra="forbid", strict=True)
Count = Annotated[int, Field(ge=0)]
Use = Literal["start", "mix", "both"]
"""What a training on own patches takes from others' images: its first weights, a share of every
batch, or both."""


class TrainingRecord(BaseModel):
    """``training.json``: what a training was started with; only the same may go on with it.

    Attributes:
        network, per_class, epochs, batch, rates, patience, seed: the plan.
        protocol: of the patches.
        cohorts: SHA-256 of each cohort's windows.
        torch, threads, device: release, number and name; a training repeats bit for bit on the
            same.
        use, pooling, weights: how others' images are used and pooled, and their weights to try;
            without them None, and no weight.
        others: digest of each source of others' images, by its hospital.
    """

    model_config = Frozen

    format: Literal["gdshare-training/1"] = "gdshare-training/1"
    network: str
    per_class: int
    epochs: int
    batch: int
    rates: tuple[float, ...]
    patience: int
    seed: int
    protocol: Protocol
    cohorts: tuple[str, ...]
    torch: str
    threads: Annotated[int, Field(ge=1)]
    device: str
    use: Use | None = None
    pooling: Literal["average", "in-step", "sequential", "union"] | None = None
    weights: tuple[float, ...] = ()
    others: dict[str, str] = {}


class Best(BaseModel):
    """The best epoch so far: of one trial, or of all that are finished.

    Attributes:
        score: patch score on validation patients; below 0 before the first epoch.
        epoch: from 1; 0: the weights that training starts from.
        rate: Adam's learning rate.
        weight: of others' images in the loss; 0 without them.
    """

    model_config = Frozen

    score: float
    epoch: Count
    rate: float
    weight: float = 0.0


class Place(BaseModel):
    """How far a training has come.

    Attributes:
        trial: index of the learning rate, and of the weight, that are being tried.
        epoch: epochs of it that were scored.
        batch: batches of the next epoch that were trained on.
        best: of this trial.
        overall: of the trials before; None at the first.
    """

    model_config = Frozen

    trial: Count
    epoch: Count
    batch: Count
    best: Best
    overall: Best | None


@dataclass(frozen=True)
class Snapshot:
    """Everything a training needs to go on, on the CPU.

    Attributes:
        place: counters and scores.
        weights: current ones.
        moments: Adam's state of each weight: ``step``, ``exp_avg`` and ``exp_avg_sq``; empty before
            the first batch.
        best, overall: the weights of ``place.best`` and ``place.overall``.
    """

    place: Place
    weights: Parameters
    moments: dict[str, dict[str, Tensor]]
    best: Parameters
    overall: Parameters


@contextmanager
def open_training(out: Path, record: TrainingRecord, resume: bool) -> Iterator[None]:
    """Make a new folder, or open the training to resume, and keep other processes from it.

    Raises:
        RunError: the folder is not empty (without ``resume``), has no unfinished training (with
            it), or one of another plan, cohort or machine; or another process trains in it.
    """
    if resume:
        read_training(out)
    else:
        _require_new(out)
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(lock(out / LOCK, timeout_s=0))
        except LockedError as error:
            raise RunError(
                f"another process trains here ({error.what})", out, error.remedy
            ) from error
        if resume:
            _require_same(out, record)
        else:
            _require_new(out)  # another process may have begun and ended a training meanwhile
            write_json(out / RECORD, record.model_dump(mode="json"))
        yield


def _require_new(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(file.name != LOCK for file in out.iterdir())):
        raise RunError(
            "already exists", out, "choose another --out, or go on with its training by --resume"
        )


def read_training(out: Path) -> TrainingRecord:
    """Read ``training.json`` of an unfinished training.

    Raises:
        RunError: not there, damaged, or finished.
    """
    path = out / RECORD
    try:
        record = TrainingRecord.model_validate_json(read_plain(path, MAX_RECORD))
    except OSError as error:
        raise RunError(
            f"no training to resume here (no readable {RECORD})", out, "leave out --resume"
        ) from error
    except ValidationError as error:
        raise RunError("damaged or of another version", path, "train again") from error
    if (out / MODEL).exists() and not (out / CHECKPOINT).exists():
        raise RunError("the training is finished", out, "use the model")
    return record


def _require_same(out: Path, record: TrainingRecord) -> None:
    ours, theirs = record.model_dump(), read_training(out).model_dump()
    changed = [name for name in ours if ours[name] != theirs[name]]
    if changed:
        raise RunError(
            f"this is another training ({', '.join(changed)} differ)",
            out / RECORD,
            "resume with the same options, cohorts and machine, or start in a new folder",
        )


def save_snapshot(out: Path, snapshot: Snapshot) -> None:
    """Write the checkpoint, whole or not at all."""
    tensors = {
        **_named("weights", snapshot.weights),
        **_named("best", snapshot.best),
        **_named("overall", snapshot.overall),
    }
    for name, moments in snapshot.moments.items():
        tensors |= _named(f"moments/{name}", moments)
    write_bytes(
        out / CHECKPOINT, save(tensors, {"place": snapshot.place.model_dump_json()}), mode=0o600
    )


def load_snapshot(out: Path) -> Snapshot | None:
    """Read the checkpoint; None where there is none yet.

    Raises:
        RunError: damaged.
    """
    path = out / CHECKPOINT
    if not path.exists():
        return None
    try:
        tensors = load(read_plain(path, MAX_TENSORS))
        with safe_open(path, framework="pt") as handle:
            place = Place.model_validate_json((handle.metadata() or {})["place"])
        weights = _group(tensors, "weights")
        moments = {name: _group(tensors, f"moments/{name}") for name in weights}
        kept = {name: values for name, values in moments.items() if values}
        best, overall = _group(tensors, "best"), _group(tensors, "overall")
    except (OSError, SafetensorError, KeyError, ValidationError) as error:
        raise RunError("damaged", path, "start again in a new folder") from error
    return Snapshot(place, weights, kept, best, overall)


def finish(out: Path) -> None:
    """Delete the checkpoint of a training whose model was saved."""
    (out / CHECKPOINT).unlink(missing_ok=True)


def _named(group: str, tensors: Parameters) -> dict[str, Tensor]:
    # Copies: the writer refuses tensors that share memory.
    return {f"{group}/{name}": tensor.contiguous().clone() for name, tensor in tensors.items()}


def _group(tensors: dict[str, Tensor], group: str) -> dict[str, Tensor]:
    start = f"{group}/"
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }
