import numpy as np
import pytest

from gdshare.metrics import Confusion, auc, count
from studies.quality.figures import (
    Films,
    Verdicts,
    difference,
    merit,
    resampled,
    weights,
)
from studies.tables import Difference

RESAMPLES = 400


def fold(seed, count=40):
    """Test films of one fold: two sites, half of each positive."""
    generator = np.random.default_rng(seed)
    return Films(
        site=np.arange(count) % 2,
        patient=np.arange(count) // 2,
        positive=generator.permutation(count) < count // 2,
        votes=np.zeros((1, count, 3)),
        sums=np.zeros((1, count, 3)),
    )


def judged(films, ratio, threshold=0.5):
    ratio = np.asarray(ratio, np.float64)
    nobody = np.zeros(len(ratio), np.bool_)
    epsilon = np.full(len(ratio), threshold)
    return Verdicts(films.site, films.positive, ratio, nobody, epsilon)


def noisy(films, noise, seed):
    """Ratios that follow the diagnosis but for some noise."""
    generator = np.random.default_rng(seed)
    return (films.positive + generator.normal(0.0, noise, len(films.positive))).clip(0, 1)


FOLDS = [fold(0), fold(1, 30)]
DRAWN = [weights(one, np.random.default_rng(7), RESAMPLES) for one in FOLDS]


def model(noise, seed):
    return [judged(one, noisy(one, noise, seed + n)) for n, one in enumerate(FOLDS)]


def test_each_resample_keeps_the_patients_of_each_site_and_diagnosis():
    films, drawn = FOLDS[0], DRAWN[0]
    assert drawn.shape == (RESAMPLES, 40)
    for site in (0, 1):
        for positive in (False, True):
            stratum = (films.site == site) & (films.positive == positive)
            assert (drawn[:, stratum].sum(1) == stratum.sum()).all()
    assert len({tuple(row) for row in drawn}) > RESAMPLES / 2


def test_on_average_each_film_is_drawn_once():
    assert DRAWN[0].mean(0) == pytest.approx(1.0, abs=0.25)


def test_a_patient_brings_all_films_along():
    films = Films(
        site=np.zeros(6, np.int64),
        patient=np.array([0, 0, 0, 1, 2, 3]),
        positive=np.array([False] * 5 + [True]),
        votes=np.zeros((1, 6, 3)),
        sums=np.zeros((1, 6, 3)),
    )
    drawn = weights(films, np.random.default_rng(0), 50)
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert (drawn[:, 0] == drawn[:, 2]).all()
    assert (drawn[:, [0, 3, 4]].sum(1) == 3).all()  # three negative patients


def test_patients_of_two_sites_with_one_number_are_two_patients():
    films = Films(
        site=np.array([0, 1]),
        patient=np.array([0, 0]),
        positive=np.array([True, True]),
        votes=np.zeros((1, 2, 3)),
        sums=np.zeros((1, 2, 3)),
    )
    assert (weights(films, np.random.default_rng(0), 9) == 1).all()


def test_identical_models_differ_by_nothing_on_every_resample():
    hm, area = difference(resampled([model(0.6, 3)], DRAWN), resampled([model(0.6, 3)], DRAWN))
    assert hm == area == Difference(0.0, 0.0, 0.0)


def test_a_better_model_is_seen_to_be_better_and_the_other_way_round():
    good, poor = resampled([model(0.2, 3)], DRAWN), resampled([model(2.0, 9)], DRAWN)
    hm, area = difference(good, poor)
    assert hm.value > 0
    assert hm.low > 0
    assert area.low > 0
    turned_hm, turned_area = difference(poor, good)
    assert turned_hm.value == -hm.value
    assert turned_area.high == pytest.approx(-area.low)


def test_pairing_leaves_less_to_chance_than_two_models_by_themselves():
    first, second = model(0.8, 3), model(0.8, 3)
    ratio = second[0].ratio.copy()
    ratio[0] = 1.0 - ratio[0]  # the second model differs by a single film
    second[0] = judged(FOLDS[0], ratio)
    one, other = resampled([first], DRAWN), resampled([second], DRAWN)
    paired = np.std(one.harmonic_means - other.harmonic_means)
    assert paired < 0.5 * np.std(one.harmonic_means)


def test_counting_by_weights_equals_counting_films_one_by_one():
    models = model(0.7, 5)
    found = resampled([models], DRAWN)
    for index in (0, 17, 399):
        total, areas = Confusion(0, 0, 0, 0), []
        for verdicts, drawn in zip(models, DRAWN, strict=True):
            rows = np.repeat(np.arange(len(verdicts.site)), drawn[index].astype(int))
            ratio, positive = verdicts.ratio[rows], verdicts.positive[rows]
            total += count(ratio, verdicts.indeterminate[rows], positive, verdicts.threshold[rows])
            areas.append(auc(ratio, positive))
        assert found.harmonic_means[index] == pytest.approx(total.harmonic_mean)
        assert found.aucs[index] == pytest.approx(np.mean(areas))


def test_of_several_models_the_mean_figure_is_compared_not_the_figure_of_the_mean():
    several = [model(0.5, 3), model(1.5, 4)]
    found = resampled(several, DRAWN)
    apart = [resampled([one], DRAWN) for one in several]
    assert found.harmonic_mean == pytest.approx(np.mean([one.harmonic_mean for one in apart]))
    assert found.harmonic_means == pytest.approx(np.mean([o.harmonic_means for o in apart], axis=0))
    assert found.auc == pytest.approx(np.mean([merit(one).auc for one in several]))


def test_ties_count_half():
    even = [judged(one, np.full(len(one.site), 0.3)) for one in FOLDS]
    found = resampled([even], DRAWN)
    assert found.auc == 0.5
    assert found.aucs == pytest.approx(0.5)


def test_nobody_called_positive_gives_zero_not_a_division_by_zero():
    never = [judged(one, np.zeros(len(one.site))) for one in FOLDS]
    found = resampled([never], DRAWN)
    assert found.harmonic_mean == 0.0
    assert (found.harmonic_means == 0.0).all()


def test_without_one_diagnosis_the_area_is_not_a_number_and_the_rest_stands():
    films = fold(0)
    positive = Films(films.site, films.patient, np.ones(40, np.bool_), films.votes, films.sums)
    drawn = [weights(positive, np.random.default_rng(0), 10)]
    found = resampled([[judged(positive, np.ones(40))]], drawn)
    assert np.isnan(found.auc)
    assert np.isnan(found.aucs).all()
    assert np.isnan(difference(found, found)[1].low)
