"""A run under a guarantee: what is drawn once, what repeats, and what is refused."""

import json
from fractions import Fraction

import numpy as np
import pytest
from film_kit import small_cohort
from run_kit import TINY, BrokenOffError, break_off_after, contents, settings

from gdshare.cli.measured_score import measured_score
from gdshare.cohort import Cohort
from gdshare.distill.head import body_of
from gdshare.distill.loop import distill
from gdshare.distill.run_folder import read_record
from gdshare.errors import RunError, UsageError
from gdshare.exact_noise import rounded_gaussian
from gdshare.method import Settings
from gdshare.networks import build
from gdshare.private.account import Budget, Spending
from gdshare.private.patients import patient_means
from gdshare.private.record import read_own_privacy, read_privacy
from gdshare.private.reference import Drawing, draw_reference
from gdshare.private.run import Mechanism, distill_privately
from gdshare.private.statistic import Shape
from gdshare.theta0 import announced_theta0

SETTINGS = Settings(outer_steps=6, score_every=2, checkpoint_every=2, seed=5)
BUDGET = Budget(8.0, 1e-3)
SHAPE = Shape(dimension=4, windows=8, fewest=2)


def accounted(budget, shares):
    """In place of dp-accounting, which needs seconds: multipliers of about ε 8."""
    return Spending((1.3, 0.7), 7.9, "a test")


def mechanism(noise=rounded_gaussian):
    return Mechanism(SHAPE, Drawing(films=2, windows=12), noise, accounted)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return small_cohort(tmp_path_factory.mktemp("private"), protocol=TINY)


@pytest.fixture(scope="module")
def whole(cohort, tmp_path_factory):
    """A finished run; not to be modified."""
    out = tmp_path_factory.mktemp("whole") / "run"
    distill_privately(cohort, out, SETTINGS, BUDGET, mechanism=mechanism())
    return out


def started_from(source, out):
    """A folder that a kill left after the statistic and ``run.json``, before the first step."""
    out.mkdir()
    for name in ("privacy.json", "run.json"):
        (out / name).write_bytes((source / name).read_bytes())
    return out


def test_the_same_statistic_and_seed_give_the_same_images_bit_for_bit(cohort, whole, tmp_path):
    again = started_from(whole, tmp_path / "again")
    distill_privately(cohort, again, SETTINGS, None, resume=True, mechanism=mechanism())
    assert contents(again) == contents(whole)


