import pytest
from neighbours_kit import exact_epsilon

from gdshare.errors import UsageError
from gdshare.private.account import LARGEST_EPSILON, Budget, accountant, epsilon_of, spend

pytest.importorskip("dp_accounting", reason="the extra privacy is not installed")


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan"), float("inf"), LARGEST_EPSILON + 1])
def test_an_epsilon_out_of_range_is_refused(epsilon):
    with pytest.raises(UsageError, match="--epsilon"):
        Budget(epsilon)


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, float("nan")])
def test_a_delta_out_of_range_is_refused(delta):
    with pytest.raises(UsageError, match="--delta"):
        Budget(1.0, delta)


def test_a_delta_that_could_give_a_patient_away_is_refused():
    Budget(1.0, 0.009).require_small(110)
    with pytest.raises(UsageError, match="below 1 / training patients"):
        Budget(1.0, 0.009).require_small(112)
    with pytest.raises(UsageError, match="below 1 / training patients"):
        Budget(1.0, 0.01).require_small(100)


def test_two_queries_together_spend_what_was_asked_for_and_no_more():
    spending = spend(Budget(1.0, 1e-5), (0.2, 0.8))
    assert spending.multipliers[0] == pytest.approx(2 * spending.multipliers[1])
    assert 0.999 < spending.epsilon <= 1.0
    together = sum(multiplier**-2 for multiplier in spending.multipliers) ** -0.5
    assert exact_epsilon(together, 1e-5) <= 1.0
    assert spending.accountant == accountant()
    assert "dp-accounting" in accountant()


def test_the_accountant_agrees_with_the_closed_form_where_there_is_one():
    for delta in (0.1, 1e-3):
        assert epsilon_of((2**0.5, 2**0.5), delta) == pytest.approx(
            exact_epsilon(1.0, delta), abs=1e-3
        )
