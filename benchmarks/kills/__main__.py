"""Random ``kill -9`` of a federation's processes: does every round close, is nothing counted twice?

``python -m benchmarks.kills [--kills N] [--seed S] [--quick] [--json FILE]``: three hospitals, a
SuperLink and ``gdshare aggregate`` as real processes on this machine. Every few seconds one of them
is killed, drawn at random: the SuperLink, the ServerApp, ``gdshare aggregate``, a node, or the
process that answers at a node. What dies is started again, as its unit would do it; rounds are held
one after another until all kills are spent. Fifty kills take about ten minutes on two cores.
"""

import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np

from aggregator.flower.processes import ending_in_order
from benchmarks.command import one_line_errors, parser, say, write_figures
from benchmarks.kills.scene import Scene, scene
from benchmarks.kills.tally import Tally, tally

NAME = "benchmarks.kills"
KILLS, QUICK = 50, 4
GAP_S = (2.0, 9.0)
MOST_A_ROUND = 8
"""So that a round gets through at all."""
HANGS_S = 1200.0
"""A round that takes longer has hung."""
POLL_S = 0.2


def hold(
    stage: Scene, kills: int, draw: np.random.Generator
) -> tuple[Counter[str], list[float], int]:
    """Hold rounds until all kills are spent.

    Returns:
        kind -> how often it was killed; seconds of each round; rounds that hung.
    """
    killed: Counter[str] = Counter()
    seconds: list[float] = []
    hung = 0
    while killed.total() < kills:
        began, of_this = time.monotonic(), 0
        stage.begin(len(seconds))
        following = began + draw.uniform(*GAP_S)
        while not stage.closed:
            now = time.monotonic()
            if now - began > HANGS_S:
                hung += 1
                break
            if now >= following and of_this < MOST_A_ROUND and killed.total() < kills:
                victims = stage.victims()
                kind = str(draw.choice(sorted(victims)))
                stage.kill(kind, int(draw.choice(victims[kind])))
                killed[kind] += 1
                of_this += 1
                following = now + draw.uniform(*GAP_S)
            stage.tend()
            time.sleep(POLL_S)
        seconds.append(time.monotonic() - began)
        say(f"round {len(seconds)}: {of_this} kills, {seconds[-1]:.0f} s")
    return killed, seconds, hung


def table(
    killed: Counter[str], seconds: list[float], hung: int, counts: Tally, failures: int, left: int
) -> str:
    """What was killed, and what came of it."""
    lines = [f"{'killed: ' + kind:44}{times:>6}" for kind, times in sorted(killed.items())]
    middle = sorted(seconds)[len(seconds) // 2]
    lines += [
        f"{'kills':44}{killed.total():>6}",
        f"{'rounds':44}{counts.rounds:>6}",
        f"{'closed with the counts of all hospitals':44}{counts.closed:>6}",
        f"{'hung':44}{hung:>6}",
        f"{'ended by themselves and were resumed':44}{failures:>6}",
        f"{'films counted twice for one question':44}{counts.counted_twice:>6}",
        f"{'said twice in the ledger':44}{counts.said_twice:>6}",
        f"{'processes left running':44}{left:>6}",
        f"{'seconds of a round, median':44}{middle:>6.0f}",
    ]
    return "\n".join(lines)


def main() -> None:
    command = parser(NAME, __doc__, f"{QUICK} kills")
    command.add_argument("--kills", type=int, default=KILLS, help="(default %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="decides whom and when")
    command.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and rounds there")
    chosen = command.parse_args()
    kills = QUICK if chosen.quick else chosen.kills
    with (
        one_line_errors(),
        ending_in_order(),  # a SIGTERM leaves nothing running either
        tempfile.TemporaryDirectory(prefix="gdshare-kills-") as temporary,
    ):
        with scene(chosen.keep or Path(temporary) / "scene") as stage:
            killed, seconds, hung = hold(stage, kills, np.random.default_rng(chosen.seed))
            left = stage.stop()
            counts = tally(stage)
        print(table(killed, seconds, hung, counts, len(stage.failures), len(left)))
        for failure in stage.failures:
            say(failure)
        figures = {"killed": dict(killed), "seconds": seconds, "hung": hung, **asdict(counts)}
        more = {"failures": stage.failures, "left": left}
        write_figures(chosen.json, NAME, figures | more)


if __name__ == "__main__":
    main()