def test_a_resumed_run_has_the_statistic_of_before(cohort, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(BrokenOffError):
        distill_privately(
            cohort, out, SETTINGS, BUDGET, progress=break_off_after(3), mechanism=mechanism()
        )
    before = (out / "privacy.json").read_bytes()

    def no_second_draw(variance: Fraction) -> int:
        raise AssertionError("noise was drawn twice")

    distill_privately(
        cohort, out, SETTINGS, BUDGET, resume=True, mechanism=mechanism(no_second_draw)
    )
    assert (out / "privacy.json").read_bytes() == before
    unbroken = started_from(out, tmp_path / "unbroken")
    distill_privately(cohort, unbroken, SETTINGS, None, resume=True, mechanism=mechanism())
    assert contents(unbroken) == contents(out)


def test_the_statistic_is_on_the_disk_before_the_first_step(cohort, tmp_path, monkeypatch):
    out, seen = tmp_path / "run", []

    def stop_here(*arguments):
        seen.append(read_privacy(out))
        raise BrokenOffError

    monkeypatch.setattr("gdshare.private.run.take_steps", stop_here)
    with pytest.raises(BrokenOffError):
        distill_privately(cohort, out, SETTINGS, BUDGET, mechanism=mechanism())
    assert seen[0].epsilon == 8.0


def test_a_kill_before_the_statistic_is_written_has_used_none(cohort, tmp_path, monkeypatch):
    out = tmp_path / "run"

    def power_cut(*arguments):
        raise BrokenOffError

    with monkeypatch.context() as patch:
        patch.setattr("gdshare.private.run.write_privacy", power_cut)
        with pytest.raises(BrokenOffError):
            distill_privately(cohort, out, SETTINGS, BUDGET, mechanism=mechanism())
    assert {entry.name for entry in out.iterdir()} <= {".lock"}
    distill_privately(cohort, out, SETTINGS, BUDGET, mechanism=mechanism())


def test_a_kill_between_statistic_and_run_json_leaves_a_folder_to_begin_in(cohort, tmp_path, whole):
    out = tmp_path / "run"
    out.mkdir()
    (out / "privacy.json").write_bytes((whole / "privacy.json").read_bytes())
    distill_privately(cohort, out, SETTINGS, BUDGET, mechanism=mechanism())
    assert read_privacy(out).statistic != read_privacy(whole).statistic


def test_a_run_whose_statistic_is_gone_does_not_draw_another(cohort, whole, tmp_path):
    out = started_from(whole, tmp_path / "run")
    (out / "privacy.json").unlink()
    with pytest.raises(RunError, match="spend the budget again"):
        distill_privately(cohort, out, SETTINGS, BUDGET, resume=True, mechanism=mechanism())


def test_a_run_names_its_statistic_and_does_not_go_on_with_another(cohort, whole, tmp_path):
    out = started_from(whole, tmp_path / "run")
    assert read_own_privacy(out, read_record(out)) == read_privacy(whole)
    values = json.loads((out / "privacy.json").read_text(encoding="utf-8"))
    (out / "privacy.json").write_text(json.dumps(values), encoding="utf-8")  # spelled otherwise
    with pytest.raises(RunError, match="was changed after the run began"):
        read_own_privacy(out, read_record(out))
    with pytest.raises(RunError, match="another run"):
        distill_privately(cohort, out, SETTINGS, None, resume=True, mechanism=mechanism())


def test_a_run_of_before_runs_named_their_statistic_is_gone_on_with(cohort, whole, tmp_path):
    out = started_from(whole, tmp_path / "run")
    values = json.loads((out / "run.json").read_text(encoding="utf-8"))
    del values["privacy_sha256"]
    (out / "run.json").write_text(json.dumps(values), encoding="utf-8")
    distill_privately(cohort, out, SETTINGS, None, resume=True, mechanism=mechanism())
    assert (out / "distilled.safetensors").exists()
    assert read_record(out).privacy_sha256 is None


def test_a_run_without_a_guarantee_has_the_record_it_always_had(cohort, tmp_path):
    distill(cohort, tmp_path / "run", SETTINGS)
    assert "privacy" not in (tmp_path / "run" / "run.json").read_text(encoding="utf-8")


def test_the_noise_does_not_follow_from_the_seed(cohort, whole, tmp_path):
    out = tmp_path / "run"
    distill_privately(cohort, out, SETTINGS, BUDGET, mechanism=mechanism())
    assert read_privacy(out).statistic != read_privacy(whole).statistic


def test_a_run_with_a_guarantee_is_not_gone_on_with_without_it(cohort, whole, tmp_path):
    out = started_from(whole, tmp_path / "run")
    for resume in (True, False):
        with pytest.raises(RunError, match="guarantee"):
            distill(cohort, out, SETTINGS, resume=resume)


def test_a_run_with_a_guarantee_is_not_scored_again_on_validation_patients(cohort, whole):
    assert measured_score(whole, None).windows <= 4 * 2 * 12, "drawn windows alone"
    with pytest.raises(UsageError, match="outside it"):
        measured_score(whole, cohort.path)


def test_a_run_is_not_resumed_under_another_guarantee(cohort, whole, tmp_path):
    out = started_from(whole, tmp_path / "run")
    with pytest.raises(UsageError, match="the run has ε 8"):
        distill_privately(
            cohort, out, SETTINGS, Budget(1.0, 1e-3), resume=True, mechanism=mechanism()
        )


def test_validation_patients_are_not_read(cohort, tmp_path, monkeypatch):
    read, patches = [], Cohort.patches

    def watched(self, split):
        read.append(split)
        return patches(self, split)

    monkeypatch.setattr(Cohort, "patches", watched)
    monkeypatch.setattr("gdshare.distill.problem.cohort_digest", lambda cohort: "0" * 64)
    distill_privately(cohort, tmp_path / "run", SETTINGS, BUDGET, mechanism=mechanism())
    assert set(read) == {"train"}


def test_the_counts_that_a_bundle_would_publish_are_noisy_ones(whole):
    counts = json.loads((whole / "run.json").read_text())["counts"]
    record = read_privacy(whole)
    expected = [max(0, round(answer / record.fine.grid)) for answer in record.fine.answer[-2:]]
    assert [counts["patients_negative"], counts["patients_positive"]] == expected
    assert counts["patches_n"] == expected[0] * SHAPE.windows


def test_a_delta_that_could_give_a_patient_away_is_refused_before_any_noise(cohort, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(UsageError, match="below 1 / training patients"):
        distill_privately(cohort, out, SETTINGS, Budget(8.0, 0.5), mechanism=mechanism())
    assert not (out / "privacy.json").exists()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"network": "convnet"}, "--network convnet"),
        ({"outer": "adam"}, "--outer adam"),
    ],
)
def test_settings_that_read_patients_at_every_step_are_refused(cohort, tmp_path, changed, named):
    with pytest.raises(UsageError, match=named):
        distill_privately(cohort, tmp_path / "run", Settings(**changed), BUDGET)


