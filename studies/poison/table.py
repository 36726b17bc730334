"""The trials as one table for people."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

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

Found = Mapping[str, Any]
"""A trial as JSON has it."""


def table(found: Sequence[Found]) -> str:
    """Means over the trials of the reporting fold, by attack, and what agreement finds on both."""
    whole = [one for one in found if "harm" in one]
    attacks = list(dict.fromkeys(one["attack"] for one in whole))
    lines = [HEADINGS, tuple("---" for _ in HEADINGS)]
    for attack in attacks:
        lines.append(_row(attack, [one for one in whole if one["attack"] == attack]))
    rest = [one for one in found if "harm" not in one]
    notes = [
        f"By its peers in the fold its limits were chosen on: {attack} {_found(ones, outlier)}"
        for attack in dict.fromkeys(one["attack"] for one in rest)
        if (ones := [one for one in rest if one["attack"] == attack])
    ]
    return "\n".join([*("| " + " | ".join(line) + " |" for line in lines), "", *notes])


def _row(attack: str, ones: Sequence[Found]) -> tuple[str, ...]:
    blamed = sum(len(_blamed(one) - {one["site"]}) for one in ones)
    peers = sum(len(one["agreement"]) - 1 for one in ones)
    return (
        attack,
        str(len(ones)),
        _spread([one["harm"]["auc"] for one in ones]),
        _spread([one["harm"]["patch_score"] for one in ones]),
        _spread([one["harm"]["turned_by_marker"] for one in ones]),
        _found(ones, by_reference),
        _found(ones, by_counts),
        _found(ones, outlier),
        _found(ones, lambda one: by_reference(one) or outlier(one)),
        f"{blamed} of {peers}",
    )


def by_reference(one: Found) -> bool | None:
    """Whether the operator's reference finds the bundle; None: too few patients."""
    return _fails(one["teaching"]["reference"])


def by_counts(one: Found) -> bool | None:
    """Whether the other hospitals' counts find it; None: too few films."""
    return _fails(one["teaching"]["counts"])


def outlier(one: Found) -> bool:
    """Whether its peers' updates find it."""
    return one["site"] in _blamed(one)


def _fails(taught: Found | None) -> bool | None:
    return None if taught is None or not taught["tested"] else not taught["beats_chance"]


def _blamed(one: Found) -> set[str]:
    return {site for site, figures in one["agreement"].items() if figures and figures["faults"]}


def _found(ones: Sequence[Found], by: Callable[[Found], bool | None]) -> str:
    verdicts = [by(one) for one in ones]
    if None in verdicts:
        return "not tested"
    return f"{sum(map(bool, verdicts))} of {len(verdicts)}"


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return f"{sum(known) / len(known):.3f} ({min(known):.3f} to {max(known):.3f})"
