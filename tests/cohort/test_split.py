import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdshare.cohort.split import require_fractions, split_patients
from gdshare.errors import UsageError


@given(
    negatives=st.integers(0, 40),
    positives=st.integers(0, 40),
    seed=st.integers(0, 2**31),
    shares=st.tuples(st.integers(1, 10), st.integers(0, 10), st.integers(0, 10)),
)
def test_every_patient_gets_one_split_and_each_split_its_share(negatives, positives, seed, shares):
    fractions = tuple(share / sum(shares) for share in shares)
    diagnosis = {f"n{i}": False for i in range(negatives)} | {
        f"p{i}": True for i in range(positives)
    }
    found = split_patients(diagnosis, fractions, seed)
    assert found.keys() == diagnosis.keys()
    for positive, count in ((False, negatives), (True, positives)):
        for split, fraction in zip(("train", "val", "test"), fractions, strict=True):
            got = sum(found[p] == split for p in found if diagnosis[p] is positive)
            assert abs(got - count * fraction) < 1


def test_split_depends_on_the_seed_and_not_on_the_tables_order():
    diagnosis = {f"p{i}": i % 2 == 0 for i in range(30)}
    backwards = dict(reversed(diagnosis.items()))
    fractions = (0.6, 0.2, 0.2)
    assert split_patients(diagnosis, fractions, 1) == split_patients(backwards, fractions, 1)
    assert split_patients(diagnosis, fractions, 1) != split_patients(diagnosis, fractions, 2)


@pytest.mark.parametrize("fractions", [(0.6, 0.2, 0.1), (1.2, -0.1, -0.1), (0.0, 0.5, 0.5)])
def test_shares_that_are_no_whole_are_refused(fractions):
    with pytest.raises(UsageError, match="sum to 1"):
        require_fractions(fractions)