def test_a_sites_own_normalisation_is_refused(tmp_path):
    protocol = TINY.model_copy(update={"normalisation": "site"})
    own = small_cohort(tmp_path / "site", protocol=protocol)
    with pytest.raises(UsageError, match="statistics of this site's patients"):
        distill_privately(own, tmp_path / "run", SETTINGS, BUDGET)


def test_no_other_patient_changes_a_digit_of_a_patients_means(tmp_path):
    body = body_of("scattering", 8, announced_theta0(SETTINGS, build("scattering", 8)))
    projection = np.random.default_rng(0).normal(size=(4, 144))
    means = []
    for patients in (6, 12):
        cohort = small_cohort(tmp_path / str(patients), patients, TINY)
        names = {film.patient for film in cohort.films_of("train")}
        own = patient_means(cohort, body, projection, 8)
        assert len(own) == len(names)
        means.append({tuple(patient.organ): tuple(patient.irrelevant) for patient in own})
    few, many = means
    common = few.keys() & many.keys()
    assert common
    assert all(few[organ] == many[organ] for organ in common)


def test_the_reference_is_the_same_for_everybody():
    body = body_of("scattering", 8, announced_theta0(SETTINGS, build("scattering", 8)))
    first, second = (draw_reference(TINY, body, 4, drawing=Drawing(1, 12)) for _ in range(2))
    assert first.sha256 == second.sha256
    assert (first.scatter == second.scatter).all()
    assert np.allclose(first.projection @ first.lift, np.eye(4), atol=1e-6)
    assert np.abs(first.projection @ first.background).max() < 1e-6


def test_patches_too_small_for_all_coordinates_have_as_many_as_they_can():
    body = body_of("scattering", 8, announced_theta0(SETTINGS, build("scattering", 8)))
    assert Mechanism().fitting(body).shape.dimension == 9
    assert Mechanism(SHAPE).fitting(body).shape == SHAPE


def test_settings_of_the_kit_stay_without_a_guarantee(cohort, tmp_path):
    distill(cohort, tmp_path / "run", settings(outer_steps=1, score_every=1))
    assert not (tmp_path / "run" / "privacy.json").exists()
