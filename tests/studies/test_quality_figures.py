from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from gdshare.errors import RunError, UsageError
from gdshare.metrics import Confusion
from studies.quality.figures import (
    FINE_THRESHOLDS,
    PRIMARY,
    READINGS,
    Films,
    Verdicts,
    judge,
    judge_without_oneself,
    merit,
    ratios,
    threshold,
)
from studies.quality.plan import FULL
from studies.quality.report import Reader, as_they_are, better_norm, disjoint


def films(votes, sums=None, positive=None, site=None):
    votes = np.array(votes, np.float64)
    count = votes.shape[1]
    return Films(
        site=np.zeros(count, np.int64) if site is None else np.array(site),
        patient=np.arange(count),
        positive=np.zeros(count, np.bool_) if positive is None else np.array(positive, np.bool_),
        votes=votes,
        sums=votes if sums is None else np.array(sums, np.float64),
    )


def by_ratio(wanted, positive, site=None):
    """One network, each film of the given ratio."""
    votes = [[[0, 100 * (1 - ratio), 100 * ratio] for ratio in wanted]]
    return films(votes, positive=positive, site=site)


def test_votes_of_a_team_are_counted_together():
    seen = films([[[10, 3, 1]], [[12, 0, 2]], [[0, 7, 7]]])
    assert ratios(seen, (0, 1), "votes")[0].tolist() == [3 / 6]
    assert ratios(seen, (0,), "votes")[0].tolist() == [1 / 4]
    assert ratios(seen, (1,), "votes")[0].tolist() == [1.0]


def test_probabilities_weigh_each_network_alike():
    seen = films([[[9, 9, 9]], [[9, 9, 9]]], sums=[[[1.0, 2.0, 1.0]], [[3.0, 0.5, 0.5]]])
    assert ratios(seen, (0, 1), "probabilities")[0].tolist() == [1.5 / 4]


def test_a_film_without_n_or_p_votes_is_indeterminate_and_negative_whatever_the_threshold():
    seen = films([[[14, 0, 0], [4, 5, 5]]], sums=[[[13.8, 0.05, 0.15], [4, 5, 5]]])
    ratio, indeterminate = ratios(seen, (0,), "votes")
    assert ratio.tolist() == [0.0, 0.5]
    assert indeterminate.tolist() == [True, False]
    found = Verdicts(seen.site, seen.positive, ratio, indeterminate, np.zeros(2))
    assert found.called.tolist() == [False, True]


def test_a_film_is_indeterminate_by_probabilities_when_it_is_by_votes():
    votes = [[[14, 0, 0], [13, 1, 0], [14, 0, 0]], [[14, 0, 0], [14, 0, 0], [13, 0, 1]]]
    sums = [[[0, 0, 0], [0.2, 0.5, 0.3], [0, 0, 0]], [[0, 0, 0], [0, 0, 0], [0.2, 0.3, 0.5]]]
    seen = films(votes, sums=sums)
    for team in ((0,), (1,), (0, 1)):
        by_votes = ratios(seen, team, "votes")[1].tolist()
        assert ratios(seen, team, "probabilities")[1].tolist() == by_votes
    assert ratios(seen, (0,), "probabilities")[0].tolist() == pytest.approx([0, 0.375, 0])


def test_one_network_with_a_vote_makes_a_film_determinate_for_the_team():
    seen = films([[[14, 0, 0]], [[13, 0, 1]]])
    assert ratios(seen, (0, 1), "votes")[1].tolist() == [False]
    assert ratios(seen, (0, 1), "votes")[0].tolist() == [1.0]


def test_thresholds_come_from_validation_films_in_their_own_steps():
    val = by_ratio([0.47, 0.48, 0.495, 0.50], [0, 0, 1, 1])
    assert threshold(val, (0,), "votes", "source") == 0.4
    fine = threshold(val, (0,), "votes", "fine")
    assert fine in FINE_THRESHOLDS
    assert fine == 0.49
    # no multiple of 0.05 parts these films, so the best such ε loses one
    coarse = threshold(val, (0,), "votes", "coarse")
    assert coarse == 0.5
    assert judge(val, val, (0,), "votes", "coarse").called.tolist() == [False, False, False, True]
    assert judge(val, val, (0,), "votes", "fine").called.tolist() == [False, False, True, True]


