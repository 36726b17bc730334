"""Sets that are distilled from images of PneumoniaMNIST, each image a patient.

Members are the training images. Others are the validation images, which whoever made PneumoniaMNIST
split from the same images by chance. Its test images were taken apart beforehand, and would be told
from the rest by that alone: they say what a set is worth.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import torch

from gdshare.audit.candidates import Candidates
from gdshare.audit.controls import Overfitted, few_members
from gdshare.audit.recipes import seeded_noise
from gdshare.audit.shadows import SHARE
from gdshare.cohort import Patches
from gdshare.distill.head import Body
from gdshare.distill.problem import Problem
from gdshare.distilled import TENSORS, Distilled
from gdshare.exact_noise import rounded_gaussian
from gdshare.method import Settings
from gdshare.private.query import Noise
from gdshare.private.reference import Reference
from gdshare.private.statistic import PatientMeans
from gdshare.protocol import PatchClass
from gdshare.seeding import derived_seed, numpy_generator
from studies.features import (
    distil,
    multipliers_of,
    patients_in,
    problem_of_patients,
    problem_of_windows,
    with_class_i,
)
from studies.readings import Films, Reading
from studies.runner import Piece, read_arrays, write_arrays

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SetMaking:
    """How sets are made, beside the images and the noise: ``budget`` is ε and δ, or none.

    Raises:
        ValueError: validation images would choose the training step, and so have a part in a set.
    """

    settings: Settings
    reading: Reading
    budget: tuple[float, float] | None

    def __post_init__(self) -> None:
        if self.settings.score_every != self.settings.outer_steps:
            raise ValueError("sets of images are scored after the last training step alone")


@dataclass(frozen=True)
class ImageSets:
    """Makes sets, or reads those that were made.

    Attributes:
        piece: whose folder keeps each set once it is made.
        making: how.
        body: what features are of.
        reference: public coordinates.
        members, others: training and validation images, each its own film.
    """

    piece: Piece
    making: SetMaking
    body: Body
    reference: Reference
    members: Films
    others: Films

    @cached_property
    def films(self) -> Films:
        """Members first, then others; each its own film."""
        both = self.members.beside(self.others)
        return Films(both.features, both.classes, torch.arange(len(both.classes)))

    @cached_property
    def people(self) -> Candidates:
        """The same for the attacks. They look at features, and so pixels are left out."""
        labels = self.films.classes.numpy().astype(np.uint8)
        numbers = np.arange(len(labels), dtype=np.uint32)
        windows = Patches(np.empty((len(labels), 0, 0), np.uint16), labels, numbers)
        member = numbers < len(self.members.classes)
        return Candidates(member, labels == PatchClass.P, windows, windows)

    def attacked(self, seed: int) -> Distilled:
        """Of all members. Noise of a guarantee comes from the operating system."""
        problem = partial(self.guarded, self.people.member, seed, rounded_gaussian)
        return self._kept(f"set-{seed}", problem)

    def shadow(self, seed: int, number: int) -> Distilled:
        """Of whom a coin chose, by the same settings and guarantee; all by the audit's seed."""
        name = f"shadow-{number:03}"
        own = derived_seed(seed, f"audit-{name}")
        noise = seeded_noise(numpy_generator(own, "audit-noise"))
        return self._kept(name, partial(self.guarded, self.coins(seed, number), own, noise))

    def coins(self, seed: int, number: int) -> Bool:
        """Who is in a shadow, bool [n]."""
        generator = numpy_generator(seed, f"audit-shadow-{number}")
        return generator.random(len(self.people)) < SHARE

    def overfitted(self, seed: int, number: int) -> Overfitted:
        """A control: of five members alone, without a guarantee."""
        name, few = f"overfitted-{number}", few_members(self.people, seed, number)
        problem = partial(self.unguarded, few, derived_seed(seed, f"audit-{name}"))
        return Overfitted(few, self._kept(name, problem))

    def guarded(self, included: Bool, seed: int, noise: Noise) -> Problem:
        """The problem of some images, with the guarantee if there is one."""
        making, reading = self.making, self.making.reading
        if making.budget is None:
            return self.unguarded(included, seed)
        chosen = [own for own, inside in zip(self._patients, included, strict=True) if inside]
        return problem_of_patients(
            *(self._settings(seed), reading.protocol, self.body, chosen),
            *(self.reference, reading.shape),
            multipliers_of(*making.budget, reading.shape.shares),
            noise,
        )

    def unguarded(self, included: Bool, seed: int) -> Problem:
        """The problem of some images, without a guarantee."""
        own = with_class_i(self.films.at(torch.from_numpy(included)), self.reference)
        protocol = self.making.reading.protocol
        return problem_of_windows(self._settings(seed), protocol, self.body, own, self.others)

    @cached_property
    def _patients(self) -> list[PatientMeans]:
        return patients_in(self.films, self.reference)

    def _settings(self, seed: int) -> Settings:
        return self.making.settings.model_copy(update={"seed": seed})

    def _kept(self, name: str, problem: Callable[[], Problem]) -> Distilled:
        path = self.piece.folder / f"{name}.npz"
        if not path.exists():
            made = distil(problem(), name).distilled
            write_arrays(path, {tensor: getattr(made, tensor) for tensor in TENSORS})
            self.piece.keep()
        return Distilled(**read_arrays(path))
