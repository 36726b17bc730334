"""A finished run, made here without distilling."""

from pathlib import Path

import numpy as np
from bundle_factory import READ

from gdshare.distill.score_record import ScoreRecord, tensors_digest, write_score
from gdshare.distilled import Distilled
from gdshare.method import RunRecord, Settings
from gdshare.networks import INITIALISERS
from gdshare.protocol import Protocol
from gdshare.storage import write_json

PASSPHRASE = "correct horse"


def run_record(settings: Settings, **machine: object) -> RunRecord:
    """The record of a run with these settings, on this machine or another."""
    return RunRecord(
        settings=settings,
        protocol=Protocol(patch=75, stride=13, side=16),
        initialiser=INITIALISERS[settings.network],
        theta0_sha256=None,
        cohort_sha256="0" * 64,
        counts=READ,
        **({"torch": "2.9.0", "threads": 2, "device": "cpu"} | machine),
    )


def make_run(folder: Path, low: float = 0.55) -> Path:
    """Three images of 16 px of 20 negative and 21 positive patients.

    Args:
        folder: to make.
        low: lower end of the patch score's interval.
    """
    folder.mkdir()
    record = run_record(Settings(network="convnet", epochs=1, steps=2, seed=77))
    write_json(folder / "run.json", record.model_dump(mode="json"))
    draw = np.random.default_rng(0)
    distilled = Distilled(
        draw.normal(size=(3, 1, 16, 16)).astype(np.float32),
        (np.eye(3) * 0.7 + 0.1).astype(np.float32),
        np.full(2, 0.05, np.float32),
    )
    (folder / "distilled.safetensors").write_bytes(distilled.to_bytes())
    keep_score(folder, distilled, low)
    return folder


def keep_score(folder: Path, distilled: Distilled, low: float = 0.55) -> None:
    """Write the score that distillation keeps of its result."""
    score = ScoreRecord(
        tensors_sha256=tensors_digest(distilled),
        score=low + 0.05,
        deviation=0.07,
        low=low,
        inits=10,
        windows=600,
    )
    write_score(folder, score)
