"""How fast whole films are classified, beside a plain loop, and whether the verdicts are the same.

    python -m benchmarks.voting MODEL FILM|DIR... [--films 8] [--quick] [--json FILE]

The plain loop is what one writes first: a window is cut, resized by torch, and every network of the
model called on it, window after window. Both sides have one thread, and take turns film by film, so
that other work on the machine slows both. By CPU-seconds, reading the films included.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from benchmarks.command import one_line_errors, parser, say, write_figures
from gdshare.errors import UsageError
from gdshare.films import Film, read_film
from gdshare.metrics import SOURCE_THRESHOLD
from gdshare.model import Model, load_model
from gdshare.networks import build, forward
from gdshare.patches import Grid
from gdshare.tone import harmonise
from gdshare.vote import Predict, VoteMap, predictor, vote_map

NAME = "benchmarks.voting"
FILMS, FEW = 8, 2


@dataclass(frozen=True)
class Side:
    """One way of classifying a film, over all films.

    Attributes:
        seconds: CPU-seconds in all.
        maps: a film each.
    """

    seconds: float
    maps: tuple[VoteMap, ...]


def plain_loop(model: Model, film: Film) -> VoteMap:
    """A film's votes, window after window."""
    protocol, grid = model.protocol, Grid.on(film, model.protocol)
    module = build(model.network, protocol.side)
    scaled = torch.from_numpy(harmonise(film.scaled(), protocol.tone))  # [height, width]
    called = np.empty((len(model.ensemble), grid.rows, grid.columns), np.uint8)
    for row in range(grid.rows):
        for column in range(grid.columns):
            top, left = row * grid.stride, column * grid.stride
            window = scaled[top : top + grid.patch, left : left + grid.patch]
            patch = functional.interpolate(
                window[None, None], (protocol.side,) * 2, mode="bilinear", antialias=True
            )  # [1, 1, side, side]
            x = (patch - protocol.mean) / protocol.std
            for place, parameters in enumerate(model.ensemble):
                called[place, row, column] = int(forward(module, parameters, x).argmax())
    return VoteMap(grid, called)


def measure(model: Model, films: Sequence[Path]) -> dict[str, Side]:
    """Classify each film by both sides."""
    predict: Predict = predictor(model)
    ways: dict[str, Callable[[Film], VoteMap]] = {
        "plain loop": lambda film: plain_loop(model, film),
        "gdshare": lambda film: vote_map(film, model.protocol, predict),
    }
    seconds, maps = dict.fromkeys(ways, 0.0), {name: list[VoteMap]() for name in ways}
    with torch.inference_mode():
        for number, path in enumerate(films, start=1):
            for name, way in ways.items():
                began = time.process_time()
                maps[name].append(way(read_film(path)))
                seconds[name] += time.process_time() - began
            say(f"{number} of {len(films)} films")
    return {name: Side(seconds[name], tuple(maps[name])) for name in ways}


@dataclass(frozen=True)
class Comparison:
    """What was measured.

    Attributes:
        films, windows, networks: that were classified, and how many vote on each window.
        plain_seconds, seconds: CPU-seconds a film, of the plain loop and of gdshare.
        speedup: films a CPU-second, of gdshare over the plain loop.
        same_votes: share of the votes that are the same.
        same_verdicts: films that get the same verdict.
    """

    films: int
    windows: int
    networks: int
    plain_seconds: float
    seconds: float
    speedup: float
    same_votes: float
    same_verdicts: int


def compare(plain: Side, ours: Side, threshold: float) -> Comparison:
    """Speeds, and how far the sides agree."""
    pairs = list(zip(plain.maps, ours.maps, strict=True))
    same = np.concatenate([(a.called == b.called).ravel() for a, b in pairs])
    films = len(pairs)
    return Comparison(
        films,
        sum(own.grid.count for own in ours.maps),
        len(ours.maps[0].called),
        plain.seconds / films,
        ours.seconds / films,
        plain.seconds / ours.seconds,
        float(same.mean()),
        sum(a.votes.verdict_at(threshold) == b.votes.verdict_at(threshold) for a, b in pairs),
    )


def table(result: Comparison, network: str) -> str:
    """For people."""
    return (
        f"{result.films} films, {result.windows} windows, {result.networks} {network} on each\n"
        f"plain loop  {result.plain_seconds:7.2f} CPU-seconds a film\n"
        f"gdshare     {result.seconds:7.2f} CPU-seconds a film: {result.speedup:.1f} times faster\n"
        f"the same verdict on {result.same_verdicts} of {result.films} films, "
        f"the same vote in {100 * result.same_votes:.3f}%"
    )


def _chosen(given: Sequence[Path], count: int) -> list[Path]:
    """So many of the films, evenly spread."""
    below = [sorted(own.iterdir()) if own.is_dir() else [own] for own in given]
    films = [path for folder in below for path in folder if path.is_file()]
    if not films:
        raise UsageError("no film", given[0], "give films, or folders of them")
    return films[:: -(-len(films) // count)]


def main() -> None:
    """Measure and print."""
    command = parser(NAME, __doc__, f"{FEW} films")
    command.add_argument("model", type=Path, help="a trained model's folder")
    command.add_argument("given", type=Path, nargs="+", metavar="FILM|DIR", help="of films alone")
    command.add_argument("--films", type=int, default=FILMS, help=f"at most (default {FILMS})")
    chosen = command.parse_args()
    if chosen.films < 1:
        command.error("--films must be one or more")
    torch.set_num_threads(1)
    with one_line_errors():
        model, record = load_model(chosen.model)
        sides = measure(model, _chosen(chosen.given, FEW if chosen.quick else chosen.films))
    epsilon = SOURCE_THRESHOLD if record.threshold is None else record.threshold
    result = compare(sides["plain loop"], sides["gdshare"], epsilon)
    print(table(result, model.network))
    write_figures(chosen.json, NAME, asdict(result))


if __name__ == "__main__":
    main()
