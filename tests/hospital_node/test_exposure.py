"""The sum of what was given away: bundles, withdrawals, answers, and ε where there was noise."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from bundle_run_kit import PASSPHRASE, keep_score, make_run
from command_kit import Ended, gdshare
from private_run_kit import give_guarantee
from site_kit import NOW

from gdshare.bundle.attestation import Receipt
from gdshare.distill.run_folder import read_result
from gdshare.ledger import open_ledger, read_ledger
from gdshare.messages import Counts
from gdshare.metrics import Confusion
from gdshare.release.guarantee import Spent
from gdshare.release.publish import ledger_beside
from gdshare.signing import new_key, public_pem
from hospital_node.count_record import Answer, Limits, Question, read_counts, record_counts
from hospital_node.exposure import BundleGiven, Exposure, exposure_of
from hospital_node.exposure_command import sums
from hospital_node.noise import epsilon_of, epsilon_text

LIMITS = Limits(validation=60, test=20, untied=5)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hospital that has released two bundles and withdrawn the first."""
    monkeypatch.setenv("GDSHARE_PASSPHRASE", PASSPHRASE)
    make_run(tmp_path / "run")
    gdshare("keys", "new", "--name", "st-mary", "--out", tmp_path / "keys", check=True)
    for _ in range(2):
        sign = ("--key", tmp_path / "keys" / "st-mary.key", "--outbox", tmp_path / "outbox")
        gdshare("publish", tmp_path / "run", *sign, "--site", "st-mary", check=True)
    first = read_ledger(ledger_beside(tmp_path / "outbox"))[0].digest
    gdshare("withdraw", "st-mary-1", *sign, "--digest", first, check=True)
    return tmp_path


def record(
    state: Path,
    model: str,
    epsilon: float | None = None,
    variance: float | None = None,
    cohort: str = "c" * 64,
    tied: bool = True,
) -> None:
    counts = Counts([Confusion(5, 5, 5, 5)] * (1 if epsilon else 21))
    question = Question(model, cohort, epsilon, tied)
    record_counts(state, Answer.to(question, counts, variance, NOW), LIMITS)


def shown(place: Path, *more: object) -> Ended:
    return gdshare("exposure", "--outbox", place / "outbox", *more, check=True)


def test_bundles_are_listed_with_withdrawals_and_what_is_not_known(place: Path) -> None:
    given = json.loads(shown(place, "--json").out)
    first, second = given["bundles"]
    assert (first["name"], second["name"]) == ("st-mary-1", "st-mary-2")
    assert first["withdrawn"] is not None
    assert first["images"] is None, "the bundle is gone"
    assert (second["withdrawn"], second["images"], second["attacks"]) == (None, 3, [])
    assert given["answers"] is None
    text = shown(place).out
    assert "Of 2 bundles 1 were withdrawn" in text
    assert "For 2 bundles no result of an attack is known here." in text
    assert "No node's record of counts was read (--state)." in text
    assert "what left from another outbox is in no sum" in text


def test_answers_are_added_up_over_models_cohorts_and_nodes(place: Path) -> None:
    first, second = place / "state", place / "another"
    record(first, "a")
    record(first, "a", epsilon=0.4)
    record(first, "b", tied=False)
    record(second, "d", cohort="e" * 64)
    given = json.loads(shown(place, "--state", first, "--state", second, "--json").out)
    validation, test, other = given["answers"]
    assert (validation["split"], validation["models"], validation["untied"]) == ("validation", 2, 1)
    assert (validation["numbers"], validation["exact"]) == (2 * 2 * 23, 2)
    assert (test["split"], test["models"], test["numbers"]) == ("test", 1, 6)
    assert other["cohort"] == "e" * 64
    assert given["epsilon"] == {}
    assert validation["first"] == "2026-03-31T12:00:00Z"
    text = shown(place, "--state", first, "--state", second).out
    assert "4 answers left without noise: they have no account" in text


