"""The tables and the picture: every attack, its control, and what the bundle is worth."""

from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter

from gdshare.audit import ATTACKS
from gdshare.audit.lineup import NAME as LINEUP
from gdshare.audit.membership import NAME as LOSS
from gdshare.audit.membership_lira import BUNDLE, LIRA
from gdshare.audit.nearest import NAME as PATCH
from gdshare.audit.record import AuditRecord
from studies.attacks.picture import Attacked, draw
from studies.attacks.plan import Plan
from studies.attacks.schedule import attacked, cells_of, name_of
from studies.hospitals import Hospital
from studies.report import Report
from studies.runner import Result
from studies.tables import Row, Table, Value, costs, deviation, mean, number

_REPEATED = {
    BUNDLE: "bundle",
    LIRA: "lira",
    LOSS: "loss",
    LINEUP: "line-up",
    PATCH: "patch",
    "score": "score",
    "auc": "AUC",
}
"""What is told of repeats, and the heads of its columns."""
_FOUND = TypeAdapter(dict[str, list[tuple[float, float, float]]])


def report_of(plan: Plan, hospitals: Sequence[Hospital], results: Mapping[str, Result]) -> Report:
    """A table for each bundle that is done: every attack, its control, and what it is worth."""
    tables, first = [], list[Attacked]()
    for seed, kind, site in attacked(plan, hospitals):
        name = name_of(site.name, kind, seed)
        if f"audit-{name}" in results:
            record = AuditRecord.model_validate(results[f"audit-{name}"].facts["audit"])
            worth = results[f"bundle-{name}"]
            if seed == 0 and site == hospitals[0]:
                found = {own.attack.name: own for own in record.results}
                first.append(Attacked(kind.title, found))
            tables.append(_table(f"{kind.title}, {site.name}, seed {seed}", record, worth))
    if repeated := _repeated(plan, hospitals[0], results):
        tables.append(repeated)
    cost = costs("CPU-seconds", cells_of(plan, hospitals), results, each=False)
    every = [*tables, cost]
    text = "\n\n".join(map(str, every))
    return Report(text, {"tables": [own.as_data() for own in every]}, picture=draw(first, ATTACKS))


def _repeated(plan: Plan, site: Hospital, results: Mapping[str, Result]) -> Table | None:
    """Mean and deviation over the bundles of each kind that was repeated; None if none was."""
    rows: list[Row] = []
    for kind in plan.kinds:
        name = name_of(site.name, kind, 0)
        if f"repeats-{name}" not in results or f"audit-{name}" not in results:
            continue
        record = AuditRecord.model_validate(results[f"audit-{name}"].facts["audit"])
        first = {own.attack.name: own.attack.figure for own in record.results}
        found = _FOUND.validate_python(results[f"repeats-{name}"].facts["found"])
        names = [name_of(site.name, kind, seed) for seed in range(kind.repeats + 1)]
        bundles = [results[f"bundle-{own}"] for own in names]
        values = {own: [first[own], *(figure for figure, _, _ in found[own])] for own in found}
        values |= {own: [bundle.number(own) for bundle in bundles] for own in ("score", "auc")}
        rows.append([kind.title, str(len(bundles)), *(_spread(values[own]) for own in _REPEATED)])
    title = f"{site.name}: bundles of the same patients with other seeds, mean (deviation)"
    return Table(title, ("", "bundles", *_REPEATED.values()), rows) if rows else None


def _spread(values: Sequence[float]) -> Value:
    centre, spread = mean(values), deviation(values)
    return Value(f"{centre:.3f} ({0.0 if spread is None else spread:.3f})", [centre, spread])


def _table(title: str, record: AuditRecord, worth: Result) -> Table:
    rows: list[Row] = []
    tried = {result.attack.name: result for result in record.results}
    untried = {own.name: own.why for own in record.untried}
    for name in ATTACKS:
        if name not in tried:
            rows.append([name, Value("not tried", untried.get(name)), "", "", ""])
            continue
        result = tried[name]
        attack = result.counted if result.counts else result.attack
        control = result.control
        figure = _with_ends(attack.figure, attack.low, attack.high)
        if not result.counts:
            figure = Value("control did not fire", figure.data)
        rates = result.patients.true_positives if result.patients else ()
        rows.append(
            [
                name,
                figure,
                number(attack.unrelated),
                Value(
                    f"{_with_ends(control.figure, control.low, control.high).text} "
                    f"{control.unrelated:.3f}",
                    [control.figure, control.low, control.high, control.unrelated],
                ),
                Value(rates[0].text, [rates[0].figure, rates[0].low, rates[0].high])
                if rates
                else "",
            ]
        )
    if record.one_run is not None:
        rows.append(["bundles like it: not ε-DP below", number(record.one_run.epsilon), "", "", ""])
    rows.append(["patch score", number(worth.number("score")), "", "", ""])
    rows.append(["AUC of films", number(worth.number("auc")), "", "", ""])
    head = ("", "figure [95% interval]", "nothing", "on its control, nothing", "true at 1% false")
    return Table(title, head, rows)


def _with_ends(figure: float, low: float, high: float) -> Value:
    return Value(f"{figure:.3f} [{low:.3f}, {high:.3f}]", [figure, low, high])
