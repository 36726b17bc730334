"""What an attack by nearness says where its control's ranks are blind."""

import numpy as np
import pytest

from gdshare.audit.match import Distances
from gdshare.audit.nearest_attacks import _result


class Drawn:
    """In place of films: only the draws matter."""

    def generator(self, purpose):
        return np.random.default_rng(len(purpose))


def distances(seed, nearer=0.0):
    draw = np.random.default_rng(seed)
    members = draw.uniform(0.4, 0.6, (30, 3))
    members[:12] -= nearer
    return Distances(members, 5), Distances(draw.uniform(0.4, 0.6, (20, 3)), 5)


@pytest.mark.parametrize(("nearer", "seen"), [(0.35, True), (0.0, False)])
def test_ranks_are_given_only_where_they_show_the_copies_of_the_control(nearer, seen):
    few, many = distances(1, 0.35), distances(2, nearer)
    result = _result(Drawn(), "nearest-ratio/1", distances(3), few, many, 3, "unshifted")
    assert (result.nearness["images"].ranks is not None) is seen
    assert (result.nearness["control"].ranks.p < 0.05) is seen
    assert result.control.fired
    assert result.attack.low <= result.attack.unrelated


def test_figure_is_larger_the_nearer_the_images_are():
    few = many = distances(1, 0.35)
    figures = [
        _result(Drawn(), "nearest-ratio/1", distances(3, by), few, many, 3, "unshifted").attack
        for by in (0.0, 0.2, 0.39)
    ]
    assert figures[0].figure < figures[1].figure < figures[2].figure
