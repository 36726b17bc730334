"""The tables and the picture: every attack, its control, and what the bundle is worth."""

from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter

from gdshare.audit import ATTACKS
from gdshare.audit.figures import OneRun
from gdshare.audit.figures import Result as Found
from gdshare.audit.lineup import NAME as LINEUP
from gdshare.audit.membership import NAME as LOSS
from gdshare.audit.membership_lira import BUNDLE, LIRA
from gdshare.audit.nearest import NAME as PATCH
from gdshare.audit.record import AuditRecord
from studies.attacks.images import UNTRIED
from studies.attacks.picture import Attacked, draw
from studies.attacks.plan import Kind, Plan
from studies.attacks.schedule import attacked, name_of, name_of_images
from studies.hospitals import Hospital
from studies.readings import IMAGES
from studies.report import Report
from studies.runner import Cell, Result
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
_OF_IMAGES = (BUNDLE, LIRA, LOSS, "score")
"""The same of sets of images."""
_RESULTS = TypeAdapter(list[Found])
_BOUND = TypeAdapter[OneRun | None](OneRun | None)
_FOUND = TypeAdapter(dict[str, list[tuple[float, float, float]]])


def report_of(
    plan: Plan, hospitals: Sequence[Hospital], cells: Sequence[Cell], results: Mapping[str, Result]
) -> Report:
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
            untried = {own.name: own.why for own in record.untried}
            title = f"{kind.title}, {site.name}, seed {seed}"
            utility = {"patch score": worth.number("score"), "AUC of films": worth.number("auc")}
            tables.append(_table(title, record.results, untried, record.one_run, utility))
    tables += [_of_images(kind, results) for kind in _kinds_of_images(plan, results)]
    tables += [*_repeated(plan, hospitals[0], results), *_repeated_images(plan, results)]
    cost = costs("CPU-seconds", cells, results, each=False)
    every = [*tables, cost]
    text = "\n\n".join(map(str, every))
    return Report(text, {"tables": [own.as_data() for own in every]}, picture=draw(first, ATTACKS))


def _kinds_of_images(plan: Plan, results: Mapping[str, Result]) -> list[Kind]:
    """Of which there are results."""
    kinds = plan.images.kinds if plan.images else ()
    return [kind for kind in kinds if name_of_images(kind) in results]


def _of_images(kind: Kind, results: Mapping[str, Result]) -> Table:
    """What was found on the first set of images of a kind."""
    result = results[name_of_images(kind)]
    found = _RESULTS.validate_python(result.facts["results"])
    bound = _BOUND.validate_python(result.facts["one_run"])
    worth = {"patch score": result.numbers("scores")[0]}
    return _table(f"{kind.title}, {IMAGES}, seed 0", found, UNTRIED, bound, worth)


def _repeated_images(plan: Plan, results: Mapping[str, Result]) -> list[Table]:
    """Mean and deviation over the sets of each kind; no table if there is no result."""
    rows: list[Row] = []
    for kind in _kinds_of_images(plan, results):
        result = results[name_of_images(kind)]
        scores, found = result.numbers("scores"), _FOUND.validate_python(result.facts["found"])
        first = _RESULTS.validate_python(result.facts["results"])
        values = {own.attack.name: [own.attack.figure] for own in first}
        values = {own: values[own] + [figure for figure, _, _ in found[own]] for own in found}
        values["score"] = scores
        rows.append([kind.title, str(len(scores)), *(_spread(values[own]) for own in _OF_IMAGES)])
    title = f"{IMAGES}: sets of the same images with other seeds, mean (deviation)"
    head = ("", "bundles", *(_REPEATED[own] for own in _OF_IMAGES))
    return [Table(title, head, rows)] if rows else []


def _repeated(plan: Plan, site: Hospital, results: Mapping[str, Result]) -> list[Table]:
    """Mean and deviation over the bundles of each repeated kind; no table if none was repeated."""
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
    return [Table(title, ("", "bundles", *_REPEATED.values()), rows)] if rows else []


def _spread(values: Sequence[float]) -> Value:
    centre, spread = mean(values), deviation(values)
    return Value(f"{centre:.3f} ({0.0 if spread is None else spread:.3f})", [centre, spread])


def _table(
    title: str,
    results: Sequence[Found],
    untried: Mapping[str, str],
    bound: OneRun | None,
    worth: Mapping[str, float],
) -> Table:
    """Every attack on one bundle, its control, and what the bundle is worth.

    Args:
        title: of the table.
        results: of the attacks that were made.
        untried: attack -> why it was not made.
        bound: on ε, of the one-run audit.
        worth: figure of utility -> its value.
    """
    rows: list[Row] = []
    tried = {result.attack.name: result for result in results}
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
    if bound is not None:
        rows.append(["bundles like it: not ε-DP below", number(bound.epsilon), "", "", ""])
    rows += [[name, number(value), "", "", ""] for name, value in worth.items()]
    head = ("", "figure [95% interval]", "nothing", "on its control, nothing", "true at 1% false")
    return Table(title, head, rows)


def _with_ends(figure: float, low: float, high: float) -> Value:
    return Value(f"{figure:.3f} [{low:.3f}, {high:.3f}]", [figure, low, high])
