"""Every attack with its control, on a small cohort whose patients have textures of their own."""

import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from film_kit import small_cohort
from run_kit import TINY, BrokenOffError
from texture_kit import textured_cohort

from gdshare.audit import ATTACKS, AUDIT, read_audit, shadows, traces
from gdshare.audit.attack import seed_of
from gdshare.audit.audit_run import EFFORTS, Effort, attack_all, audit_run, patients_digest
from gdshare.audit.canaries import draw_planting
from gdshare.audit.controls import FEW, few_members, overfitted
from gdshare.audit.gathering import gather
from gdshare.audit.identifiers import NAME as IDENTIFIERS
from gdshare.audit.likelihood import each_left_out
from gdshare.audit.lineup import NAME as LINEUP
from gdshare.audit.membership_lira import BUNDLE, LIRA, SHADOWS
from gdshare.audit.nearest_attacks import Films, ratio_result
from gdshare.audit.patients import patients_of
from gdshare.audit.rates import separation
from gdshare.audit.recipes import statistic_recipe
from gdshare.audit.reconstruction import NAMES as CANARIES
from gdshare.audit.reconstruction import TRAJECTORY
from gdshare.audit.record import SIGNATURE, signer_of_audit
from gdshare.audit.shadows import FOLDER, open_workshop
from gdshare.audit.side_by_side import side_by_side
from gdshare.audit.traces import reader_of
from gdshare.cli.audit import would_leave
from gdshare.cohort import Cohort
from gdshare.distill.loop import distill
from gdshare.distill.run_folder import PRIVACY, read_record, read_result
from gdshare.distill.score_record import tensors_digest
from gdshare.distilled import Distilled
from gdshare.errors import RunError
from gdshare.exact_noise import rounded_gaussian
from gdshare.lock import lock
from gdshare.method import Settings
from gdshare.private.account import Budget, Spending
from gdshare.private.patients import patient_means
from gdshare.private.record import read_privacy
from gdshare.private.reference import Drawing
from gdshare.private.run import Mechanism, distill_privately
from gdshare.private.statistic import Shape
from gdshare.signing.keys import fingerprint, new_key

SETTINGS = Settings(outer_steps=50, batch=240, seed=3, feature_patches=120, score_patches=40)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with an audited run."""
    folder = tmp_path_factory.mktemp("site")
    cohort = textured_cohort(folder)
    distill(cohort, folder / "run", SETTINGS)
    audit_run(folder / "run", cohort, leaving=would_leave(folder / "run", ()))
    return folder, cohort


@pytest.fixture(scope="module")
def record(site):
    folder, _ = site
    return read_audit(folder / "run", read_result(folder / "run"))


def results(record):
    return {result.attack.name: result for result in record.results}


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != TRAJECTORY])
def test_control_of_every_attack_fires(record, name):
    result = results(record)[name]
    assert result.control.fired, result.control
    assert result.attack in record.attacks


def test_inversion_that_sees_nothing_through_a_distillation_counts_for_nothing(record):
    result = results(record)[TRAJECTORY]
    assert not result.control.fired
    assert result.readback.method.auc > 0.5
    assert TRAJECTORY not in {attack.name for attack in record.attacks}


def test_likelihood_ratio_finds_members_where_patients_have_textures(record):
    found = results(record)
    for name in ("membership-bundle/1", "membership-lira/1", "membership-shadows/1"):
        assert found[name].patients.above_chance
    assert record.one_run.epsilon > 0.0


@pytest.fixture(scope="module")
def evidence(site):
    """The audit's, from the shadows that it left."""
    folder, _ = site
    record, distilled = read_record(folder / "run"), read_result(folder / "run")
    workshop = workshop_of(site, folder / "run")
    sets = [overfitted(workshop, number, lambda: None) for number in range(4)]
    return gather(workshop, record, distilled, tuple(sets), 16, None, lambda: None)


def noise_like(distilled, seed):
    images = np.random.default_rng(seed).normal(size=distilled.images.shape)
    return replace(distilled, images=images.astype(np.float32))


