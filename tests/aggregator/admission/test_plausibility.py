"""Sound, signed bundles whose content was poisoned: which are kept out, and how they get in."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from command_kit import gdshare
from grid_kit import MemoryGrid
from site_kit import NOW, PROTOCOL, make_bundle, make_cohort, manifest, write_files

import aggregator.admission.decide
from aggregator.flower.order import Order
from aggregator.results import RoundResult
from aggregator.round import hold_round
from aggregator.trust.bundle_history import newest_seen
from gdshare.bundle.counts import published_counts
from gdshare.distilled import Distilled
from gdshare.errors import CohortError, FederationError, UsageError
from gdshare.ledger import open_ledger, read_ledger
from gdshare.method import Counts
from gdshare.signing import new_key, public_pem
from studies.poison import attacks

Change = Callable[[Distilled], Distilled]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The operator's: 30 patients of each diagnosis."""
    return make_cohort(tmp_path_factory.mktemp("reference"), patients=60)


@pytest.fixture(scope="module")
def large_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hospital's with 26 validation films of each diagnosis."""
    return make_cohort(tmp_path_factory.mktemp("large"), patients=156)


def attack(name: str) -> Change:
    return partial(attacks.ATTACKS[name], seed=1)


def honest(number: int) -> Change:
    """No two hospitals' images are alike; rates at which four steps are enough to learn."""

    def change(made: Distilled) -> Distilled:
        grain = np.random.default_rng(number).normal(0, 0.05, made.images.shape)
        images, rates = made.images + grain, 5 * made.learning_rates
        return replace(
            made, images=images.astype(np.float32), learning_rates=rates.astype(np.float32)
        )

    return change


def flipped(made: Distilled) -> Distilled:
    return attack("labels flipped")(honest(3)(made))


class Rounds:
    """Hospitals that release what a test says, round after round."""

    def __init__(self, folder: Path, cohort: Path) -> None:
        self.folder, self.cohort = folder, cohort
        self.without_films: set[str] = set()
        self.keys = {site: new_key() for site in ("east", "north", "south", "west")}
        (folder / "trust").mkdir()
        for site, key in self.keys.items():
            (folder / "trust" / f"{site}.pub").write_bytes(public_pem(key.public_key()))

    @property
    def ledger(self) -> Path:
        return self.folder / "trust-ledger.jsonl"

    def release(self, site: str, change: Change, sequence: int = 1, **told: object) -> None:
        about = manifest(site, sequence=sequence, **told)
        files = make_bundle(site, self.keys[site], about, change)
        write_files(self.folder / site / "outbox" / about.name, files)

    def three(self, poison: Change = lambda made: made) -> "Rounds":
        """East and north are honest, and west but for what it is poisoned by."""
        self.release("east", honest(1))
        self.release("north", honest(2))
        self.release("west", lambda made: poison(honest(3)(made)))
        return self

    def hold(self, reference: Path | None = None) -> RoundResult:
        number = len(list(self.folder.glob("out-*")))
        self.out = self.folder / f"out-{number}"
        self.out.mkdir()
        sites = [site for site in self.keys if (self.folder / site).exists()]
        self.grid = MemoryGrid({n: self._settings(site) for n, site in enumerate(sites, 1)})
        order = Order(
            trust=self.folder / "trust",
            ledger=self.ledger,
            operator="an operator",
            sites=len(sites),
            wait=0.1,
            ensemble=1,
            reference=reference,
        )
        return hold_round(self.grid, order, self.out, NOW, lambda line: None)

    def refusals(self) -> list[Mapping[str, str]]:
        return [
            json.loads(one)
            for one in (self.out / "refusals.jsonl").read_text(encoding="utf-8").splitlines()
        ]

    def accept(self, digest: str, why: str = "called, other films") -> int:
        words = ("--why", why, "--by", "a person", "--trust", self.folder / "trust")
        return gdshare("trust", "accept", digest, *words).status

    def _settings(self, site: str) -> dict[str, object]:
        return {
            "outbox": str(self.folder / site / "outbox"),
            "state": str(self.folder / site / "state"),
            "minimum-films": 4,
            **({} if site in self.without_films else {"cohort": str(self.cohort)}),
        }


