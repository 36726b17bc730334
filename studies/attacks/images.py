"""Attacks on sets of PneumoniaMNIST, each image of which is a patient.

It is no cohort, so ``gdshare audit`` cannot audit it. Membership is attacked here in the same ways:
of a patient there are the features that were read once, and these attacks need no more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from pydantic import JsonValue

from gdshare.audit.attack import seed_of
from gdshare.audit.figures import Result as Found
from gdshare.audit.identifiers import NAME as IDENTIFIERS
from gdshare.audit.lineup import NAME as LINEUP
from gdshare.audit.membership import NAME as LOSS
from gdshare.audit.membership_lira import (
    BUNDLE,
    LIRA,
    Evidence,
    as_attack,
    attack_bundle,
    attack_shadows,
    one_run,
    overfitted_control,
)
from gdshare.audit.nearest import NAME as PATCH
from gdshare.audit.nearest_attacks import FEATURES, RATIO
from gdshare.audit.rates import separation
from gdshare.audit.reconstruction import NAMES
from gdshare.audit.traces import Reader, head_reader
from gdshare.distill.head import Head, train_head
from gdshare.distill.score import tensors_of
from gdshare.distilled import Distilled
from gdshare.private.run import scattering_body
from studies.attacks.image_sets import ImageSets, SetMaking
from studies.readings import READ, open_reading
from studies.runner import Piece, Result

NO_COHORT = "made on the films of a cohort, and these are single images"
UNTRIED: Mapping[str, str] = {
    IDENTIFIERS: "nothing is known of these images that could be sought",
    **dict.fromkeys((LINEUP, PATCH, RATIO, FEATURES, *NAMES), NO_COHORT),
}
"""Attack -> why it is not made on these sets."""


@dataclass(frozen=True)
class ImagesAttack:
    """All that decides what is found beside the images and the noise.

    Attributes:
        making: of the sets.
        shadows, overfitted: how many sets help the attacks, and are their control.
        repeats: sets with other seeds, attacked with the help of the first one's shadows.
    """

    making: SetMaking
    shadows: int
    overfitted: int
    repeats: int


def attack_images(piece: Piece, attack: ImagesAttack) -> Result:
    """The cell that distils sets of one kind, and attacks them.

    Its facts: what the attacks found on the first set (``results``, ``one_run``), of each further
    set figure and interval (``found``), and the patch score of test images of all (``scores``).
    """
    films, reference = open_reading(piece.needs[READ].folder)
    making, settings = attack.making, attack.making.settings
    body = scattering_body(settings, making.reading.protocol)
    sets = ImageSets(piece, making, body, reference, films["train"], films["val"])
    attacked = [sets.attacked(seed) for seed in range(attack.repeats + 1)]
    read = head_reader(body, sets.films.features, sets.films.classes, settings.method())
    evidence = _evidence(sets, attack, attacked[0], read)
    results = [*_on_the_set(evidence), attack_shadows(evidence)]
    bound, found = one_run(evidence), dict[str, list[JsonValue]]()
    for other in attacked[1:]:
        beside = replace(evidence, target=read(other), distilled=other)
        for own in (result.attack for result in _on_the_set(beside)):
            found.setdefault(own.name, []).append([own.figure, own.low, own.high])
    scores: list[JsonValue] = []
    for distilled in attacked:
        data = tensors_of(distilled, settings.sets, torch.device("cpu"))
        head = train_head(Head.zeros(body), data, settings.trajectory)
        scores.append(films["test"].judge(head)[0])
    return Result(
        {
            "results": [result.model_dump(mode="json") for result in results],
            "one_run": bound.model_dump(mode="json") if bound else None,
            "found": {name: found[name] for name in sorted(found)},
            "scores": scores,
        }
    )


def _evidence(sets: ImageSets, attack: ImagesAttack, attacked: Distilled, read: Reader) -> Evidence:
    """Make the shadows and the overfitted sets, and read them."""
    seed = seed_of(attacked)
    made = [sets.shadow(seed, number) for number in range(attack.shadows)]
    few = [sets.overfitted(seed, number) for number in range(attack.overfitted)]
    return Evidence(
        candidates=sets.people,
        included=np.stack([sets.coins(seed, number) for number in range(attack.shadows)]),
        shadows=[read(shadow) for shadow in made],
        target=read(attacked),
        few=[(own, read(own.distilled)) for own in few],
        seed=seed,
        distilled=attacked,
        made=made,
    )


def _on_the_set(evidence: Evidence) -> list[Found]:
    """The attacks on a single set, with their controls."""
    return [*(attack_bundle(name, evidence) for name in (LIRA, BUNDLE)), _by_loss(evidence)]


def _by_loss(evidence: Evidence) -> Found:
    """``membership-loss/1``: of single windows the loss is the lower, the higher the confidence."""
    people, everyone = evidence.candidates, np.arange(len(evidence.candidates))
    patients = separation(
        evidence.guesses(evidence.observed(LIRA, evidence.target)[0], people.member, everyone),
        evidence.generator(LOSS),
    )
    guesses = evidence.guesses(
        np.concatenate([evidence.observed(LIRA, trace)[0] for _, trace in evidence.few]),
        np.concatenate([own.included for own, _ in evidence.few]),
        np.tile(everyone, len(evidence.few)),
    )
    control = separation(guesses, evidence.generator(f"{LOSS}-control"))
    return Found(
        attack=as_attack(LOSS, patients),
        control=overfitted_control(control, len(evidence.few)),
        patients=patients,
    )