@pytest.mark.parametrize("name", [LIRA, BUNDLE])
def test_images_that_have_nothing_to_do_with_the_patients_are_at_chance(site, evidence, name):
    """Whatever makes patients stand out under noise, chance decided who is a training patient."""
    folder, _ = site
    people = evidence.candidates
    workshop, run = workshop_of(site, folder / "run"), read_result(folder / "run")
    read = reader_of(people, workshop.problem, read_record(folder / "run"), run, 0, None)
    covered = []
    for seed in range(40):
        scores = evidence.ratios(name, read(noise_like(run, seed % 4)))
        draw, member = np.random.default_rng(seed), people.member.copy()
        for diagnosis in (False, True):
            same = np.flatnonzero(people.positive == diagnosis)
            member[same] = draw.permutation(member[same])
        found = separation(evidence.guesses(scores, member, np.arange(len(people))), draw)
        covered.append(found.low <= 0.5 <= found.high)
    assert np.mean(covered) >= 0.85


def test_coins_of_other_shadows_give_chance(evidence):
    """Attacks on shadows, each judged by another's coins."""
    scores = each_left_out(evidence.shadows_of(SHADOWS))
    others = np.roll(evidence.included, 1, axis=0)
    patients = np.tile(np.arange(len(evidence.candidates)), len(scores))
    guesses = evidence.guesses(scores.ravel(), others.ravel(), patients)
    found = separation(guesses, np.random.default_rng(0))
    assert found.low <= 0.5 <= found.high


def test_noise_is_no_nearer_to_training_patients(site):
    folder, cohort = site
    noise, seed = noise_like(read_result(folder / "run"), 1), 7
    films = Films(cohort, patients_of(cohort, "train"), patients_of(cohort, "test"), seed)
    result = ratio_result(films, noise, lambda place: None)
    assert result.attack.low <= result.attack.unrelated
    assert result.nearness["images"].ranks.p > 0.01
    assert result.nearness["control"].ranks.p < 0.001
    assert result.control.fired


def test_record_says_what_was_attacked_and_how(site, record):
    folder, cohort = site
    assert record.mode == "quick"
    assert record.shadows == EFFORTS["quick"].shadows
    assert record.calibration == "online"
    assert record.random_split
    assert record.tensors_sha256 == tensors_digest(read_result(folder / "run"))
    assert record.cohort_sha256 == read_record(folder / "run").cohort_sha256
    assert record.patients_sha256 == patients_digest(cohort)
    assert (record.members, record.others) == (24, 16)
    found = results(record)["membership-bundle/1"]
    assert (found.patients.members, found.patients.others) == (24, 16)
    assert found.patches.members > found.patients.members
    assert set(found.parts) == {"confidence", "trajectory", "alignment", "nearness"}
    rates = found.patients.true_positives
    assert [rate.text for rate in rates] == ["not resolvable"] * 2  # 16 patients are too few
    near = results(record)["nearest-ratio/1"].nearness["images"]
    assert near.patients == 8


def test_interrupted_audit_goes_on_where_it_was_to_the_same_bytes(site, tmp_path, monkeypatch):
    folder, cohort = site
    run = tmp_path / "run"
    distill(cohort, run, SETTINGS)  # the same settings: the same images
    monkeypatch.setattr(shadows, "CHECKPOINT_EVERY", 1)

    def stop(done, total):
        if list((run / FOLDER).glob("shadow-003/checkpoint.safetensors")):
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        audit_run(run, cohort, progress=stop)
    assert not (run / AUDIT).exists()
    made = sorted(path.name for path in (run / FOLDER).glob("shadow-*.safetensors"))
    assert made == [f"shadow-{number:03}.safetensors" for number in range(3)]
    times = {name: (run / FOLDER / name).stat().st_mtime_ns for name in made}
    key = new_key()
    audit_run(run, cohort, key=key, leaving=would_leave(run, ()))
    assert (run / AUDIT).read_bytes() == (folder / "run" / AUDIT).read_bytes()
    assert times == {name: (run / FOLDER / name).stat().st_mtime_ns for name in made}
    assert not [path for path in (run / FOLDER).iterdir() if path.is_dir()]
    assert (run / FOLDER).stat().st_mode & 0o777 == 0o700
    assert signer_of_audit(run, read_result(run)) == fingerprint(key.public_key())
    assert not (folder / "run" / SIGNATURE).exists()


