"""``gdshare distill --train head``: what is printed, what is refused, and what later commands make
of the run.
"""

import json
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
import torch
from command_kit import gdshare
from film_kit import small_cohort
from run_kit import TINY

from gdshare.audit import ATTACKS
from gdshare.cli import distill as command
from gdshare.cli.measured_score import measured_score
from gdshare.contributions import read_source
from gdshare.distill.run_folder import read_record
from gdshare.model import load_model
from gdshare.networks import build
from gdshare.theta0 import announced_theta0

QUICK = ("--train", "head", "--outer-steps", 4, "--batch", 30, "--steps", 5, "--device", "cpu")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A cohort, a run over it, and what was printed and reported."""
    folder, reports = tmp_path_factory.mktemp("site"), []
    cohort = small_cohort(folder, 30, protocol=TINY)

    @contextmanager
    def progress(description, hidden=False):
        yield lambda *report: reports.append((description, *report))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "progress", progress)
        printed = gdshare("distill", cohort.path, "--out", folder / "run", *QUICK, check=True).out
    return folder, printed, reports


def test_features_are_reported_before_the_first_step(site):
    _, _, reports = site
    features = [report for report in reports if report[3] == "features of patches"]
    assert features == reports[: len(features)]
    assert features[-1][1] == features[-1][2] > 0
    assert [report[1:3] for report in reports[len(features) :]] == [(n, 4) for n in range(1, 5)]


def test_gap_between_training_and_validation_patches_is_printed(site):
    folder, printed, _ = site
    words = ("distill", folder / "cohort", "--out", folder / "run", "--resume", "--json")
    result = json.loads(gdshare(*words, check=True).out)
    gap = result["train_patch_score"] - result["patch_score"]
    assert f"on the training patches {result['train_patch_score']:.3f}, a gap of {gap:.3f}" in (
        printed
    )
    assert result["inits"] == 1


def test_head_alone_implies_the_announced_theta0(site):
    record = read_record(site[0] / "run")
    assert (record.settings.theta0, record.settings.theta0_number) == ("announced", 0)
    assert record.settings.precision == "float32"
    assert record.theta0_sha256 is not None


def test_whole_network_has_no_training_score(site, tmp_path):
    folder = site[0]
    quick = ("--network", "convnet", "--outer-steps", 1, "--score-inits", 1, "--device", "cpu")
    run = gdshare(
        "distill", folder / "cohort", "--out", tmp_path / "run", *quick, "--json", check=True
    )
    assert json.loads(run.out)["train_patch_score"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--workers", 2), "--workers 2 with --train head: a step that trains the head has one"),
        (("--draws", 3), "train head has a single θ0 to draw; leave out draws, and raise batch"),
        (("--draws", 2, "--workers", 2), "leave out draws, and raise batch"),
        (("--augment", "mirror"), "leave out augment"),
        (("--precision", "bfloat16"), "--precision bfloat16: a head is trained in float32 alone"),
        (("--theta0", "random"), "choose theta0 announced"),
        (("--theta0", "fixed"), "'fixed' is not one of 'random', 'announced'"),
    ],
)
def test_option_that_does_not_fit_the_head_is_refused(site, tmp_path, words, message):
    run = gdshare("distill", site[0] / "cohort", "--out", tmp_path / "run", *QUICK, *words)
    assert run.status == 2
    assert message in " ".join(run.err.replace("│", " ").split())
    assert not (tmp_path / "run").exists()


def test_former_word_in_a_file_of_settings_is_refused_with_the_new_one(site, tmp_path):
    (tmp_path / "knobs.toml").write_text('theta0 = "fixed"\n', encoding="utf-8")
    ends = ("--out", tmp_path / "run", "--config", tmp_path / "knobs.toml")
    run = gdshare("distill", site[0] / "cohort", *ends)
    assert run.status == 2
    assert "knobs.toml: theta0 fixed is now called announced; see gdshare distill" in run.err


def test_score_is_measured_again_for_a_release(site):
    folder = site[0]
    again, kept = (measured_score(folder / "run", own) for own in (folder / "cohort", None))
    assert again == kept.model_copy(update={"run_sha256": None})


def test_audit_attacks_the_run(site):
    folder = site[0]
    run = gdshare("audit", folder / "run", "--cohort", folder / "cohort", "--json", check=True)
    record = json.loads(run.out)
    results = [result["attack"]["name"] for result in record["results"]]
    untried = [own["name"] for own in record["untried"]]
    assert sorted(results + untried) == list(ATTACKS)
    assert all(name.startswith("reconstruction-") for name in untried)  # too few patients


def test_published_bundle_trains_the_head_that_its_run_does(site, tmp_path, monkeypatch):
    folder = site[0]
    monkeypatch.setenv("GDSHARE_PASSPHRASE", "correct horse")
    gdshare("keys", "new", "--name", "st-mary", "--out", tmp_path / "keys", check=True)
    ends = ("--outbox", tmp_path / "outbox", "--site", "st-mary", "--at-chance")
    key = ("--key", tmp_path / "keys" / "st-mary.key")
    gdshare("publish", folder / "run", *key, *ends, check=True)
    bundle = tmp_path / "outbox" / "st-mary-1"
    assert "train the last layer alone, from zeros" in (bundle / "README.md").read_text(
        encoding="utf-8"
    )
    assert read_source(bundle, datetime.now(UTC)).contribution.method.train == "head"
    for source, name in ((folder / "run", "a"), (bundle, "b")):
        gdshare("train", "--images", source, "--out", tmp_path / name, check=True)
    models = [load_model(tmp_path / name)[0] for name in "ab"]
    assert models[0].to_bytes() == models[1].to_bytes()
    [network] = models[0].ensemble
    theta0 = announced_theta0(read_record(folder / "run").settings, build("scattering", TINY.side))
    assert sum(not torch.equal(network[name], theta0[name]) for name in network) == 2
    others = ("--from", bundle, "--use", "start", "--per-class", 4)
    gdshare("train", folder / "cohort", *others, "--out", tmp_path / "c", check=True)
    assert load_model(tmp_path / "c")[0].network == "scattering"