def test_the_threshold_never_sees_a_test_film():
    val = by_ratio([0.2, 0.8], [0, 1])
    test = by_ratio([0.05, 0.1], [0, 1])
    found = judge(val, test, (0,), "votes", "coarse")
    assert set(found.threshold) == {threshold(val, (0,), "votes", "coarse")}
    assert found.called.tolist() == [False, False]


def test_each_hospital_may_have_an_epsilon_of_its_own():
    val = by_ratio([0.1, 0.3, 0.6, 0.8], [0, 1, 0, 1], site=[0, 0, 1, 1])
    test = by_ratio([0.15, 0.35, 0.5, 0.75], [0, 1, 0, 1], site=[0, 0, 1, 1])
    common = judge(val, test, (0,), "votes", "coarse")
    assert merit([common]).confusion.harmonic_mean < 1
    own = judge(val, test, (0,), "votes", "own")
    assert own.threshold.tolist() == [0.25, 0.25, 0.75, 0.75]
    assert merit([own]).confusion.harmonic_mean == 1
    with pytest.raises(UsageError, match="no validation film"):
        judge(val.where(val.site == 0), test, (0,), "votes", "own")


def test_without_validation_films_no_threshold_can_be_chosen():
    with pytest.raises(UsageError, match="no validation film"):
        threshold(films(np.zeros((1, 0, 3))), (0,), "votes", "coarse")


def test_counts_are_summed_over_folds_and_areas_averaged():
    first = judge(by_ratio([0, 1], [0, 1]), by_ratio([0.1, 0.9], [0, 1]), (0,), "votes", "source")
    # fold 2's ratios lie elsewhere: compared across folds they would spoil the area
    second = judge(
        by_ratio([0, 1], [0, 1]), by_ratio([0.91, 0.95, 0.93], [0, 1, 1]), (0,), "votes", "source"
    )
    found = merit([first, second])
    assert found.confusion == Confusion(tp=3, fn=0, tn=1, fp=1)
    assert found.auc == 1.0
    assert found.confusion.harmonic_mean == pytest.approx(2 / 3)


def test_figures_of_one_site_look_at_its_films_alone():
    test = by_ratio([0.1, 0.9, 0.9, 0.1], [0, 1, 0, 1], site=[0, 0, 1, 1])
    found = judge(test, test, (0,), "votes", "source")
    assert merit([found.at(0)]).confusion == Confusion(1, 0, 1, 0)
    assert merit([found.at(1)]).confusion == Confusion(0, 1, 0, 1)
    assert merit([found.at(1)]).auc == 0.0


def test_an_area_without_one_diagnosis_is_not_a_number():
    found = judge(by_ratio([0, 1], [0, 1]), by_ratio([0.1], [0]), (0,), "votes", "source")
    assert np.isnan(merit([found]).auc)


def test_teams_are_disjoint_and_use_every_network():
    convnet, resnet18 = FULL.poolings
    rows = [disjoint(FULL, own, size) for own in FULL.poolings for size in FULL.teams]
    assert [one.name for one in rows] == [
        f"distilled on {network}, k = {k}"
        for network in ("ConvNet", "ResNet18")
        for k in (1, 5, 20)
    ]
    assert [one.primary for one in rows] == [False, True, False] + [False] * 3
    fives = disjoint(FULL, convnet, 5)
    assert len(fives.models) == 4
    assert {source for model in fives.models for source, _ in model} == {"convnet"}
    assert disjoint(FULL, resnet18, 5).models[0][0][0] == "resnet18"
    members = [network for model in fives.models for network in model[0][1]]
    assert sorted(members) == list(range(20))
    assert all(len(set(model)) == 1 for model in fives.models)  # the same team in every fold


def picked(contender):
    """Of a contender of one model: in each fold, whose network votes."""
    (model,) = contender.models
    return [source for source, _ in model]