def workshop_of(site, folder, images=None, name="run"):
    base, cohort = site
    record, distilled = read_record(base / name), images or read_result(base / name)
    seed = seed_of(distilled)
    return open_workshop(
        record, distilled, cohort, seed, folder, "cpu", None, lambda done, total: None
    )


def test_coins_are_tossed_for_each_patient_and_shadow_alone(site):
    workshop = workshop_of(site, None)
    coins = np.stack([workshop.coins(number) for number in range(300)])
    assert abs(coins.mean() - 0.5) < 0.02
    assert len({row.tobytes() for row in coins}) == 300
    sizes = coins.sum(axis=1)
    assert sizes.std() > 2  # the square root of 40 / 4 is 3.2: no number of patients is fixed
    assert np.abs(np.corrcoef(coins.T) - np.eye(40)).max() < 0.35


def test_shadows_learn_from_the_chosen_patients_alone(site):
    workshop = workshop_of(site, None)
    included = workshop.coins(0)
    problem = workshop.recipe.of(included, 1)
    assert set(problem.train.films) <= set(np.flatnonzero(included))
    expected = included[workshop.candidates.training.films].sum()
    assert len(problem.train) == len(problem.features.train) == expected


def test_shadows_do_not_depend_on_how_many_are_made_at_a_time(site, monkeypatch):
    workshop = workshop_of(site, None)
    makes = [partial(workshop.shadow, number) for number in range(3)]
    alone, together = (side_by_side(makes, places, lambda: None) for places in (1, 3))
    assert [own.to_bytes() for own in alone] == [own.to_bytes() for own in together]
    assert workshop.places == 1  # as many as torch has threads
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert workshop.places == 4


def test_second_audit_of_a_run_at_the_same_time_is_refused(site):
    folder, cohort = site
    message = "another audit of this run is under way"
    with lock(folder / "run" / FOLDER / ".lock"), pytest.raises(RunError, match=message):
        audit_run(folder / "run", cohort)


def test_shadow_of_another_run_is_made_again(site, tmp_path):
    (tmp_path / FOLDER).mkdir()
    steps = []
    here = workshop_of(site, tmp_path)
    here.shadow(0, lambda: steps.append(1))
    before = (tmp_path / FOLDER / "shadow-000.safetensors").read_bytes()
    own = read_result(site[0] / "run")
    other = workshop_of(site, tmp_path, Distilled(own.images + 1, own.labels, own.learning_rates))
    other.shadow(0, lambda: steps.append(1))
    assert (tmp_path / FOLDER / "shadow-000.safetensors").read_bytes() != before
    (tmp_path / FOLDER / "shadow-000.safetensors").write_bytes(b"damaged")
    here.shadow(0, lambda: steps.append(1))
    assert (tmp_path / FOLDER / "shadow-000.safetensors").read_bytes() == before


def test_overfitted_sets_are_of_few_training_patients_of_both_diagnoses(site):
    people = workshop_of(site, None).candidates
    for number in range(6):
        few = few_members(people, 1, number)
        assert few.sum() == FEW
        assert people.member[few].all()
        assert 0 < people.positive[few].sum() < FEW


def test_candidates_are_training_patients_and_then_test_patients(site):
    _, cohort = site
    people = workshop_of(site, None).candidates
    assert people.member.tolist() == [True] * 24 + [False] * 16
    assert (np.bincount(people.owners, minlength=40) > 0).all()
    assert people.by_patient(people.positive[people.owners].astype(float)).tolist() == (
        people.positive.astype(float).tolist()
    )
    assert isinstance(cohort, Cohort)


def test_attack_that_cannot_find_its_control_is_not_reported_as_a_pass(tmp_path):
    """Films that are alike but for noise: nobody can be told from anybody, not even the few."""
    alike = small_cohort(tmp_path, 40)
    settings = Settings(outer_steps=6, batch=60, seed=3, feature_patches=60, score_patches=20)
    distill(alike, tmp_path / "run", settings)
    audit = audit_run(tmp_path / "run", alike)
    found = results(audit.record)
    blind = [name for name, result in found.items() if not result.control.fired]
    assert "nearest-features/1" in blind
    assert not set(blind) & {attack.name for attack in audit.attacks}
    assert found["nearest-patch/1"].control.fired


