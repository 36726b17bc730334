"""The trials as one table for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from studies.command import Report
from studies.tables import Row, Table, Value

HEADINGS = (
    *("attack", "trials", "pooled AUC", "patch score", "turned by the marker"),
    *("found by reference", "by counts", "by its peers", "by any", "peers blamed"),
)
HARM = ("auc", "patch_score", "turned_by_marker")

Facts = Mapping[str, Any]  # of a trial, with its site and attack


def report_of(trials: Sequence[Facts]) -> Report:
    """Means over the trials of the reporting fold, by attack, and what agreement finds on both."""
    whole = [facts for facts in trials if "harm" in facts]
    rest = [facts for facts in trials if "harm" not in facts]
    table = Table("", HEADINGS, [_row(attack, own) for attack, own in _by_attack(whole)])
    blamed = {attack: _count([*map(_outlier, own)]) for attack, own in _by_attack(rest)}
    where = "By its peers in the fold its limits were chosen on"
    notes = [f"{where}: {attack} {count}" for attack, count in blamed.items()]
    return Report("\n".join([table.markdown(), "", *notes]), {"trials": list(trials)})


def _by_attack(trials: Sequence[Facts]) -> list[tuple[str, list[Facts]]]:
    attacks = dict.fromkeys(str(facts["attack"]) for facts in trials)
    return [(name, [facts for facts in trials if facts["attack"] == name]) for name in attacks]


def _row(attack: str, trials: Sequence[Facts]) -> Row:
    blamed = sum(len(_blamed(facts) - {facts["site"]}) for facts in trials)
    peers = sum(len(facts["agreement"]) - 1 for facts in trials)
    harm = [_spread([facts["harm"][name] for facts in trials]) for name in HARM]
    reference, counts = ([_fails(t, films) for t in trials] for films in ("reference", "counts"))
    outliers = [_outlier(facts) for facts in trials]
    either = [a or b for a, b in zip(reference, outliers, strict=True)]
    ways: list[Sequence[bool | None]] = [reference, counts, outliers, either]
    return (attack, str(len(trials)), *harm, *map(_count, ways), f"{blamed} of {peers}")


def _fails(facts: Facts, films: str) -> bool | None:
    """Whether the bundle fails on those films; None: too few of them to say."""
    utility = facts["teaching"][films]
    return None if utility is None or not utility["tested"] else not utility["beats_chance"]


def _blamed(facts: Facts) -> set[str]:
    return {site for site, figures in facts["agreement"].items() if figures and figures["faults"]}


def _outlier(facts: Facts) -> bool:
    return facts["site"] in _blamed(facts)


def _count(verdicts: Sequence[bool | None]) -> str:
    known = [verdict for verdict in verdicts if verdict is not None]
    return "not tested" if len(known) < len(verdicts) else f"{sum(known)} of {len(known)}"


def _spread(values: Sequence[float | None]) -> Value:
    known = [value for value in values if value is not None]
    if not known:
        return Value("-", None)
    mean, low, high = sum(known) / len(known), min(known), max(known)
    return Value(f"{mean:.3f} ({low:.3f} to {high:.3f})", [mean, low, high])
