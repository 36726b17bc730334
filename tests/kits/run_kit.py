"""Small runs: settings that end within a second, and what tests look at in a run folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gdshare.distill.loop import Tick
from gdshare.distill.state import load_checkpoint
from gdshare.method import Settings
from gdshare.protocol import Protocol

TINY = Protocol(patch=16, stride=8, side=8)
"""Patches of 8 px: enough for all that does not ask how well anything is learned."""

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
SAME = ("run.json", "metrics.jsonl", "distilled.safetensors", "checkpoint.safetensors")


class BrokenOffError(Exception):
    """What a test ends a run with, where a power cut would."""


def settings(**changes: Any) -> Settings:
    """``SETTINGS`` with some of them changed, and checked again."""
    return Settings(**(SETTINGS.model_dump() | changes))


def contents(folder: Path) -> dict[str, bytes]:
    """Every byte of a run that is to repeat."""
    return {name: (folder / name).read_bytes() for name in SAME}


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(one) for one in (folder / "metrics.jsonl").read_bytes().splitlines()]


def break_off_after(step: int) -> Callable[[Tick], None]:
    """A ``progress`` that ends the run after this step."""

    def progress(tick: Tick) -> None:
        if tick.step >= step:
            raise BrokenOffError

    return progress


def asked_after(calls: int) -> Callable[[], bool]:
    """A ``stopping`` that says yes when it is asked for the ``calls``-th time."""
    answers = iter([False] * (calls - 1) + [True])
    return lambda: next(answers)


def steps_done(folder: Path, of: Settings = SETTINGS) -> int:
    """As the checkpoint has it."""
    return load_checkpoint(folder, of, TINY.side).progress.step