WHOLE = Settings(
    network="convnet", outer_steps=2, batch=12, epochs=1, steps=2, seed=3, score_inits=1,
    score_every=2, score_patches=20, feature_patches=60,
)  # fmt: skip


@pytest.fixture(scope="module")
def trained_whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    cohort = textured_cohort(folder, protocol=TINY)
    distill(cohort, folder / "run", WHOLE)
    return folder / "run", cohort


def test_network_that_is_trained_whole_has_no_shadows_in_quick_mode(trained_whole):
    record = audit_run(*trained_whole).record
    names = [IDENTIFIERS, BUNDLE, LIRA, SHADOWS, *CANARIES, LINEUP]
    assert [own.name for own in record.untried] == names
    assert all("--full" in own.why for own in record.untried[1:])
    assert (record.shadows, record.calibration, record.one_run) == (0, "none", None)


def test_split_by_a_table_is_told(trained_whole):
    run, cohort = trained_whole
    index = cohort.index.model_copy(update={"fractions": None, "seed": None})
    assert not audit_run(run, replace(cohort, index=index)).record.random_split


def test_network_that_is_trained_whole_has_shadows_in_full_mode(trained_whole, monkeypatch):
    monkeypatch.setitem(EFFORTS, "full", Effort(4, 8, (1, 2)))
    record = audit_run(*trained_whole, mode="full").record
    assert set(results(record)) == set(ATTACKS) - {IDENTIFIERS}
    assert record.shadows == 4


def test_audit_of_networks_that_goes_on_reads_no_set_twice(trained_whole, tmp_path, monkeypatch):
    run, cohort = tmp_path / "run", trained_whole[1]
    distill(cohort, run, WHOLE)
    monkeypatch.setitem(EFFORTS, "full", Effort(4, 2, (1, 2)))
    original, read = traces._OfNetworks.__call__, []

    def counted(self, distilled):
        read.append(distilled)
        return original(self, distilled)

    monkeypatch.setattr(traces._OfNetworks, "__call__", counted)

    def stop(done, total):
        if len(list((run / FOLDER).glob("trace-*"))) == 3:
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        audit_run(run, cohort, progress=stop, mode="full")
    audit_run(run, cohort, mode="full")
    assert len(read) == 2 * (4 + 2 + 1)  # shadows, overfitted sets, the run; films and line-ups
    first = (run / AUDIT).read_bytes()
    kept = sorted((run / FOLDER).glob("trace-*"))
    kept[0].write_bytes(b"damaged")
    kept[1].unlink()
    audit_run(run, cohort, mode="full")
    assert len(read) == 2 * (4 + 2 + 1) + 2
    assert (run / AUDIT).read_bytes() == first
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in kept)


SHAPE = Shape(dimension=4, windows=8, fewest=2)
DRAWN = Drawing(films=2, windows=12)


@pytest.fixture(scope="module")
def guaranteed(site):
    """A run with a guarantee, and what its audit's shadows are made by."""
    folder, cohort = site
    run = folder / "guaranteed"
    mechanism = Mechanism(
        SHAPE, DRAWN, rounded_gaussian, lambda budget, shares: Spending((1.3, 0.7), 7.9, "a test")
    )
    distill_privately(cohort, run, PRIVATE, Budget(8.0, 1e-3), mechanism=mechanism)
    return run, cohort


PRIVATE = Settings(outer_steps=6, score_every=2, checkpoint_every=2, seed=5)


def test_shadows_of_a_run_with_a_guarantee_are_made_under_it(guaranteed):
    run, cohort = guaranteed
    record, distilled, guarantee = read_record(run), read_result(run), read_privacy(run)
    audited = attack_all(
        record, distilled, cohort, guarantee=guarantee, drawing=DRAWN, effort=Effort(6, 2, (2, 2))
    )
    found = results(audited.record)
    assert {LIRA, BUNDLE, SHADOWS, LINEUP, *CANARIES} <= set(found)
    assert audited.record.one_run.epsilon <= guarantee.epsilon
    assert found[CANARIES[0]].readback.sets == 2


