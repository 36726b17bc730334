import numpy as np
import pytest

from gdshare.errors import RunError
from studies.quality.figures import Films, judge
from studies.quality.left_out import COMMON, OWN, left_out, verdicts_without_oneself
from studies.quality.lineup import Contender, Voters
from studies.quality.paired import weights

ALONE = (0,)
MODEL = Contender("a network", ((Voters("convnet", ALONE),),))


def films(ratios, positive, site, patient=None):
    """One network that votes on every film by the given ratio."""
    votes = np.array([[[0.0, 100 * (1 - ratio), 100 * ratio] for ratio in ratios]])
    numbers = np.arange(len(ratios)) if patient is None else np.array(patient)
    return Films(np.array(site), numbers, np.array(positive, np.bool_), votes, votes)


def shifted(hospitals=2, each=8):
    """Hospitals that a common ε does not fit: each one's own parts its films, far from any edge."""
    low = [0.10, 0.70]
    ratios = [low[h] + (0.20 if n % 2 else 0.0) for h in range(hospitals) for n in range(each)]
    positive = [bool(n % 2) for _ in range(hospitals) for n in range(each)]
    site = [h for h in range(hospitals) for _ in range(each)]
    return films(ratios, positive, site)


@pytest.mark.parametrize("rule", [COMMON, OWN])
def test_a_patient_has_no_say_in_the_epsilon_of_their_own_films(rule):
    rng = np.random.default_rng(3)
    # patients of three films each, numbered anew in each hospital
    patient, site = np.tile(np.repeat(np.arange(5), 3), 2), np.repeat([0, 1], 15)
    val = films(rng.random(30), rng.random(30) < 0.5, site, patient)
    found = verdicts_without_oneself(val, ALONE, rule)
    for at in (0, 1):
        for number in range(5):
            here = (site == at) & (patient == number)
            turned = Films(
                site, patient, np.where(here, ~val.positive, val.positive), val.votes, val.sums
            )
            again = verdicts_without_oneself(turned, ALONE, rule)
            assert (again.threshold[here] == found.threshold[here]).all()
            alone = judge(val.where(~here), val.where(here), ALONE, "votes", rule)
            assert (alone.threshold == found.threshold[here]).all()


def test_a_hospital_of_one_validation_patient_is_refused():
    val = films([0.2, 0.8, 0.9, 0.4], [0, 1, 1, 0], [0, 0, 1, 1], [0, 1, 0, 0])
    with pytest.raises(RunError, match="one validation patient"):
        verdicts_without_oneself(val, ALONE, OWN)


def test_an_epsilon_of_each_hospital_gains_where_their_films_look_different():
    val = shifted()
    drawn = [weights(val, np.random.default_rng(0), 50)]
    (found,) = left_out([MODEL], [{"convnet": {"val": val}}], drawn)
    assert [one.confusion.harmonic_mean for one in found.own] == [1.0]
    assert found.common[0].confusion.harmonic_mean < 0.8
    assert found.common[0].confusion.films == found.own[0].confusion.films == len(val.site)
    gain = found.own[0].confusion.harmonic_mean - found.common[0].confusion.harmonic_mean
    assert found.gain.harmonic_mean == pytest.approx(gain)
    assert found.gain.harmonic_mean_interval.low > 0
    assert found.gain.auc == 0  # which knows no ε