@pytest.fixture
def rounds(tmp_path: Path, cohort: Path) -> Rounds:
    return Rounds(tmp_path, cohort)


def quarantined(rounds: Rounds, result: RoundResult) -> str:
    """The one reason, where west and nobody else was kept out."""
    assert set(result.bundles) == set(result.test) == {"east", "north"}
    [refusal] = rounds.refusals()
    assert (refusal["site"], refusal["reason"]) == ("west", "Quarantined")
    return refusal["message"]


# Each attack.


def test_honest_bundles_are_admitted(rounds: Rounds, reference: Path) -> None:
    result = rounds.three().hold(reference)
    assert set(result.bundles) == {"east", "north", "west"}
    for one in result.plausibility.values():
        assert one.faults == ()
        assert one.teaching is not None
        assert one.teaching.tested
        assert one.teaching.beats_chance
        assert (one.teaching.positives, one.teaching.negatives) == (30, 30)


def test_flipped_labels_are_quarantined_by_what_their_peers_teach(rounds: Rounds) -> None:
    message = quarantined(rounds, rounds.three(attack("labels flipped")).hold())
    assert "tells the diagnoses apart the other way round than its peers (cosine -" in message


def test_flipped_labels_are_quarantined_by_the_reference(rounds: Rounds, reference: Path) -> None:
    rounds.release("east", honest(1))
    rounds.release("west", flipped)
    result = rounds.hold(reference)
    assert set(result.bundles) == {"east"}
    [refusal] = rounds.refusals()
    assert "do not beat chance on 30 positive and 30 negative reference" in refusal["message"]
    assert "AUC 0.0" in refusal["message"]


def test_flipped_labels_are_quarantined_by_what_the_other_hospital_counts(
    tmp_path: Path, large_cohort: Path
) -> None:
    rounds = Rounds(tmp_path, large_cohort)
    rounds.release("east", honest(2))
    rounds.release("west", lambda made: attack("labels flipped")(honest(4)(made)))
    result = rounds.hold()
    assert set(result.bundles) == {"east"}
    [refusal] = rounds.refusals()
    assert (
        "do not beat chance on 26 positive and 26 negative validation films" in (refusal["message"])
    )
    taught = result.plausibility["east"].teaching
    assert taught is not None
    assert taught.tested
    assert taught.beats_chance


def test_hospital_whose_own_bundle_is_doubtful_judges_no_other(rounds: Rounds) -> None:
    rounds.three(attack("labels flipped")).hold()
    asked = [node for node, kind in rounds.grid.asked if kind == "evaluate.counts"]
    assert sorted(asked) == [1, 1, 1, 2, 2, 2], "each the other's network, then the pooled model"


def test_noise_is_quarantined(rounds: Rounds) -> None:
    message = quarantined(rounds, rounds.three(attack("noise")).hold())
    assert "points elsewhere than its peers'" in message


def test_raised_learning_rates_are_quarantined(rounds: Rounds) -> None:
    message = quarantined(rounds, rounds.three(attack("rates x10")).hold())
    assert "times as long as the median" in message


def test_scaled_images_change_nothing_that_is_learned(rounds: Rounds) -> None:
    result = rounds.three(attack("images x30")).hold()
    assert set(result.bundles) == {"east", "north", "west"}
    agreement = result.plausibility["west"].agreement
    assert agreement is not None
    assert agreement.length == pytest.approx(1.0, abs=0.1)


def test_back_door_is_not_found(rounds: Rounds, reference: Path) -> None:
    """Known, and said in the threat model; whoever mends it changes both."""
    rounds.release("east", honest(1))
    rounds.release("north", honest(2))
    rounds.release("west", lambda made: _marked(honest(3)(made)))
    assert set(rounds.hold(reference).bundles) == {"east", "north", "west"}


