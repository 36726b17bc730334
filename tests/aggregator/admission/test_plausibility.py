"""Sound, signed bundles with poisoned content: which are quarantined, and how they are accepted."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from command_kit import gdshare
from grid_kit import MemoryGrid, VirtualClock
from site_kit import NOW, PROTOCOL, make_bundle, make_cohort, manifest, of_head, write_files

import aggregator.admission.decide
from aggregator.admission.agreement import LIMITS
from aggregator.flower.order import Order
from aggregator.results import RoundResult
from aggregator.round import Round
from aggregator.trust.bundle_history import newest_bundles
from gdshare.bundle.counts import published_counts
from gdshare.distilled import Distilled
from gdshare.errors import CohortError, FederationError, UsageError
from gdshare.ledger import open_ledger, read_ledger
from gdshare.method import Counts
from gdshare.signing import new_key, public_pem
from studies.poison.trial import ATTACKS

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
    return partial(ATTACKS[name], seed=1)


def honest(number: int) -> Change:
    """Images that differ by hospital, and rates at which four steps are enough to learn."""

    def change(distilled: Distilled) -> Distilled:
        grain = np.random.default_rng(number).normal(0, 0.05, distilled.images.shape)
        images, rates = distilled.images + grain, 5 * distilled.learning_rates
        return replace(
            distilled, images=images.astype(np.float32), learning_rates=rates.astype(np.float32)
        )

    return change


def flipped(distilled: Distilled) -> Distilled:
    return attack("labels flipped")(honest(3)(distilled))


class Rounds:
    """Hospitals that release a test's bundles, round after round."""

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

    def release(self, site: str, change: Change, sequence: int = 1, **fields: object) -> None:
        about = manifest(site, sequence=sequence, **fields)
        files = make_bundle(site, self.keys[site], about, change)
        write_files(self.folder / site / "outbox" / about.name, files)

    def three(self, poison: Change = lambda distilled: distilled) -> "Rounds":
        """East and north are honest; west is poisoned."""
        self.release("east", honest(1))
        self.release("north", honest(2))
        self.release("west", lambda distilled: poison(honest(3)(distilled)))
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
            minimum=1,
            ensemble=1,
            reference=reference,
        )
        result = Round(self.grid, order, NOW, clock=VirtualClock()).run(self.out)
        assert result is not None
        return result

    def refusals(self) -> list[Mapping[str, str]]:
        return [
            json.loads(line)
            for line in (self.out / "refusals.jsonl").read_text(encoding="utf-8").splitlines()
        ]

    def accept(self, digest: str, why: str = "called, other films") -> int:
        words = ("--why", why, "--by", "a person", "--trust", self.folder / "trust")
        return gdshare("trust", "accept", digest, *words).status

    def _settings(self, site: str) -> dict[str, object]:
        return {
            "outbox": str(self.folder / site / "outbox"),
            "state": str(self.folder / site / "state"),
            "minimum-films": 4,
            "suppress-below": 1,
            "trust": str(self.folder / "trust"),
            **({} if site in self.without_films else {"cohort": str(self.cohort)}),
        }


@pytest.fixture
def rounds(tmp_path: Path, cohort: Path) -> Rounds:
    return Rounds(tmp_path, cohort)


def quarantined(rounds: Rounds, result: RoundResult) -> str:
    """The reason why west, and only west, was refused."""
    assert set(result.bundles) == set(result.test) == {"east", "north"}
    [refusal] = rounds.refusals()
    assert (refusal["site"], refusal["reason"]) == ("west", "Quarantined")
    return refusal["message"]


# Each attack.


def test_honest_bundles_are_admitted(rounds: Rounds, reference: Path) -> None:
    result = rounds.three().hold(reference)
    assert set(result.bundles) == {"east", "north", "west"}
    for screening in result.screenings.values():
        assert screening.faults == ()
        assert screening.utility is not None
        assert screening.utility.tested
        assert screening.utility.beats_chance
        assert (screening.utility.positives, screening.utility.negatives) == (30, 30)


def test_flipped_labels_are_quarantined_by_what_their_peers_teach(rounds: Rounds) -> None:
    message = quarantined(rounds, rounds.three(attack("labels flipped")).hold())
    assert "separates the diagnoses in the opposite direction to its peers (cosine -" in message


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
    rounds.release("west", lambda distilled: attack("labels flipped")(honest(4)(distilled)))
    result = rounds.hold()
    assert set(result.bundles) == {"east"}
    [refusal] = rounds.refusals()
    assert (
        "do not beat chance on 26 positive and 26 negative validation films" in (refusal["message"])
    )
    taught = result.screenings["east"].utility
    assert taught is not None
    assert taught.tested
    assert taught.beats_chance


