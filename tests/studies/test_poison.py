"""The poisoned bundles that the benchmark makes, and its table."""

from typing import Any

import numpy as np
import torch

from gdshare.distilled import Distilled
from gdshare.protocol import PatchClass
from studies.poison.attacks import ATTACKS, MARKER, plant, stamped
from studies.poison.table import table

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


def test_table_tells_what_was_found_and_what_was_not() -> None:
    honest, flipped = table(
        [
            trial("honest", peers=False, chance=True),
            trial("flipped", peers=True, chance=False),
            trial("flipped", peers=False, chance=True),
        ]
    ).splitlines()[2:4]
    cells = [cell.strip() for cell in flipped.strip("|").split("|")]
    assert cells[5:] == ["1 of 2", "not tested", "1 of 2", "1 of 2", "0 of 2"]
    assert [cell.strip() for cell in honest.strip("|").split("|")][5] == "0 of 1"