def test_the_better_norm_is_chosen_in_each_fold_by_its_own_validation_score():
    def scores(group, batch):
        told = {f"real-{n}-{kind}": 0.5 for n in (6000, 9000) for kind in ("group", "batch")}
        # the ConvNet is no norm of ResNet18, however well it does
        return told | {"real-3000-group": group, "real-3000-batch": batch, "real-3000-convnet": 0.9}

    folds = [scores(0.5, 0.6), scores(0.6, 0.5), scores(0.1, 0.1)]
    small, middle, large = better_norm(FULL, FULL.baselines, folds)
    assert small.name == "3000 real, ResNet18 better norm"
    assert picked(small) == ["real-3000-batch", "real-3000-group", "real-3000-group"]
    assert picked(middle) == ["real-6000-group"] * 3
    assert picked(large) == ["real-9000-group"] * 3


def test_without_one_norm_there_is_no_better_one():
    lacking = [one for one in FULL.baselines if one.name != "real-6000-batch"]
    scores = {one.name: 0.5 for one in lacking}
    names = [one.name for one in better_norm(FULL, lacking, [scores] * 3)]
    assert names == ["3000 real, ResNet18 better norm", "9000 real, ResNet18 better norm"]


def test_every_baseline_has_a_row_of_its_own():
    rows = as_they_are(FULL, FULL.baselines)
    assert [one.name for one in rows[-3:]] == [
        "9000 real, ResNet18 GroupNorm",
        "9000 real, ResNet18 BatchNorm",
        "9000 real, ConvNet",
    ]
    assert picked(rows[-1]) == ["real-9000-convnet"] * 3
    assert not any(one.primary for one in rows)


def test_each_model_of_a_row_has_thresholds_of_its_own(monkeypatch):
    one = films([[[0, 9, 1], [0, 8, 2]], [[0, 2, 8], [0, 1, 9]]], positive=[0, 1])
    monkeypatch.setattr(Reader, "films", [{"convnet": {"val": one, "test": one}}] * 2)
    plan = replace(FULL, folds=2, networks=2, teams=(1, 2), primary=1)
    reader = Reader(plan, [], {})
    judged = reader.verdicts(disjoint(plan, plan.poolings[0], 1), "votes", "fine")
    assert [[fold.threshold[0] for fold in model] for model in judged] == [[0.16] * 2, [0.86] * 2]
    assert all(fold.called.tolist() == [False, True] for model in judged for fold in model)


def test_the_primary_reading_is_votes_at_the_coarse_threshold():
    assert READINGS[0] == PRIMARY == ("votes", "coarse")
    assert FULL.primary == 5


@pytest.mark.parametrize("rule", ["coarse", "own"])
def test_a_patient_has_no_say_in_the_epsilon_of_their_own_films(rule):
    rng = np.random.default_rng(3)
    # patients of three films each, numbered anew in each hospital
    patient, site = np.tile(np.repeat(np.arange(5), 3), 2), np.repeat([0, 1], 15)
    val = replace(by_ratio(rng.random(30), rng.random(30) < 0.5, site), patient=patient)
    left_out = judge_without_oneself(val, (0,), rule)
    for at, number in product((0, 1), range(5)):
        here = (site == at) & (patient == number)
        turned = replace(val, positive=np.where(here, ~val.positive, val.positive))
        again = judge_without_oneself(turned, (0,), rule)
        assert (again.threshold[here] == left_out.threshold[here]).all()
        alone = judge(val.where(~here), val.where(here), (0,), "votes", rule)
        assert (alone.threshold == left_out.threshold[here]).all()


def test_a_hospital_of_one_validation_patient_is_refused():
    val = replace(
        by_ratio([0.2, 0.8, 0.9, 0.4], [0, 1, 1, 0], [0, 0, 1, 1]), patient=np.array([0, 1, 0, 0])
    )
    with pytest.raises(RunError, match="one validation patient"):
        judge_without_oneself(val, (0,), "own")


def test_an_epsilon_of_each_hospital_gains_where_their_films_look_different():
    ratio = [low + 0.2 * (n % 2) for low in (0.1, 0.7) for n in range(8)]
    val = by_ratio(ratio, [n % 2 for n in range(16)], [0] * 8 + [1] * 8)
    common, own = (
        merit([judge_without_oneself(val, (0,), rule)]).confusion for rule in ("coarse", "own")
    )
    assert own.harmonic_mean == 1.0
    assert common.harmonic_mean < 0.8
    assert common.films == own.films == 16