def _marked(made: Distilled) -> Distilled:
    images = made.images.copy()
    images[1, :, -1, -1] = 0.5
    return replace(made, images=images)


def test_bundle_that_alone_leaves_the_range_of_numbers_ends_no_round(rounds: Rounds) -> None:
    def wild(made: Distilled) -> Distilled:
        return replace(
            made,
            images=(1e4 * np.sign(made.images)).astype(np.float32),
            learning_rates=np.full_like(made.learning_rates, 100.0),
        )

    message = quarantined(rounds, rounds.three(wild).hold())
    assert "its update" in message or "leaves the range of numbers" in message


def test_declared_patients_weigh_at_most_twice_the_median(rounds: Rounds) -> None:
    rounds.release("east", honest(1))
    rounds.release("north", honest(2))
    told = Counts(
        patients_negative=10**8, patients_positive=10**8, patches_i=90, patches_n=40, patches_p=40
    )
    many = published_counts(told, 5)
    rounds.release("west", honest(3), counts=many)
    result = rounds.hold()
    assert result.weights == pytest.approx({"east": 0.25, "north": 0.25, "west": 0.5})
    assert "weight 0.50" in (rounds.out / "table.txt").read_text(encoding="utf-8")


# What is done with a quarantined bundle.


def test_quarantine_is_recorded_with_its_figures_and_admits_nothing(rounds: Rounds) -> None:
    result = rounds.three(attack("labels flipped")).hold()
    found = result.plausibility["west"]
    assert found.quarantined
    assert found.agreement is not None
    entries = read_ledger(rounds.ledger)
    [entry] = [one for one in entries if one.act == "quarantine"]
    assert (entry.what, entry.digest, entry.by) == ("west-1", found.digest, "an operator")
    assert f"(cosine {found.agreement.diagnosis:.2f}" in entry.why
    assert set(newest_seen(entries)) == {"east", "north"}
    saved = json.loads((rounds.out / "round.json").read_text(encoding="utf-8"))
    assert saved["plausibility"]["west"]["agreement"]["diagnosis"] < 0
    assert "west" not in saved["weights"]
    [line] = [
        one
        for one in (rounds.out / "table.txt").read_text(encoding="utf-8").splitlines()
        if one.startswith("west ")
    ]
    assert "quarantined" in line


def test_accepted_bundle_is_admitted_and_its_figures_are_still_told(rounds: Rounds) -> None:
    digest = rounds.three(attack("labels flipped")).hold().plausibility["west"].digest
    assert rounds.accept(digest[:16]) == 0
    entry = read_ledger(rounds.ledger)[-1]
    assert (entry.act, entry.by, entry.what, entry.why) == (
        "accept",
        "a person",
        "west-1",
        "called, other films",
    )
    result = rounds.hold()
    assert set(result.bundles) == {"east", "north", "west"}
    assert result.plausibility["west"].faults
    assert "accepted in spite of that" in (rounds.out / "table.txt").read_text(encoding="utf-8")
    assert newest_seen(read_ledger(rounds.ledger))["west"].digest == digest


def test_what_was_accepted_is_one_digest_and_not_the_hospital(rounds: Rounds) -> None:
    digest = rounds.three(attack("labels flipped")).hold().plausibility["west"].digest
    rounds.accept(digest)
    rounds.release("west", flipped, sequence=2)
    quarantined(rounds, rounds.hold())


def test_only_a_quarantined_bundle_is_accepted_and_only_once(rounds: Rounds) -> None:
    found = rounds.three(attack("labels flipped")).hold()
    digest = found.plausibility["west"].digest
    before = len(read_ledger(rounds.ledger))
    assert rounds.accept(found.bundles["east"]) == 2
    assert rounds.accept(digest[:15]) == 2
    assert rounds.accept(digest, why=" ") == 2
    assert len(read_ledger(rounds.ledger)) == before
    assert rounds.accept(digest) == 0
    assert rounds.accept(digest) == 2