def test_hospital_whose_own_bundle_has_faults_counts_for_no_other(rounds: Rounds) -> None:
    rounds.three(attack("labels flipped")).hold()
    nodes = [node for node, kind in rounds.grid.asked if kind == "evaluate.counts"]
    assert sorted(nodes) == [1, 1, 1, 2, 2, 2], "each the other's network, then the pooled model"


def test_noise_is_quarantined(rounds: Rounds) -> None:
    message = quarantined(rounds, rounds.three(attack("noise")).hold())
    assert "points away from its peers'" in message


def test_raised_learning_rates_are_quarantined(rounds: Rounds) -> None:
    message = quarantined(rounds, rounds.three(attack("rates x10")).hold())
    assert "times as long as the median" in message


def faster(change: Change) -> Change:
    """Rates at which a head learns in four steps."""

    def changed(distilled: Distilled) -> Distilled:
        result = change(distilled)
        return replace(result, learning_rates=20 * result.learning_rates)

    return changed


def test_heads_have_figures_and_no_limits_since_none_were_measured(rounds: Rounds) -> None:
    for site, change in (("east", honest(1)), ("north", honest(2)), ("west", flipped)):
        rounds.release(site, faster(change), **of_head())
    result = rounds.hold()
    assert set(result.bundles) == {"east", "north", "west"}
    agreement = result.screenings["west"].agreement
    assert agreement is not None
    assert agreement.diagnosis < LIMITS["convnet", "all"].diagnosis
    assert agreement.faults == ()
    honest_one = result.screenings["east"].agreement
    assert honest_one is not None
    assert honest_one.direction > 0.2


def test_head_with_flipped_labels_is_quarantined_by_the_reference(
    rounds: Rounds, reference: Path
) -> None:
    rounds.release("east", faster(honest(1)), **of_head())
    rounds.release("west", faster(flipped), **of_head())
    assert set(rounds.hold(reference).bundles) == {"east"}
    [refusal] = rounds.refusals()
    assert "do not beat chance" in refusal["message"]


def test_scaled_images_change_nothing_that_is_learned(rounds: Rounds) -> None:
    result = rounds.three(attack("images x30")).hold()
    assert set(result.bundles) == {"east", "north", "west"}
    agreement = result.screenings["west"].agreement
    assert agreement is not None
    assert agreement.length == pytest.approx(1.0, abs=0.1)


def test_back_door_is_not_found(rounds: Rounds, reference: Path) -> None:
    """A known gap, stated in the threat model; closing it changes both."""
    rounds.release("east", honest(1))
    rounds.release("north", honest(2))
    rounds.release("west", lambda distilled: _marked(honest(3)(distilled)))
    assert set(rounds.hold(reference).bundles) == {"east", "north", "west"}


def _marked(distilled: Distilled) -> Distilled:
    images = distilled.images.copy()
    images[1, :, -1, -1] = 0.5
    return replace(distilled, images=images)


def test_bundle_that_alone_leaves_the_range_of_numbers_ends_no_round(rounds: Rounds) -> None:
    def wild(distilled: Distilled) -> Distilled:
        return replace(
            distilled,
            images=(1e4 * np.sign(distilled.images)).astype(np.float32),
            learning_rates=np.full_like(distilled.learning_rates, 100.0),
        )

    message = quarantined(rounds, rounds.three(wild).hold())
    assert "its update" in message or "leaves the range of numbers" in message


def test_declared_patients_weigh_at_most_twice_the_median(rounds: Rounds) -> None:
    rounds.release("east", honest(1))
    rounds.release("north", honest(2))
    counts = Counts(
        patients_negative=10**8, patients_positive=10**8, patches_i=90, patches_n=40, patches_p=40
    )
    many = published_counts(counts, 5)
    rounds.release("west", honest(3), counts=many)
    result = rounds.hold()
    assert result.weights == pytest.approx({"east": 0.25, "north": 0.25, "west": 0.5})
    assert "weight 0.50" in (rounds.out / "table.txt").read_text(encoding="utf-8")


# What happens to a quarantined bundle.


