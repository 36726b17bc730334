"""Who judges a bundle: a few, drawn, and nobody's choice."""

from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace

from aggregator.admission.judges import JUDGES, drawn_judges
from aggregator.verified import Verified


@dataclass
class Sites:
    """As much of verified bundles as the draw reads."""

    count: int
    recipients: dict[int, tuple[str, ...]] = field(default_factory=dict)
    digest_of_first: str = "0"

    def bundles(self) -> list[Verified]:
        return [self._bundle(number) for number in range(self.count)]

    def _bundle(self, number: int) -> Verified:
        terms = SimpleNamespace(recipients=self.recipients.get(number, ()))
        digest = self.digest_of_first if number == 0 else str(number)
        manifest = SimpleNamespace(site=f"s{number:02}", terms=terms)
        bundle = SimpleNamespace(manifest=manifest, digest=digest)
        return Verified(number, bundle, "key", {})  # type: ignore[arg-type]


def test_few_sites_all_judge_one_another_as_ever() -> None:
    sites = [f"s{number:02}" for number in range(JUDGES + 1)]
    judges = drawn_judges(Sites(JUDGES + 1).bundles(), 0)
    assert judges == {site: [other for other in sites if other != site] for site in sites}


def test_judges_of_thirty_sites_are_a_function_of_the_seed() -> None:
    first = drawn_judges(Sites(30).bundles(), 1)
    assert drawn_judges(Sites(30).bundles(), 1) == first
    assert drawn_judges(Sites(30).bundles(), 2) != first


def test_maker_of_a_bundle_cannot_foresee_its_judges() -> None:
    """Another site's content decides as well."""
    first = drawn_judges(Sites(30).bundles(), 1)
    other = drawn_judges(Sites(30, digest_of_first="f").bundles(), 1)
    assert other["s07"] != first["s07"]


def test_each_site_judges_as_many_bundles_as_judge_its_own() -> None:
    judges = drawn_judges(Sites(30).bundles(), 1)
    assert all(len(set(drawn)) == JUDGES for drawn in judges.values())
    assert all(site not in drawn for site, drawn in judges.items())
    burden = Counter(judge for drawn in judges.values() for judge in drawn)
    assert set(burden.values()) == {JUDGES}


def test_sites_that_may_see_a_bundle_judge_it_before_others() -> None:
    named = tuple(f"s{number:02}" for number in range(18, 30))
    judges = drawn_judges(Sites(30, {3: named, 4: named[:2]}).bundles(), 1)
    assert len(judges["s03"]) == JUDGES
    assert set(judges["s03"]) <= set(named)
    assert set(named[:2]) < set(judges["s04"])
