import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdshare.cohort.split import require_fractions, split_patients
from gdshare.errors import UsageError


@given(
    negatives=st.integers(0, 40),
    positives=st.integers(0, 40),
    seed=st.integers(0, 2**31),
    weights=st.tuples(st.integers(1, 10), st.integers(0, 10), st.integers(0, 10)),
)
def test_every_patient_is_in_one_split_and_each_split_has_its_fraction(
    negatives, positives, seed, weights
):
    fractions = tuple(weight / sum(weights) for weight in weights)
    diagnosis = {f"n{i}": False for i in range(negatives)} | {
        f"p{i}": True for i in range(positives)
    }
    splits = split_patients(diagnosis, fractions, seed)
    assert splits.keys() == diagnosis.keys()
    for positive, count in ((False, negatives), (True, positives)):
        for split, fraction in zip(("train", "val", "test"), fractions, strict=True):
            size = sum(splits[p] == split for p in splits if diagnosis[p] is positive)
            assert abs(size - count * fraction) < 1


def test_split_depends_on_the_seed_and_not_on_the_tables_order():
    diagnosis = {f"p{i}": i % 2 == 0 for i in range(30)}
    backwards = dict(reversed(diagnosis.items()))
    fractions = (0.6, 0.2, 0.2)
    assert split_patients(diagnosis, fractions, 1) == split_patients(backwards, fractions, 1)
    assert split_patients(diagnosis, fractions, 1) != split_patients(diagnosis, fractions, 2)


@pytest.mark.parametrize("fractions", [(0.6, 0.2, 0.1), (1.2, -0.1, -0.1), (0.0, 0.5, 0.5)])
def test_fractions_that_do_not_divide_a_whole_are_refused(fractions):
    with pytest.raises(UsageError, match=r"--split .*: the fractions .* do not sum to 1"):
        require_fractions(fractions)