def test_quarantine_is_recorded_with_its_figures_and_admits_nothing(rounds: Rounds) -> None:
    result = rounds.three(attack("labels flipped")).hold()
    screening = result.screenings["west"]
    assert screening.quarantined
    assert screening.agreement is not None
    entries = read_ledger(rounds.ledger)
    [entry] = [refusal for refusal in entries if refusal.act == "quarantine"]
    assert (entry.what, entry.digest, entry.by) == ("west-1", screening.digest, "an operator")
    assert f"(cosine {screening.agreement.diagnosis:.2f}" in entry.why
    assert set(newest_bundles(entries)) == {"east", "north"}
    saved = json.loads((rounds.out / "round.json").read_text(encoding="utf-8"))
    assert saved["plausibility"]["west"]["agreement"]["diagnosis"] < 0
    assert "west" not in saved["weights"]
    [line] = [
        refusal
        for refusal in (rounds.out / "table.txt").read_text(encoding="utf-8").splitlines()
        if refusal.startswith("west ")
    ]
    assert "quarantined" in line


def test_accepted_bundle_is_admitted_and_its_figures_are_still_reported(rounds: Rounds) -> None:
    digest = rounds.three(attack("labels flipped")).hold().screenings["west"].digest
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
    assert result.screenings["west"].faults
    assert "accepted in spite of that" in (rounds.out / "table.txt").read_text(encoding="utf-8")
    assert newest_bundles(read_ledger(rounds.ledger))["west"].digest == digest


def test_acceptance_is_of_one_digest_and_not_of_the_hospital(rounds: Rounds) -> None:
    digest = rounds.three(attack("labels flipped")).hold().screenings["west"].digest
    rounds.accept(digest)
    rounds.release("west", flipped, sequence=2)
    quarantined(rounds, rounds.hold())


def test_only_a_quarantined_bundle_is_accepted_and_only_once(rounds: Rounds) -> None:
    result = rounds.three(attack("labels flipped")).hold()
    digest = result.screenings["west"].digest
    before = len(read_ledger(rounds.ledger))
    assert rounds.accept(result.bundles["east"]) == 2
    assert rounds.accept(digest[:15]) == 2
    assert rounds.accept(digest, why=" ") == 2
    assert len(read_ledger(rounds.ledger)) == before
    assert rounds.accept(digest) == 0
    assert rounds.accept(digest) == 3


def test_round_of_which_all_bundles_are_quarantined_ends_with_their_reasons(
    rounds: Rounds, reference: Path
) -> None:
    rounds.release("west", flipped)
    with pytest.raises(FederationError, match=r"\(west\): Quarantined, .* do not beat chance"):
        rounds.hold(reference)
    assert not (rounds.out / "model").exists()


# What cannot be concluded.


def test_of_two_that_disagree_neither_is_blamed(rounds: Rounds) -> None:
    rounds.release("east", honest(1))
    rounds.release("west", flipped)
    result = rounds.hold()
    assert set(result.bundles) == {"east", "west"}
    assert result.screenings["east"].agreement is not None


def test_too_few_films_are_no_fault(rounds: Rounds, cohort: Path) -> None:
    rounds.release("west", flipped)
    result = rounds.hold(cohort)
    taught = result.screenings["west"].utility
    assert taught is not None
    assert not taught.tested
    assert ", too few" in (rounds.out / "table.txt").read_text(encoding="utf-8")


def test_lone_bundle_without_reference_is_marked_not_tested(rounds: Rounds) -> None:
    rounds.release("west", flipped)
    assert rounds.hold().screenings["west"].utility is None
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
    assert [refusal["reason"] for refusal in rounds.refusals()] == ["Equivocation"]


def test_next_number_after_a_quarantined_one_is_screened_again(rounds: Rounds) -> None:
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


def test_refusals_are_recorded_though_screening_breaks_off(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds.three().hold()
    shutil.rmtree(rounds.folder / "west")
    rounds.release("west", honest(4))

    def breaks(*_: object) -> None:
        raise FederationError("out of memory")

    monkeypatch.setattr(aggregator.admission.decide, "screen", breaks)
    with pytest.raises(FederationError):
        rounds.hold()
    last = read_ledger(rounds.ledger)[-1]
    assert (last.act, last.why.partition(":")[0]) == ("refuse", "Equivocation")


def test_missing_reference_is_reported_before_any_hospital_is_asked(rounds: Rounds) -> None:
    rounds.three()
    with pytest.raises(CohortError):
        rounds.hold(reference=rounds.folder / "nowhere")
    assert rounds.grid.asked == []
    assert not rounds.ledger.exists()


def test_hospitals_are_asked_about_all_bundles_at_once(rounds: Rounds) -> None:
    """One that does not count costs its time once, however many bundles there are."""
    rounds.without_films = {"east"}
    rounds.three().hold()
    nodes = [node for node, kind in rounds.grid.asked if kind == "evaluate.counts"]
    # The two others' bundles, then the round's model: val and test.
    assert nodes.count(1) == 4
    assert nodes.count(2) == 4
