"""Small runs: settings that finish within a second, and ways to read a run folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gdshare.distill.loop import Tick
from gdshare.distill.state import load_checkpoint
from gdshare.method import Settings
from gdshare.protocol import Protocol

TINY = Protocol(patch=16, stride=8, side=8)
"""Patches of 8 px: enough where it does not matter how well anything is learned."""

SETTINGS = Settings(
    network="convnet",
    outer_steps=12,
    score_every=5,
    score_inits=2,
    score_patches=20,
    checkpoint_every=3,
    batch=9,
    epochs=2,
    steps=2,
    inner_rate=0.02,
)
SAME = (
    "run.json",
    "metrics.jsonl",
    "distilled.safetensors",
    "checkpoint.safetensors",
    "score.json",
)


class BrokenOffError(Exception):
    """Ends a run where a power cut would."""


def settings(**changes: Any) -> Settings:
    """``SETTINGS`` with changes, validated again."""
    return Settings(**(SETTINGS.model_dump() | changes))


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a run that must repeat byte for byte."""
    return {name: (folder / name).read_bytes() for name in SAME}


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_bytes().splitlines()]


def break_off_after(step: int) -> Callable[[Tick], None]:
    """A ``progress`` that ends the run after this step."""

    def progress(tick: Tick) -> None:
        if tick.step >= step:
            raise BrokenOffError

    return progress


def asked_after(calls: int) -> Callable[[], bool]:
    """A ``stopping`` that returns True at its ``calls``-th call."""
    answers = iter([False] * (calls - 1) + [True])
    return lambda: next(answers)


def steps_done(folder: Path, of: Settings = SETTINGS) -> int:
    """According to the checkpoint."""
    return load_checkpoint(folder, of, TINY.side).progress.step
