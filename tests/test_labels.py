import numpy as np
import pytest

from gdshare.labels import DISCARDED, label_windows
from gdshare.protocol import PatchClass, Protocol

FRACTIONS = np.array([0.0, 0.0099, 0.01, 0.5, 0.85, 0.8501, 1.0])
BETWEEN = [DISCARDED] * 3


@pytest.mark.parametrize(("positive", "inside"), [(True, PatchClass.P), (False, PatchClass.N)])
def test_both_bounds_are_strict_and_inside_takes_the_diagnosis(positive, inside):
    labels = label_windows(FRACTIONS, positive, Protocol(outside=0.01, inside=0.85))
    outside = PatchClass.I
    assert labels.tolist() == [outside, outside, *BETWEEN, inside, inside]


def test_bounds_come_from_the_protocol():
    labels = label_windows(FRACTIONS, True, Protocol(outside=0.6, inside=0.9))
    assert labels.tolist() == [0, 0, 0, 0, DISCARDED, DISCARDED, 2]


def test_bounds_that_overlap_are_refused():
    with pytest.raises(ValueError, match="must be below"):
        Protocol(outside=0.9, inside=0.85)
