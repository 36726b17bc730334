"""The folder of one time-to-quality run: what it is, its scores so far, and where to go on.

::

    DIR/
      run.json                          what identifies the run
      scores.jsonl                      one line a score
      distilled-000120.safetensors      the images scored at training step 120
      checkpoint.safetensors            where to go on
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from benchmarks.engine.rivals import Name
from benchmarks.engine.tasks import STEPS
from benchmarks.versions import machine
from gdshare.errors import RunError
from gdshare.storage import write_bytes, write_json

RUN = "run.json"
SCORES = "scores.jsonl"
CHECKPOINT = "checkpoint.safetensors"


class Plan(BaseModel):
    """What identifies a run, the machine whose CPU-seconds it counts among it.

    The budget is not part of it: a run may be prolonged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Literal["pneumonia", "tb"]
    cohort: Path | None
    rival: Name
    seed: int
    batch: int
    outer_steps: int = 1000
    inner_steps: int = STEPS
    score_every: float
    torch: str = torch.__version__
    machine: str = Field(default_factory=machine)


class Progress(BaseModel):
    """The part of a checkpoint that is not a tensor.

    Attributes:
        step: training steps done.
        cpu_seconds: spent in them.
        due: CPU-seconds at which the next score is due.
        scores_bytes: length of ``scores.jsonl``; what follows is a lost attempt.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int = 0
    cpu_seconds: float = 0.0
    due: float = 0.0
    scores_bytes: int = 0


@dataclass(frozen=True)
class RunFolder:
    """One run's folder; all reading and writing is here."""

    path: Path

    def open(self, plan: Plan) -> tuple[Progress, dict[str, Tensor]]:
        """Make the folder, or find where the run in it stopped and drop what came after.

        Returns:
            the progress, and the engine's tensors (none at the start).

        Raises:
            RunError: another run is in it, or its checkpoint is damaged.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        record = self.path / RUN
        if not record.exists():
            write_json(record, plan.model_dump(mode="json"))
        before = record.read_text(encoding="utf-8")
        if json.loads(before) != plan.model_dump(mode="json"):
            raise RunError(
                f"{record}: is another run ({' '.join(before.split())}); choose another --out"
            )
        progress, tensors = self._checkpoint()
        scores = self.path / SCORES
        scores.touch()
        os.truncate(scores, progress.scores_bytes)
        return progress, tensors

    def plan(self) -> Plan:
        """What run it is.

        Raises:
            RunError: it cannot be read.
        """
        path = self.path / RUN
        try:
            return Plan.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise RunError(f"{path}: cannot be read; start again in a new folder") from error

    def _checkpoint(self) -> tuple[Progress, dict[str, Tensor]]:
        path = self.path / CHECKPOINT
        if not path.exists():
            return Progress(), {}
        try:
            with safe_open(path, framework="pt") as handle:
                progress = Progress.model_validate_json(handle.metadata()["progress"])
            return progress, load(path.read_bytes())
        except (OSError, SafetensorError, KeyError, ValidationError) as error:
            raise RunError(f"{path}: damaged ({error}); start again in a new folder") from error

    def save(self, progress: Progress, tensors: Mapping[str, Tensor]) -> None:
        """Write the checkpoint whole or not at all, the scores before it being on the disk."""
        length = (self.path / SCORES).stat().st_size
        standing = progress.model_copy(update={"scores_bytes": length})
        metadata = {"progress": standing.model_dump_json()}
        write_bytes(self.path / CHECKPOINT, save(dict(tensors), metadata))

    def append(self, values: Mapping[str, object]) -> None:
        """Add one line to the scores."""
        with (self.path / SCORES).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(values) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def keep(self, step: int, images: bytes) -> None:
        """Keep the images that were scored at a training step."""
        write_bytes(self.path / f"distilled-{step:06d}.safetensors", images)

    def scores(self) -> list[dict[str, float]]:
        """The lines written so far."""
        lines = (self.path / SCORES).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]
