"""Shadows: distillations like the attacked one, of which it is known who was in.

Each is made with the run's settings from those candidates whom a fair coin chose, tossed for each
patient and shadow alone: one shadow's coins say nothing about another's. A shadow is made by the
same training steps as a run, and is kept in the run's folder, so that an audit that was interrupted
goes on where it was, within a shadow too::

    RUN/audit-work/shadow-003.safetensors      images, labels, rates; and what they belong to
    RUN/audit-work/shadow-004/                 the checkpoint of an unfinished one
    RUN/audit-work/overfitted-0.safetensors    a control (``gdshare.audit.controls``)

They are distilled from patients and stay at the hospital. They may be deleted once ``audit.json``
is written.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from gdshare.audit.candidates import Candidates, candidates_of
from gdshare.audit.recipes import FromPatches, Recipe, statistic_recipe
from gdshare.audit.side_by_side import Step, places_for
from gdshare.cohort import Cohort
from gdshare.distill.journal import Journal
from gdshare.distill.loop import train_step
from gdshare.distill.problem import Problem, prepare_patches
from gdshare.distill.state import (
    CHECKPOINT,
    State,
    as_distilled,
    initial_state,
    load_checkpoint,
    save_checkpoint,
)
from gdshare.distill.workers import ALONE
from gdshare.distilled import TENSORS, Distilled
from gdshare.errors import RunError
from gdshare.method import RunRecord, Settings
from gdshare.networks import Parameters
from gdshare.plain_files import read_plain
from gdshare.private.record import PrivacyRecord
from gdshare.private.reference import DRAWING, Drawing
from gdshare.seeding import derived_seed, numpy_generator
from gdshare.storage import make_folder, write_bytes

FOLDER = "audit-work"
MAX_BYTES = 64 * 1024**2
CHECKPOINT_EVERY = 25
"""Training steps; of a head, some CPU-seconds."""
SHARE = 0.5
"""Of the candidates in a shadow."""

Bool = npt.NDArray[np.bool_]
Start = Callable[[Problem], State]


def drawn_start(problem: Problem) -> State:
    """Images of noise, as every run of gdshare starts from."""
    return initial_state(problem.settings, problem.protocol.side)


@dataclass(frozen=True)
class Workshop:
    """Where shadows are made.

    Attributes:
        candidates: who may be in.
        recipe: makes the problem of those who are in, as the run's was made.
        unguarded: the same without the run's guarantee, for controls; else the same.
        folder: what is made is kept there; None keeps nothing.
        about: digest of everything that a shadow follows from, so that none of another audit is
            taken for one of this.
        seed: of all coins and draws.
        start: the state before a shadow's first training step, as the run's was.
    """

    candidates: Candidates
    recipe: Recipe
    unguarded: FromPatches
    folder: Path | None
    about: bytes
    seed: int
    start: Start = drawn_start

    @property
    def problem(self) -> Problem:
        """Of all candidates' windows."""
        return self.unguarded.problem

    @property
    def places(self) -> int:
        """How many shadows are made at a time."""
        return places_for(self.problem)

    @property
    def steps(self) -> int:
        """Training steps of a shadow."""
        return self.problem.settings.outer_steps

    def coins(self, number: int) -> Bool:
        """Who is in shadow ``number``, bool [n].

        Tossed again if a class would have no window; of ten patients of each diagnosis that is one
        shadow in five hundred, of twenty one in half a million.
        """
        attempt = 0
        while True:
            toss = numpy_generator(self.seed, f"audit-shadow-{number}", attempt)
            included = toss.random(len(self.candidates)) < SHARE
            if self.has_all_classes(included):
                return included
            attempt += 1

    def has_all_classes(self, included: Bool) -> bool:
        """Whether these patients' windows are of every class."""
        training = self.candidates.training
        return len(np.unique(training.labels[included[training.films]])) == len(training.classes)

    def shadow(self, number: int, step: Step) -> Distilled:
        """Make shadow ``number``, or read the one that was made."""
        return self.distil(f"shadow-{number:03}", self.recipe, self.coins(number), step)

    def distil(self, name: str, recipe: Recipe, included: Bool, step: Step) -> Distilled:
        """Distil some of the candidates' windows, unless it was done before.

        Args:
            name: of the file.
            recipe: the run's, or the unguarded.
            included: bool [n], from whom.
            step: called after each training step.

        Raises:
            LostError: too many useless gradients in a row.
        """
        made = self.kept(name, step)
        if made is None:
            problem = recipe.of(included, derived_seed(self.seed, f"audit-{name}"))
            made = _train(problem, self.start(problem), self._unfinished(name), step)
            self._keep(name, made)
        return made

    def kept(self, name: str, step: Step) -> Distilled | None:
        """What was made before, if it was; its training steps are counted."""
        made = self._read(name)
        if made is not None:
            for _ in range(self.steps):
                step()
        return made

    def _path(self, name: str) -> Path | None:
        return self.folder and self.folder / f"{name}.safetensors"

    def _unfinished(self, name: str) -> Path | None:
        """The folder of a checkpoint; that of another audit is removed."""
        if self.folder is None:
            return None
        folder = self.folder / name
        if folder.exists() and _content(folder / "about") != self.about:
            shutil.rmtree(folder)
        make_folder(folder)
        write_bytes(folder / "about", self.about)
        return folder

    def _read(self, name: str) -> Distilled | None:
        path = self._path(name)
        content = path and _content(path)
        if not content:
            return None
        try:
            tensors = load(content)
            if tensors["about"].tobytes() != self.about:
                return None
            made = Distilled(*(tensors[name] for name in TENSORS))
        except (SafetensorError, KeyError):
            return None  # damaged: it is made again
        return made if made.problem() is None else None

    def _keep(self, name: str, made: Distilled) -> None:
        path = self._path(name)
        if path is None:
            return
        tensors = {name: np.ascontiguousarray(getattr(made, name)) for name in TENSORS}
        write_bytes(path, save(tensors | {"about": np.frombuffer(self.about, np.uint8)}), 0o600)
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)