def private_recipe(guaranteed, multiplier):
    """Of shadows whose noise has another strength."""
    run, cohort = guaranteed
    guarantee, workshop = read_privacy(run), workshop_of((run.parent, cohort), None, name=run.name)
    changed = {"multiplier": multiplier}
    coarse, fine = (part.model_copy(update=changed) for part in (guarantee.coarse, guarantee.fine))
    other = guarantee.model_copy(update={"coarse": coarse, "fine": fine})
    problem, people = workshop.problem, workshop.candidates
    return statistic_recipe(problem, other, cohort, people, DRAWN, lambda *counts: None)


def test_each_shadow_of_a_run_with_a_guarantee_has_noise_of_its_own(guaranteed):
    noisy, exact = (private_recipe(guaranteed, multiplier) for multiplier in (0.7, 0.0))
    everybody = np.ones(40, bool)

    def features(recipe, included, seed):
        return recipe.of(included, seed).features.train

    assert torch.equal(features(noisy, everybody, 1), features(noisy, everybody, 1))
    assert not torch.equal(features(noisy, everybody, 1), features(noisy, everybody, 2))
    assert torch.equal(features(exact, everybody, 1), features(exact, everybody, 2))
    half = np.arange(40) % 2 == 0
    assert not torch.equal(features(exact, everybody, 1), features(exact, half, 1))


def test_shadows_of_a_run_with_a_guarantee_read_patients_as_it_did(guaranteed):
    """With the run's own patients and no noise, both say the same of them."""
    run, cohort = guaranteed
    recipe, guarantee = private_recipe(guaranteed, 0.0), read_privacy(run)
    body, member = recipe.problem.features.body, np.arange(40) < 24
    own = patient_means(cohort, body, recipe.reference.projection, guarantee.fixed.windows)
    theirs = [part for part, inside in zip(recipe.patients, member, strict=True) if inside]
    assert {tuple(part.organ) for part in theirs} == {tuple(part.organ) for part in own}
    assert len(theirs) == len(own) == 24


def test_canaries_under_a_guarantee_change_what_is_read_of_those_who_carry_them(guaranteed):
    run, cohort = guaranteed
    recipe = private_recipe(guaranteed, 0.0)
    people = workshop_of((run.parent, cohort), None, name=run.name).candidates
    planting = draw_planting(people, 1, 0)
    planted = recipe.changed(planting.plant)
    carriers = set(planting.by_patient)
    assert carriers
    for number, (before, after) in enumerate(zip(recipe.patients, planted.patients, strict=True)):
        assert (tuple(before.organ) != tuple(after.organ)) == (number in carriers)
        assert before.positive == after.positive


def test_shadows_of_other_public_coordinates_are_refused(guaranteed):
    run, cohort = guaranteed
    guarantee = read_privacy(run).model_copy(update={"reference_sha256": "0" * 64})
    with pytest.raises(RunError, match="other coordinates"):
        attack_all(
            *(read_record(run), read_result(run), cohort),
            guarantee=guarantee,
            drawing=DRAWN,
            effort=Effort(2, 1),
        )


def test_guarantee_that_cannot_be_read_stops_the_audit(site, tmp_path):
    folder, cohort = site
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    (run / PRIVACY).write_text("{}", encoding="utf-8")
    with pytest.raises(RunError, match="gone or damaged"):
        audit_run(run, cohort)


def test_run_whose_guarantee_is_lost_is_not_audited_as_one_without(guaranteed, tmp_path):
    run, cohort = guaranteed
    lost = tmp_path / "lost"
    shutil.copytree(run, lost)
    (lost / PRIVACY).unlink()
    with pytest.raises(RunError, match="gone or damaged"):
        audit_run(lost, cohort)


def test_shadows_without_a_guarantee_are_not_taken_for_those_with_it(guaranteed):
    run, cohort = guaranteed
    plain = workshop_of((run.parent, cohort), None, name=run.name)
    record, distilled = read_record(run), read_result(run)
    guarded = open_workshop(
        *(record, distilled, cohort, seed_of(distilled), None, "cpu", None, lambda *counts: None),
        *(read_privacy(run), DRAWN),
    )
    assert plain.about != guarded.about
