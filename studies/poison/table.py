"""The trials as one table for people."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from studies.command import Report
from studies.tables import Row, Table, Value

HEADINGS = (
    "attack",
    "trials",
    "pooled AUC",
    "patch score",
    "turned by the marker",
    "found by reference",
    "by counts",
    "by its peers",
    "by any",
    "peers blamed",
)
HARM = ("auc", "patch_score", "turned_by_marker")

Facts = Mapping[str, Any]  # of a trial, with its site and attack


def report_of(trials: Sequence[Facts]) -> Report:
    """Means over the trials of the reporting fold, by attack, and what agreement finds on both."""
    whole = [facts for facts in trials if "harm" in facts]
    rest = [facts for facts in trials if "harm" not in facts]
    table = Table("", HEADINGS, [_row(attack, own) for attack, own in _by_attack(whole)])
    notes = [
        f"By its peers in the fold its limits were chosen on: {attack} {_count(own, outlier)}"
        for attack, own in _by_attack(rest)
    ]
    return Report("\n".join([table.markdown(), "", *notes]), {"trials": list(trials)})


def _by_attack(trials: Sequence[Facts]) -> list[tuple[str, list[Facts]]]:
    attacks = dict.fromkeys(str(facts["attack"]) for facts in trials)
    return [(name, [facts for facts in trials if facts["attack"] == name]) for name in attacks]


def _row(attack: str, trials: Sequence[Facts]) -> Row:
    blamed = sum(len(_blamed(facts) - {facts["site"]}) for facts in trials)
    peers = sum(len(facts["agreement"]) - 1 for facts in trials)
    harm = [_spread([facts["harm"][name] for facts in trials]) for name in HARM]
    ways = (by_reference, by_counts, outlier, lambda facts: by_reference(facts) or outlier(facts))
    found = [_count(trials, way) for way in ways]
    return (attack, str(len(trials)), *harm, *found, f"{blamed} of {peers}")


def by_reference(facts: Facts) -> bool | None:
    """Whether the operator's reference finds the bundle; None: too few patients."""
    return _fails(facts["teaching"]["reference"])


def by_counts(facts: Facts) -> bool | None:
    """Whether the other hospitals' counts find it; None: too few films."""
    return _fails(facts["teaching"]["counts"])


def outlier(facts: Facts) -> bool:
    """Whether its peers' updates find it."""
    return facts["site"] in _blamed(facts)


def _fails(utility: Facts | None) -> bool | None:
    return None if utility is None or not utility["tested"] else not utility["beats_chance"]


def _blamed(facts: Facts) -> set[str]:
    return {site for site, figures in facts["agreement"].items() if figures and figures["faults"]}


def _count(trials: Sequence[Facts], by: Callable[[Facts], bool | None]) -> str:
    verdicts = [by(facts) for facts in trials]
    if None in verdicts:
        return "not tested"
    return f"{sum(map(bool, verdicts))} of {len(verdicts)}"


def _spread(values: Sequence[float | None]) -> Value:
    known = [value for value in values if value is not None]
    if not known:
        return Value("-", None)
    mean, low, high = sum(known) / len(known), min(known), max(known)
    return Value(f"{mean:.3f} ({low:.3f} to {high:.3f})", [mean, low, high])