def open_workshop(
    record: RunRecord,
    distilled: Distilled,
    cohort: Cohort,
    seed: int,
    folder: Path | None,
    device: str,
    shared: Parameters | None,
    reading: Callable[[int, int], None],
    guarantee: PrivacyRecord | None = None,
    drawing: Drawing = DRAWING,
    start: Start = drawn_start,
) -> Workshop:
    """Prepare what all shadows have in common.

    Args:
        record, distilled: of the run.
        cohort: that it was distilled from; its training and test patients are the candidates.
        seed: of all coins and draws.
        folder: the run's, with a folder ``FOLDER``; None keeps nothing.
        device: torch's name of where to compute.
        shared: the weights of the shared model that is the run's announced θ0, if it is one.
        reading: called with (windows, in all) while features are computed.
        guarantee: of the run, if it has one; then shadows have the same.
        drawing: of the public films that a guarantee looks at.
        start: the run's.

    Raises:
        CohortError: no validation window of some class.
        UsageError: there is no such device.
        RunError: this machine computes other public coordinates than those of the run's guarantee.
    """
    candidates = candidates_of(cohort, 2 * record.settings.feature_patches, seed)
    settings = shadow_settings(record.settings, seed, len(candidates.training))
    problem = prepare_patches(
        *(candidates.training, cohort.patches("val"), cohort.protocol, settings, device),
        *(reading, shared),
    )
    recipe: Recipe = FromPatches(problem)
    if guarantee is not None:
        recipe = statistic_recipe(problem, guarantee, cohort, candidates, drawing, reading)
    about = hashlib.sha256(
        json.dumps(
            [record.model_dump(mode="json", exclude={"settings": {"seed"}}), seed], sort_keys=True
        ).encode()
        + distilled.to_bytes()
    ).digest()
    if guarantee is not None:  # none that was made without it is taken for one of these
        about = hashlib.sha256(about + guarantee.model_dump_json().encode()).digest()
    kept = folder and folder / FOLDER
    return Workshop(candidates, recipe, FromPatches(problem), kept, about, seed, start)


def shadow_settings(settings: Settings, seed: int, windows: int) -> Settings:
    """The run's settings with another seed, and features kept of all windows of the candidates."""
    return settings.model_copy(update={"seed": seed, "feature_patches": windows})


def _train(problem: Problem, start: State, folder: Path | None, step: Step) -> Distilled:
    """Take all training steps, as ``loop.distill`` does; the best scored state is the result."""
    settings = problem.settings
    state, journal = _begin(folder, problem) or start, Journal(None, None)
    for _ in range(state.progress.step):
        step()
    while state.progress.step < settings.outer_steps:
        state, tick = train_step(state, problem, journal, ALONE)
        if folder is not None and tick.step % CHECKPOINT_EVERY == 0:
            save_checkpoint(folder, state)
        step()
    return as_distilled(state.best, settings).require_sound("a distillation of the audit")


def _begin(folder: Path | None, problem: Problem) -> State | None:
    """The last checkpoint; None without one that can be read."""
    if folder is None or not (folder / CHECKPOINT).exists():
        return None
    with suppress(RunError):
        return load_checkpoint(folder, problem.settings, problem.protocol.side)
    return None


def _content(path: Path) -> bytes | None:
    try:
        return read_plain(path, MAX_BYTES)
    except OSError:
        return None
