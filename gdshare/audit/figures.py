"""The figures of an audit, as ``audit.json`` holds them. Neither torch nor scipy is needed here."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gdshare.bundle.attacks import Attack, AttackName


class TruePositives(BaseModel):
    """The share of members that is recognised where hardly anybody else is.

    Attributes:
        at: the largest share of others taken for members.
        figure, low, high: the share of members recognised, with its Clopper-Pearson interval; None
            where so few others are there that no threshold can be said to keep to ``at``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: float
    figure: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        """For people."""
        if self.figure is None or self.low is None or self.high is None:
            return "not resolvable"
        return f"{self.figure:.3f} ({self.low:.3f} to {self.high:.3f})"


class Separation(BaseModel):
    """How well a score tells members from others.

    Attributes:
        members, others: how many of each were compared.
        auc, low, high: the area under the ROC curve within each diagnosis, 0.5 is chance, and its
            95% interval over patients.
        smallest: the smallest share of false positives that so many others resolve, 1 / others.
        true_positives: at each of ``FALSE_POSITIVES``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    members: int
    others: int
    auc: float
    low: float
    high: float
    smallest: float
    true_positives: tuple[TruePositives, ...]

    @property
    def above_chance(self) -> bool:
        """Whether the whole interval lies above chance."""
        return self.low > 0.5


class OneRun(BaseModel):
    """What guesses about coin tosses show of ε, of distillations like the attacked one.

    Attributes:
        runs: shadows that were guessed about.
        guesses: made in all; who is in the middle is not guessed about.
        right: of them.
        epsilon: at least so much, with 95% confidence, if δ = 0; 0: nothing was shown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: int
    guesses: int
    right: int
    epsilon: float


class RankTest(BaseModel):
    """Whether members' patches are nearer to the images than others', by the ranks of distances.

    Attributes:
        members, others: patients.
        nearer: the share of pairs in which the member is nearer; 0.5 is chance.
        p: one-sided, of Mann and Whitney's test.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    members: int
    others: int
    nearer: float
    p: float


class Nearness(BaseModel):
    """How near the images are to patches of members, and of others.

    Attributes:
        patients, windows: compared at a time on each side, and of each patient.
        ratio, low, high: the smallest distance to members over that to as many others, of the image
            and the members where it is least; 1 where there is nothing, 0 of a copy.
        unrelated: the same among others alone.
        ranks: of all patients; None where the control's ranks did not show its copies.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patients: int
    windows: int
    ratio: float
    low: float
    high: float
    unrelated: float
    ranks: RankTest | None


class Lineup(BaseModel):
    """How often a training patient is picked from a line-up, by another film of each who is in it.

    Attributes:
        film: which other film: the patient's own one exposed again, or a second film.
        second_sha256: of the windows of the cohort of second films; None without one.
        people: in a line-up, one of them a training patient, all of the same diagnosis.
        members, others: patients who were put into line-ups.
        share, low, high: of all line-ups, in which the training patient is picked, and its 95%
            interval over patients; ``1 / people`` is chance.
        median_rank: of training patients in their line-ups, 1 is picked; ``(people + 1) / 2`` is
            chance.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    film: Literal["exposed-again", "second"]
    second_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    people: int
    members: int
    others: int
    share: float
    low: float
    high: float
    median_rank: float


class Recognition(BaseModel):
    """How well canaries that patients carry stand out among canaries that nobody carries.

    Attributes:
        kinds: of canaries that were compared.
        patients: who carry each of them, at most.
        planted, absent: how many times a canary was carried, and was not, in all sets.
        auc, low, high: the share of pairs of a set, kind and diagnosis in which the one that is
            carried has the higher score, 0.5 is chance, and its 95% interval over canaries.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: tuple[str, ...]
    patients: int
    planted: int
    absent: int
    auc: float
    low: float
    high: float


class Readback(BaseModel):
    """What was read back of canaries, in distillations like the run.

    Attributes:
        canaries: name and version of the list.
        sets: distillations in which some were planted.
        nulls: distillations in which none was, that scores are compared with.
        single: of canaries that one patient carries: of all kinds, then of each.
        several: the same of canaries that more patients carry; none in a small cohort.
        few: what the control would have been, where it was one more.
        method: of canaries in single windows, from their own updates: whether gradient inversion
            works at all. It shows nothing of distillations.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    canaries: str
    sets: int
    nulls: int
    single: tuple[Recognition, ...]
    several: tuple[Recognition, ...] = ()
    few: Recognition | None = None
    method: Recognition | None = None


class Control(BaseModel):
    """The same attack on something that leaks.

    Attributes:
        what: it was made on.
        figure, low, high: what the attack found there, with the 95% interval over patients.
        unrelated: what it would find if nothing leaked.
        fired: whether the whole interval lies above that. If not, the attack is blind here, and
            that it finds nothing in the images counts for nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    figure: float
    low: float
    high: float
    unrelated: float

    @property
    def fired(self) -> bool:
        """Whether the attack found the leak."""
        return self.low > self.unrelated


class Part(BaseModel):
    """One of several statistics that an attack looks at, alone.

    Attributes:
        patients: how well it tells members from others.
        control: the same on something that leaks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patients: Separation
    control: Control


class Result(BaseModel):
    """An attack, what it found, and whether that counts.

    A control shows that finding nothing, or little, means something. That something is found needs
    none: it counts although the same attack missed the leak, and how much more there is, is open.

    Attributes:
        attack: as a bundle would tell it.
        control: on something that leaks.
        patients, patches: how well members are told from others, where the attack guesses that.
        parts: each statistic alone, where the attack looks at several.
        nearness: of the images and of the control's, where the attack looks for that.
        lineup: where the attack picks patients from line-ups.
        readback: of canaries, where the attack looks for those.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    attack: Attack
    control: Control
    patients: Separation | None = None
    patches: Separation | None = None
    parts: Mapping[str, Part] = {}
    nearness: Mapping[str, Nearness] = {}
    lineup: Lineup | None = None
    readback: Readback | None = None

    @property
    def counts(self) -> bool:
        """Whether its figure says something of the images."""
        return self.control.fired or self.attack.finds

    @property
    def counted(self) -> Attack:
        """The attack as far as it counts, if it does: without its control only from below."""
        return self.attack if self.control.fired else self.attack.at_least


class Untried(BaseModel):
    """An attack that was not made.

    Attributes:
        name: of the attack.
        why: in a sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: AttackName
    why: str
