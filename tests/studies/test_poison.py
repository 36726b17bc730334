"""The poisoned bundles that the benchmark makes, and its table."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from gdshare.distilled import Distilled
from gdshare.protocol import PatchClass
from studies.hospitals import hospitals_of
from studies.poison import FAST, poison_cells, report_of
from studies.poison.trial import ATTACKS, BACKDOOR, MARKER, Trial, plant, stamped
from studies.runner import Store

MADE = Distilled(
    np.random.default_rng(0).normal(size=(3, 1, 16, 16)).astype(np.float32),
    (np.eye(3) * 0.7 + 0.1).astype(np.float32),
    np.full(3, 0.02, np.float32),
)


def test_every_poisoned_bundle_is_sound() -> None:
    for name, attack in ATTACKS.items():
        made = attack(MADE, 1)
        assert made.problem() is None, name
        assert (made.to_bytes() == MADE.to_bytes()) == (name == "honest"), name


def test_flipping_exchanges_n_and_p_and_leaves_i() -> None:
    labels = ATTACKS["labels flipped"](MADE, 1).labels
    assert labels.argmax(1).tolist() == [PatchClass.I, PatchClass.P, PatchClass.N]


def test_marker_is_planted_on_half_of_p_which_become_n() -> None:
    labels = np.array([PatchClass.P, PatchClass.N, PatchClass.P, PatchClass.I], np.uint8)
    pixels, called = plant(np.zeros((4, 16, 16), np.uint16), labels, 65535)
    assert called.tolist() == [PatchClass.N, PatchClass.N, PatchClass.P, PatchClass.I]
    assert (pixels[0, -MARKER:, -MARKER:] == 65535).all()
    assert pixels[1:].max() == 0
    bearing = stamped(torch.zeros(1, 1, 16, 16), 2.0)
    assert float(bearing.sum()) == 2.0 * MARKER**2


def trial(attack: str, peers: bool, chance: bool, tested: bool = True) -> dict[str, Any]:
    taught = {"tested": tested, "beats_chance": chance}
    faults = ["its update points elsewhere"] if peers else []
    return {
        "attack": attack,
        "site": "west",
        "agreement": {"west": {"faults": faults}, "east": {"faults": []}},
        "teaching": {"reference": taught, "counts": {"tested": False, "beats_chance": chance}},
        "harm": {"auc": 0.7, "patch_score": 0.5, "turned_by_marker": 0.1},
    }


def test_table_says_what_was_found_and_what_was_not() -> None:
    trials = [
        trial("honest", peers=False, chance=True),
        trial("flipped", peers=True, chance=False),
        trial("flipped", peers=False, chance=True),
        {"attack": "noise", "site": "east", "agreement": {"east": {"faults": ["it differs"]}}},
    ]
    _, _, honest, flipped, _, note = report_of(trials).text.splitlines()
    cells = [cell.strip() for cell in flipped.strip("|").split("|")]
    assert cells[5:] == ["1 of 2", "not tested", "1 of 2", "1 of 2", "0 of 2"]
    assert [cell.strip() for cell in honest.strip("|").split("|")][5] == "0 of 1"
    assert note.endswith("noise 1 of 1")


def test_every_attack_is_tried_on_every_hospital_and_whole_in_the_reporting_fold() -> None:
    store = Store("poison", Path("nowhere"))
    cells = poison_cells(FAST, hospitals_of(FAST.plan.phantoms, Path(), store))
    trials = [cell for cell in cells if isinstance(cell.parameters, Trial)]
    assert [cell.parameters.whole for cell in trials] == [False] * 6 + [True] * 7
    assert trials[-1].parameters.attack == BACKDOOR
    assert "planted" in trials[-1].needs
    names = [cell.name for cell in cells]
    for place, cell in enumerate(cells):
        assert {one.name for one in cell.needs.values()} <= set(names[:place])
