"""What a round of many hospitals costs the aggregator, step by step.

    python -m benchmarks.scale [--sites 10 100 1000] [--network convnet] [--quick] [--json FILE]

Each size is a round in a process of its own: bundles are collected, verified, measured, admitted,
trained on and counted with, all by the aggregator's own code, over a grid in memory. Of the sites,
30% never answer and 10% are hostile: half of their bundles are refused as they are (an altered bit,
a file beyond its bound, a number below one that was admitted), half are sound and poisoned (flipped
labels, noise). The bundles are drawn, not distilled. No film is looked at: a hospital's counts are
drawn, by whether the images of the question teach what honest ones teach, so what hospitals spend
is not in the figures, and neither is Flower's network. CPU-seconds on one thread; memory is the
process's peak so far, all bundles included.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.command import parser, peak_mb, write_figures
from benchmarks.scale_sites import (
    HOSTILE,
    Federation,
    MemoryGrid,
    VirtualClock,
    make_federation,
)

if TYPE_CHECKING:
    from aggregator.flower.exchange import Exchange, Replies

NAME = "benchmarks.scale"
SIZES = (10, 100, 1000)
NETWORKS = ("convnet", "scattering")
MOST_CPU_S, MOST_MB = 300.0, 2000.0
"""Wanted, of a round of 1,000 sites."""


class Meter:
    """CPU-seconds of each step, and the process's peak memory after it, MB."""

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, float]] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.process_time()
        yield
        self.steps[name] = {"cpu": time.process_time() - began, "peak": peak_mb()}


def hold_round(sites: int, network: str) -> dict[str, object]:
    """One round; its steps, and what became of the bundles by what their hospitals are."""
    # Here: the command only starts processes.
    from aggregator.admission.collected import split_files  # noqa: PLC0415
    from aggregator.admission.decide import assess, decide, verify_and_record  # noqa: PLC0415
    from aggregator.flower.counting import Task, Trained, count_films  # noqa: PLC0415
    from aggregator.flower.exchange import Exchange  # noqa: PLC0415
    from aggregator.record import open_record  # noqa: PLC0415
    from aggregator.results import chosen_epsilon, rows  # noqa: PLC0415
    from gdshare.allocator import keep_freed_memory  # noqa: PLC0415
    from gdshare.contributions import contribution_of  # noqa: PLC0415
    from gdshare.metrics import SOURCE_THRESHOLD  # noqa: PLC0415
    from gdshare.pooling import train_pooled  # noqa: PLC0415

    keep_freed_memory()  # as every command does
    meter = Meter()
    with ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory())
        with meter.step("(bundles made)"):
            federation = make_federation(Path(folder), sites, network)
        order, now = federation.order, federation.now
        grid = MemoryGrid(federation)
        record = opened.enter_context(open_record(Path(folder) / "round.sqlite", lambda: now))
        exchange = Exchange(grid, record, 1.0, clock=VirtualClock())
        with meter.step("collect"):
            replies = _collect(exchange)
        with meter.step("verify"):
            checked = verify_and_record(order, split_files(replies), now, 0)
        with meter.step("measure"):
            screenings = assess(exchange, order, checked.sound, None)
        with meter.step("admit"):
            decision = decide(order, checked, screenings, now, 0)
        admitted = decision.admitted
        with meter.step("train"):
            model = train_pooled(
                [contribution_of(bundle.bundle) for bundle in admitted],
                admitted[0].bundle.manifest.protocol,
                order.pooling,
                order.seed,
                order.ensemble,
            )
        trained = Trained(model, admitted, order.pooling, order.seed, order.ensemble)
        with meter.step("validation"):
            [counted] = count_films(exchange, [Task("pooled", trained, admitted)])
            validation = counted.counts
            epsilon = chosen_epsilon(list(validation.values())) or SOURCE_THRESHOLD
        with meter.step("test"):
            [counted] = count_films(exchange, [Task("pooled", trained, admitted, epsilon)])
            test = counted.counts
        with meter.step("table"):
            rows(test, order.seed)
    return {
        "sites": sites,
        "network": network,
        "steps": meter.steps,
        "cpu": sum(step["cpu"] for step in meter.steps.values())
        - meter.steps["(bundles made)"]["cpu"],
        "peak": peak_mb(),
        "answers": len(replies.answers),
        "questions": grid.questions,
        "outcomes": _outcomes(federation, {bundle.site for bundle in admitted}),
    }


def _collect(exchange: "Exchange") -> "Replies":
    """What the hospitals that are there hand over."""
    from aggregator.flower.exchange import Question, Replies  # noqa: PLC0415

    keys = {node: f"collect/{node}" for node in exchange.grid.get_node_ids()}
    questions = [
        Question(key, node, "query.collect", lambda known: {}) for node, key in keys.items()
    ]
    answers = exchange.ask(questions, "all", "hand over").given
    given = {node: answers[key] for node, key in keys.items() if key in answers}
    return Replies(given, {}, tuple(node for node in keys if node not in given))


def _outcomes(federation: Federation, admitted: set[str]) -> dict[str, list[int]]:
    """Kind of hospital -> admitted, of so many that answered."""
    kinds = Counter(federation.kinds.values())
    let_in = Counter(kind for site, kind in federation.kinds.items() if site in admitted)
    return {kind: [let_in[kind], kinds[kind]] for kind in ("honest", *HOSTILE)}


def in_own_process(sites: int, network: str) -> dict[str, object]:
    """The same in a process of its own, whose peak memory is the round's."""
    code = f"import json, {NAME} as b; print(json.dumps(b.hold_round({sites}, {network!r})))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if ran.returncode:
        sys.exit(ran.stderr)
    figures: dict[str, object] = json.loads(ran.stdout.splitlines()[-1])
    return figures


def table(rounds: Sequence[Mapping[str, object]]) -> str:
    """Steps down, sizes across: CPU-seconds, and MB."""
    columns: list[Mapping[str, Mapping[str, float]]] = [own["steps"] for own in rounds]  # type: ignore[misc]
    heads = [f"{own['sites']} {own['network']}" for own in rounds]
    lines = [f"{'CPU-s (MB at the peak so far)':32}" + "".join(f"{head:>20}" for head in heads)]
    for step in columns[0]:
        cells = (f"{own[step]['cpu']:.1f} ({own[step]['peak']:.0f})" for own in columns)
        lines.append(f"{step:32}" + "".join(f"{cell:>20}" for cell in cells))
    totals = (f"{own['cpu']:.1f} ({own['peak']:.0f})" for own in rounds)
    lines.append(f"{'the round':32}" + "".join(f"{cell:>20}" for cell in totals))
    for kind in ("honest", *HOSTILE):
        pairs = (own["outcomes"][kind] for own in rounds)  # type: ignore[index]
        cells = (f"{admitted} of {all_of}" for admitted, all_of in pairs)
        lines.append(f"{'admitted, ' + kind:32}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines)


def main() -> None:
    command = parser(NAME, __doc__, "10 and 30 sites")
    command.add_argument(
        "--sites", type=int, nargs="+", default=SIZES, help="(default 10 100 1000)"
    )
    command.add_argument("--network", choices=NETWORKS, nargs="+", default=NETWORKS)
    chosen = command.parse_args()
    sizes = (10, 30) if chosen.quick else chosen.sites
    rounds = [in_own_process(sites, network) for network in chosen.network for sites in sizes]
    print(table(rounds))
    print(f"wanted of 1,000 sites: {MOST_CPU_S:.0f} CPU-seconds and {MOST_MB:.0f} MB at most")
    write_figures(chosen.json, NAME, {"rounds": rounds})


if __name__ == "__main__":
    main()
