"""Distilling for a shared model that an aggregator announced as θ0."""

import pytest
import torch
from announcement_kit import distilled_for, of_model, sent, shared_theta0
from command_kit import gdshare
from film_kit import small_cohort
from run_kit import TINY, BrokenOffError, break_off_after, contents, settings
from site_kit import NOW

from gdshare.audit.audit_run import audit_run
from gdshare.contributions import read_source, train_from
from gdshare.distill.loop import distill, score_run
from gdshare.distill.problem import prepare
from gdshare.distill.run_folder import read_record, read_result, read_theta0
from gdshare.distill.score_record import read_score
from gdshare.errors import AnnouncementError, RunError, UsageError
from gdshare.signing import new_key

START = of_model(new_key(), side=TINY.side)
SHARED = shared_theta0(side=TINY.side)


def chosen(**changes):
    number = START.announcement.number
    return settings(theta0="announced", theta0_number=number, **changes)


@pytest.fixture(scope="module")
def run(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("shared") / "run"
    distill(cohort, out, chosen(), theta0=START.weights)
    return out


def test_every_step_starts_from_the_shared_model(cohort):
    problem = prepare(cohort, chosen(), "cpu", shared=SHARED)
    for step in (0, 3):
        assert torch.equal(problem.draw(step, 0).theta0["0.weight"], SHARED["0.weight"])
    assert problem.theta0_sha256 == START.theta0_sha256


def test_run_keeps_its_shared_model_and_says_which_it_is(run):
    assert read_theta0(run) == START.weights
    record = read_record(run)
    assert record.theta0_sha256 == START.theta0_sha256
    assert record.method.theta0_number == distilled_for(START)["method"].theta0_number


def test_interrupted_run_goes_on_from_its_own_copy(cohort, run, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(BrokenOffError):
        distill(cohort, out, chosen(), progress=break_off_after(4), theta0=START.weights)
    distill(cohort, out, chosen(), resume=True)
    assert contents(out) == contents(run)


def test_damaged_copy_ends_the_run_instead_of_changing_it(cohort, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(BrokenOffError):
        distill(cohort, out, chosen(), progress=break_off_after(4), theta0=START.weights)
    other = of_model(new_key(), seed=6, side=TINY.side)
    (out / "theta0.safetensors").write_bytes(other.weights)
    with pytest.raises(AnnouncementError, match="not the weights that were announced"):
        distill(cohort, out, chosen(), resume=True)
    (out / "theta0.safetensors").unlink()
    with pytest.raises(RunError, match="this is another run"):
        distill(cohort, out, chosen(), resume=True)


def test_folder_left_by_a_kill_before_the_record_can_be_used(cohort, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "theta0.safetensors").write_bytes(b"half")
    distill(cohort, out, chosen(outer_steps=1), theta0=START.weights)
    assert read_theta0(out) == START.weights


def test_weights_left_by_a_kill_are_no_part_of_a_run_without_a_shared_model(cohort, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "theta0.safetensors").write_bytes(START.weights)
    with pytest.raises(BrokenOffError):
        distill(cohort, out, settings(), progress=break_off_after(2))
    assert read_theta0(out) is None
    distill(cohort, out, settings(), resume=True)


def test_later_steps_of_the_hospital_train_from_the_same_weights(cohort, run):
    distilled = read_result(run)
    record = read_record(run)
    again = score_run(record, distilled, cohort, theta0=read_theta0(run))
    kept = read_score(run, distilled)
    assert again == kept.model_copy(update={"run_sha256": None})
    model = train_from([read_source(run, NOW)], "average", 0, 5)
    assert len(model.ensemble) == 1


def test_attacks_train_from_the_shared_model(tmp_path):
    many = small_cohort(tmp_path, 30, protocol=TINY)
    distill(many, tmp_path / "run", chosen(outer_steps=1), theta0=START.weights)
    assert audit_run(tmp_path / "run", many).record.results
    (tmp_path / "run" / "theta0.safetensors").unlink()
    with pytest.raises(UsageError, match="distilled for a shared model's weights") as refused:
        audit_run(tmp_path / "run", many)
    assert "copy theta0.safetensors of their announcement" in refused.value.remedy
    (tmp_path / "run" / "theta0.safetensors").write_bytes(START.weights)
    audit_run(tmp_path / "run", many)


def test_command_takes_network_and_theta0_from_the_announcement(cohort, tmp_path):
    folder = sent(tmp_path / "announced", START)
    words = ("distill", cohort.path, "--announcement", folder, "--device", "cpu")
    quick = ("--outer-steps", 2, "--batch", 9, "--score-patches", 5)
    gdshare(*words, *quick, "--out", tmp_path / "run", check=True)
    record = read_record(tmp_path / "run")
    assert record.settings.network == "convnet"
    assert record.theta0_sha256 == START.theta0_sha256
    gdshare("distill", cohort.path, "--out", tmp_path / "run", "--resume", check=True)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--network", "resnet18"), "--network resnet18: the announcement says convnet"),
        (("--theta0", "random"), "--theta0 random: the announcement says announced"),
        (("--theta0-number", 3), "--theta0-number 3: the announcement says"),
        (("--resume",), "the run has kept its θ0; leave it out"),
    ],
)
def test_what_contradicts_the_announcement_is_refused(cohort, run, tmp_path, more, message):
    folder = sent(tmp_path / "announced", START)
    out = run if "--resume" in more else tmp_path / "run"
    words = ("distill", cohort.path, "--out", out, "--announcement", folder)
    ended = gdshare(*words, *more)
    assert ended.status == 2
    assert message in ended.err
    assert not (tmp_path / "run").exists()


def test_announcement_for_patches_of_another_side_is_refused(cohort, tmp_path):
    folder = sent(tmp_path / "announced", of_model(new_key(), side=16))
    ended = gdshare("distill", cohort.path, "--out", tmp_path / "run", "--announcement", folder)
    assert ended.status == 2
    assert "its patches have 8 px, and the announced network takes 16" in ended.err
