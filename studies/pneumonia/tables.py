"""The report as tables for people, and as plain data."""

from collections.abc import Sequence
from dataclasses import asdict

from pydantic import JsonValue

from studies.pneumonia.figures import POINTS, Gap
from studies.pneumonia.plan import TARGET
from studies.pneumonia.report import Chosen, Report, Row
from studies.quality.costs import Spent, by_kind
from studies.quality.spread import deviation, mean
from studies.quality.tables import aligned

NOTES = (
    "PneumoniaMNIST, the ConvNet with two outputs at 32 px. Training step, epoch, learning rate "
    "and minibatches were chosen on validation images; every figure of accuracy is of test "
    "images. k: networks that vote together, each from a θ0 of its own; a seed's figure is the "
    "mean over its {networks} fresh θ0, or over the disjoint teams that they make. The real side "
    "is a single network a seed, since each costs a training: k = 1 is what the target is held "
    "against.",
    "Differences: distilled minus real, with 95% intervals from resampling test images within "
    "class. Which images are of one patient is not known in this set; where a patient has several, "
    "the interval is too narrow. Seeds and θ0 are averaged over, not resampled.",
)


def text(report: Report) -> str:
    """All tables, and the answer."""
    return "\n\n".join(
        [
            *(note.format(networks=report.networks) for note in NOTES),
            _accuracies(report),
            answer(report),
            _decided(report.chosen),
            _seconds(report.spent),
        ]
    )


def answer(report: Report) -> str:
    """Whether the target is reached, in a sentence."""
    word = "" if report.reached else "NOT "
    whole = "wholly" if report.surely_reached else "not wholly"
    return (
        f"Target: two distilled images come {word}within {TARGET:g} points of {report.images} real "
        f"ones ({_gap(report.singles.gap)}; the interval is {whole} above {-TARGET:g})."
    )


def as_data(report: Report) -> dict[str, JsonValue]:
    """Everything, for JSON."""
    return {
        "target_points": -TARGET,
        "target_reached": report.reached,
        "target_reached_by_whole_interval": report.surely_reached,
        "real_images": report.images,
        "interval": "95%, test images resampled within class; patients are not known",
        "balanced_accuracy": [_row(row) for row in report.rows],
        "chosen": [asdict(one) for one in report.chosen],
        "cpu_seconds": {one.piece: one.seconds for one in report.spent},
        "cpu_seconds_by_kind": dict(by_kind(report.spent)),
        "cpu_seconds_total": sum(one.seconds for one in report.spent),
    }


def _row(row: Row) -> JsonValue:
    found: dict[str, JsonValue] = {
        "model": row.name,
        "mean": mean(row.values),
        "deviation": deviation(row.values),
        "values": list(row.values),
    }
    if row.gap is not None:
        low, high = row.gap.interval.low, row.gap.interval.high
        found |= {"points_to_real": row.gap.points, "points_to_real_interval": [low, high]}
    return found


def _accuracies(report: Report) -> str:
    rows = [
        (row.name, _percent(mean(row.values)), _percent(deviation(row.values)), _gap(row.gap))
        for row in report.rows
    ]
    title = f"Balanced accuracy on test images, %, mean and ± over {len(report.chosen)} seeds"
    return aligned(title, ("model", "mean", "±", "points to real"), rows)


def _decided(chosen: Sequence[Chosen]) -> str:
    rows = [
        (
            str(seed),
            str(one.step),
            _percent(one.distilled_score),
            f"{one.trial.batches} {one.trial.rate:g}",
            str(one.epoch),
            _percent(one.real_score),
        )
        for seed, one in enumerate(chosen)
    ]
    head = ("seed", "step", "distilled", "minibatches, rate", "epoch", "real")
    return aligned("What validation images decided, and balanced accuracy on them, %", head, rows)


def _seconds(spent: Sequence[Spent]) -> str:
    rows = [(kind, f"{value:.0f}") for kind, value in by_kind(spent).items()]
    total = sum(one.seconds for one in spent)
    rows.append(("all", f"{total:.0f} ({total / 3600:.1f} h)"))
    return aligned("CPU-seconds", ("piece", "seconds"), rows)


def _gap(gap: Gap | None) -> str:
    if gap is None:
        return ""
    return f"{gap.points:+.1f} [{gap.interval.low:+.1f}, {gap.interval.high:+.1f}]"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{POINTS * value:.1f}"