def test_noise_has_an_account_over_all_cohorts_together(place: Path) -> None:
    """The same films may be in both, so their accounts add up."""
    state = place / "state"
    record(state, "a", variance=500.0)
    record(state, "b", variance=250.0, cohort="e" * 64)
    record(state, "a", epsilon=0.4, variance=1000.0)
    given = json.loads(shown(place, "--state", state, "--json").out)
    assert given["epsilon"]["validation"] == pytest.approx(epsilon_of([500.0, 250.0]))
    assert given["epsilon"]["test"] == pytest.approx(epsilon_of([1000.0]))
    alone = [answers["epsilon"] for answers in given["answers"] if answers["split"] != "test"]
    assert max(alone) < given["epsilon"]["validation"] < sum(alone)
    text = shown(place, "--state", state).out
    assert f"ε = {epsilon_text(epsilon_of([500.0, 250.0]))} at δ = 1e-06 together" in text
    assert "without noise" not in text


def test_receipts_say_who_has_it_and_attacks_what_they_found(place: Path) -> None:
    aggregator = new_key()
    entries = read_ledger(ledger_beside(place / "outbox"))
    [release] = [e for e in entries if (e.act, e.what) == ("release", "st-mary-2")]
    receipt = Receipt(
        site="st-mary",
        sequence=2,
        at=datetime(2026, 4, 1, tzinfo=UTC),
        aggregator="tokyo",
        verdict="admitted",
        reason="",
        line=7,
        sha256="0" * 64,
    )
    (place / "r").write_bytes(receipt.signed(str(release.digest), aggregator))
    (place / "tokyo.pub").write_bytes(public_pem(aggregator.public_key()))
    words = ("--key", place / "tokyo.pub", "--outbox", place / "outbox")
    gdshare("ledger", "receive", place / "r", *words, check=True)
    second = json.loads(shown(place, "--json").out)["bundles"][1]
    assert second["receivers"] == ["tokyo"]


def test_record_of_an_earlier_node_has_no_hours_and_is_read(tmp_path: Path) -> None:
    entry = Answer(model="a", cohort="c", epsilon=0.4, counts=(Confusion(1, 1, 1, 1),))
    values = entry.model_dump(mode="json", exclude={"at"})
    text = json.dumps({"format": "gdshare-test-counts/2", "entries": [values]})
    (tmp_path / "test-counts.json").write_text(text, encoding="utf-8")
    [answers] = exposure_of(tmp_path / "outbox", [], read_counts(tmp_path).entries).answers or ()
    assert (answers.first, answers.last, answers.exact) == (None, None, 1)


def test_folder_that_is_named_twice_counts_once(place: Path) -> None:
    state = place / "state"
    record(state, "a", variance=500.0)
    (place / "link").symlink_to(state)
    words = ("--state", state, "--state", place / "link", "--json")
    given = json.loads(shown(place, *words).out)
    assert given["answers"][0]["noisy"] == 1
    assert given["epsilon"]["validation"] == pytest.approx(epsilon_of([500.0]))


def test_first_hour_is_not_known_where_an_earlier_answer_has_none(tmp_path: Path) -> None:
    early = Answer(model="a", cohort="c", epsilon=0.4, counts=(Confusion(1, 1, 1, 1),))
    late = early.model_copy(update={"model": "b", "at": NOW})
    [answers] = exposure_of(tmp_path / "outbox", [], [early, late]).answers or ()
    assert (answers.first, answers.last) == (None, NOW)


def test_bundle_that_never_reached_the_outbox_was_not_given_away(place: Path) -> None:
    with open_ledger(ledger_beside(place / "outbox")) as ledger:
        for act in ("release", "abandon"):
            ledger.write(NOW, act, "st-mary", "st-mary-3", "3" * 64, "the disk is full")
    names = [bundle["name"] for bundle in json.loads(shown(place, "--json").out)["bundles"]]
    assert names == ["st-mary-1", "st-mary-2"]


def test_nothing_is_said_of_withdrawn_bundles_where_there_are_none(tmp_path: Path) -> None:
    text = " ".join(sums(exposure_of(tmp_path / "outbox", [], None)))
    assert "withdrawn" not in text
    assert "Attacks were made" not in text, "none was"


def test_mistyped_or_damaged_folders_are_refused(place: Path) -> None:
    ended = gdshare("exposure", "--outbox", place / "outbox", "--state", place / "nowhere")
    assert (ended.status, "holds no test-counts.json" in ended.err) == (2, True)
    (place / "state").mkdir()
    (place / "state" / "test-counts.json").write_text("{", encoding="utf-8")
    ended = gdshare("exposure", "--outbox", place / "outbox", "--state", place / "state")
    assert (ended.status, "damaged; look into it by hand" in ended.err) == (3, True)
    assert gdshare("exposure", "--outbox", place / "elsewhere").status == 2


