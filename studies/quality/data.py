"""The report as plain data."""

from collections.abc import Sequence
from dataclasses import asdict
from math import isnan

from pydantic import JsonValue

from gdshare.distill.score import CHANCE
from gdshare.metrics import Interval
from studies.quality.choices import ArmChoice, Choice
from studies.quality.costs import by_kind
from studies.quality.cross import Transfer
from studies.quality.figures import PRIMARY, Merit
from studies.quality.left_out import LeftOut
from studies.quality.report import Line, Pair, Report, Scores
from studies.quality.spread import deviation, mean

FIGURES = ("sensitivity", "specificity", "harmonic_mean", "auc")


def figure(merits: Sequence[Merit], name: str) -> list[float]:
    """One of ``FIGURES`` of each model."""
    return [one.auc if name == "auc" else float(getattr(one.confusion, name)) for one in merits]


def as_data(report: Report) -> dict[str, JsonValue]:
    """Everything, for JSON; a figure that does not exist is null."""
    way, rule = PRIMARY
    return {
        "sites": list(report.sites),
        "primary": {"way": way, "rule": rule, "k": report.team},
        "films": [
            {
                "way": reading.way,
                "rule": reading.rule,
                "primary": reading.primary,
                "models": [_line(line) for line in reading.lines],
                "differences": [_pair(pair) for pair in reading.pairs],
            }
            for reading in report.readings
        ],
        "validation_patients_left_out": [_left_out(one) for one in report.left_out],
        "patch_scores": [_scores(one) for one in report.patches],
        "cross_networks": {
            "chance": CHANCE,
            "pairs": [_transfer(one) for one in report.transfers],
        },
        "choices": [_choice(one) for one in report.choices],
        "missing": [asdict(gap) for gap in report.gaps],
        "cpu_seconds": {one.piece: one.seconds for one in report.spent},
        "cpu_seconds_by_kind": dict(by_kind(report.spent)),
        "cpu_seconds_total": sum(one.seconds for one in report.spent),
    }


def _line(line: Line) -> JsonValue:
    return {
        "model": line.name,
        "primary": line.primary,
        "thresholds": [[list(fold) for fold in folds] for folds in line.thresholds],
        "figures": {scope: _merits(merits) for scope, merits in line.merits.items()},
    }


def _merits(merits: Sequence[Merit]) -> JsonValue:
    found: dict[str, JsonValue] = {
        name: {
            "mean": _known(mean(figure(merits, name))),
            "deviation": _known(deviation(figure(merits, name))),
        }
        for name in FIGURES
    }
    return found | {"counts": [asdict(one.confusion) for one in merits]}


def _pair(pair: Pair) -> JsonValue:
    found = pair.difference
    return {
        "first": pair.first,
        "second": pair.second,
        "primary": pair.primary,
        "harmonic_mean": found.harmonic_mean,
        "harmonic_mean_interval": _ends(found.harmonic_mean_interval),
        "auc": _known(found.auc),
        "auc_interval": _ends(found.auc_interval),
    }


def _left_out(one: LeftOut) -> JsonValue:
    return {
        "model": one.name,
        "common": _merits(one.common),
        "own": _merits(one.own),
        "harmonic_mean_gain": one.gain.harmonic_mean,
        "harmonic_mean_gain_interval": _ends(one.gain.harmonic_mean_interval),
    }


def _scores(scores: Scores) -> JsonValue:
    means = [mean(folds) for folds in scores.values]
    return {
        "model": scores.name,
        "mean": mean(means),
        "deviation": deviation(means),
        "values": [list(folds) for folds in scores.values],
    }


def _transfer(transfer: Transfer) -> JsonValue:
    return {
        "distilled_on": transfer.giver,
        "trains": transfer.receiver,
        "mean": mean(transfer.scores),
        "deviation": deviation(transfer.scores),
        "values": list(transfer.scores),
        "factors": list(transfer.factors),
    }


def _choice(choice: Choice) -> JsonValue:
    return {
        "arms": {network: _arm(one) for network, one in choice.arms.items()},
        "real_scores": dict(choice.real_scores),
    }


def _arm(arm: ArmChoice) -> JsonValue:
    return {
        "scheme": arm.scheme,
        "scheme_scores": {name: list(values) for name, values in arm.scheme_scores.items()},
        "distilled_scores": {
            site: {"mean": value, "deviation": spread}
            for site, (value, spread) in arm.site_scores.items()
        },
    }


def _ends(interval: Interval) -> JsonValue:
    return [_known(interval.low), _known(interval.high)]


def _known(value: float | None) -> float | None:
    return None if value is None or isnan(value) else value