def test_round_of_which_all_bundles_are_quarantined_ends_with_their_reasons(
    rounds: Rounds, reference: Path
) -> None:
    rounds.release("west", flipped)
    with pytest.raises(FederationError, match=r"\(west\): Quarantined, .* do not beat chance"):
        rounds.hold(reference)
    assert not (rounds.out / "model").exists()


# What cannot be told.


def test_of_two_that_disagree_neither_is_blamed(rounds: Rounds) -> None:
    rounds.release("east", honest(1))
    rounds.release("west", flipped)
    result = rounds.hold()
    assert set(result.bundles) == {"east", "west"}
    assert result.plausibility["east"].agreement is not None


def test_too_few_films_condemn_nobody(rounds: Rounds, cohort: Path) -> None:
    rounds.release("west", flipped)
    result = rounds.hold(cohort)
    taught = result.plausibility["west"].teaching
    assert taught is not None
    assert not taught.tested
    assert ", too few" in (rounds.out / "table.txt").read_text(encoding="utf-8")


def test_lone_bundle_without_reference_is_marked_not_tested(rounds: Rounds) -> None:
    rounds.release("west", flipped)
    assert rounds.hold().plausibility["west"].teaching is None
    assert "not tested" in (rounds.out / "table.txt").read_text(encoding="utf-8")


def test_reference_that_was_cut_otherwise_is_refused(rounds: Rounds, tmp_path: Path) -> None:
    other = make_cohort(tmp_path / "other", 12, PROTOCOL.model_copy(update={"stride": 8}))
    with pytest.raises(UsageError, match=r"the reference .* another patch protocol"):
        rounds.three().hold(other)


# Where quarantine meets the other rules.


def test_second_content_under_a_quarantined_number_is_an_alarm(rounds: Rounds) -> None:
    rounds.three(attack("labels flipped")).hold()
    shutil.rmtree(rounds.folder / "west")
    rounds.release("west", honest(3))
    assert set(rounds.hold().bundles) == {"east", "north"}
    assert [one["reason"] for one in rounds.refusals()] == ["Equivocation"]


def test_next_number_after_a_quarantined_one_is_judged_anew(rounds: Rounds) -> None:
    rounds.three(attack("labels flipped")).hold()
    rounds.release("west", honest(3), sequence=2)
    assert set(rounds.hold().bundles) == {"east", "north", "west"}


def test_quarantined_bundle_stays_out_when_its_figures_would_pass_now(rounds: Rounds) -> None:
    result = rounds.three().hold()
    with open_ledger(rounds.ledger) as book:
        digest = result.bundles["west"]
        book.write(NOW, "quarantine", "an operator", "west-1", digest, "signed with x: figures")
    assert "west" not in rounds.hold().bundles
    assert "quarantined in an earlier round" in rounds.refusals()[0]["message"]
    assert rounds.accept(digest[:16]) == 0
    assert "west" in rounds.hold().bundles


def test_what_was_refused_is_recorded_though_judging_breaks_off(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds.three().hold()
    shutil.rmtree(rounds.folder / "west")
    rounds.release("west", honest(4))

    def breaks(*_: object) -> None:
        raise FederationError("out of memory")

    monkeypatch.setattr(aggregator.admission.decide, "plausibility", breaks)
    with pytest.raises(FederationError):
        rounds.hold()
    last = read_ledger(rounds.ledger)[-1]
    assert (last.act, last.why.partition(":")[0]) == ("refuse", "Equivocation")


def test_missing_reference_is_told_before_any_hospital_is_asked(rounds: Rounds) -> None:
    rounds.three()
    with pytest.raises(CohortError):
        rounds.hold(reference=rounds.folder / "nowhere")
    assert rounds.grid.asked == []
    assert not rounds.ledger.exists()


def test_hospital_that_did_not_count_is_not_waited_for_again_while_judging(rounds: Rounds) -> None:
    rounds.without_films = {"east"}
    rounds.three().hold()
    asked = [node for node, kind in rounds.grid.asked if kind == "evaluate.counts"]
    # Once for the first bundle that it could judge, then for the round's model: val and test.
    assert asked.count(1) == 3
    assert asked.count(2) == 4