def publish(place: Path, run: str) -> None:
    sign = ("--key", place / "keys" / "st-mary.key", "--outbox", place / "outbox")
    gdshare("publish", place / run, *sign, "--site", "st-mary", check=True)


def under_a_guarantee(place: Path, run: str, spent: float, seed: int) -> None:
    """A run with images of its own."""
    made = make_run(place / run)
    distilled = read_result(made)
    moved = replace(distilled, images=distilled.images + np.float32(seed))
    (made / "distilled.safetensors").write_bytes(moved.to_bytes())
    keep_score(made, moved)
    give_guarantee(made, spent)


def test_guarantees_of_several_bundles_are_summed_and_the_same_images_count_once(
    place: Path,
) -> None:
    under_a_guarantee(place, "strong", 1.0, 1)
    under_a_guarantee(place, "weak", 3.0001, 2)
    for run in ("strong", "weak", "weak"):
        publish(place, run)
    given = json.loads(shown(place, "--json").out)
    spent = [bundle["spent"] and bundle["spent"]["epsilon"] for bundle in given["bundles"]]
    assert spent == [None, None, 1.0, 3.001, 3.001]
    assert given["spent"]["bundles"] == 3
    assert given["spent"]["looks"] == 2
    assert given["spent"]["epsilon"] == pytest.approx(4.001)
    assert given["spent"]["delta"] == pytest.approx(2e-5)
    text = " ".join(given["sums"])
    assert "at most ε = 4.001 at δ = 2e-05 together: the sum (basic composition)" in text
    assert "an upper bound" in text
    assert "1 of them have the images of another, and spend nothing more" in text
    assert "2 bundles have no guarantee" in text
    assert "ε 3.001, δ 1e-05" in shown(place).out


def test_guarantee_of_a_withdrawn_bundle_is_still_spent(place: Path) -> None:
    under_a_guarantee(place, "strong", 1.0, 1)
    publish(place, "strong")
    last = read_ledger(ledger_beside(place / "outbox"))[-1].digest
    sign = ("--key", place / "keys" / "st-mary.key", "--outbox", place / "outbox")
    gdshare("withdraw", "st-mary-3", *sign, "--digest", last, check=True)
    given = json.loads(shown(place, "--json").out)
    assert given["bundles"][2]["images"] is None, "the bundle is gone"
    assert given["spent"]["epsilon"] == 1.0


def test_nothing_is_summed_where_no_bundle_has_a_guarantee(place: Path) -> None:
    given = json.loads(shown(place, "--json").out)
    assert given["spent"] is None
    assert "guarantee" not in " ".join(given["sums"])


def test_less_than_was_spent_is_never_said(place: Path) -> None:
    spent = epsilon_of([1050.0])  # 0.2304: its nearest two decimals are below it
    assert float(f"{spent:.2f}") < spent
    record(place / "state", "a", variance=1050.0)
    text = shown(place, "--state", place / "state").out
    assert "ε = 0.24 at δ = 1e-06 together" in text
    assert "0.23" not in text.replace(f"{spent}", "")


def test_sums_of_guarantees_keep_every_digit(tmp_path: Path) -> None:
    epsilons, deltas = (0.7, 0.1), (1e-5, 1e-12)
    assert sum(epsilons) < 0.8, "as floats add up"
    bundles = tuple(
        BundleGiven("b", "0" * 64, NOW, None, (), None, (), False, Spent(*own, images))
        for own, images in zip(zip(epsilons, deltas, strict=True), "ab", strict=True)
    )
    given = Exposure(bundles, None, {})
    assert given.spent is not None
    assert (given.spent.epsilon, given.spent.delta) == (0.8, 1.0000001e-05)
    assert "at most ε = 0.800 at δ = 1.0000001e-05 together" in " ".join(sums(given))


@pytest.mark.parametrize("variance", ["0.0", "-1.0", "NaN", "Infinity"])
def test_record_with_noise_that_is_none_is_damaged(place: Path, variance: str) -> None:
    state = place / "state"
    record(state, "a", variance=500.0)
    path = state / "test-counts.json"
    path.write_text(path.read_text("utf-8").replace("500.0", variance), "utf-8")
    ended = gdshare("exposure", "--outbox", place / "outbox", "--state", state)
    assert (ended.status, "damaged; look into it by hand" in ended.err) == (3, True)
