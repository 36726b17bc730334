"""``gdshare demo``: the main job on three phantom hospitals, from films to a page."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gdshare.cli.terminal import AsJson, print_json, print_line
from gdshare.flower import require_flower
from gdshare.method import Settings
from gdshare.metrics import SOURCE_THRESHOLD
from gdshare.protocol import Protocol

if TYPE_CHECKING:
    from aggregator.trial.plan import Show, Trial
    from gdshare.report.trial_file import TrialFile
    from gdshare.report.trial_page import NewFilms

log = logging.getLogger(__name__)

NAMES = ("north", "south", "east")
NEGATIVES = POSITIVES = 20
SIZE = 256
PROTOCOL = Protocol(patch=40, stride=16, side=16)
SETTINGS = Settings(outer_steps=200, score_every=25)
BASELINE = "scattering"
NEW_SITE, NEW_NEGATIVES, NEW_POSITIVES = 3, 1, 2
"""Films of a hospital that takes no part."""
NOTE = (
    "SYNTHETIC films: drawn stomachs, small and few, of hospitals that differ in exposure and in "
    "their patients. They show that the parts work together. How well the method works on real "
    "films is in docs/results.md."
)


def demo(
    out: Annotated[
        Path,
        typer.Option(help="Folder for everything it makes; an interrupted demo goes on there."),
    ] = Path("demo-out"),
    seed: Annotated[int, typer.Option(min=0, help="Decides films, splits and every draw.")] = 0,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Afterwards leave its federation running, until Ctrl-C."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the whole main job on three phantom hospitals, on SYNTHETIC films.

    Each hospital labels patches, distils them to three images, signs and releases a bundle; a real
    SuperLink and three SuperNodes on this machine collect, verify, pool, train and count. At the
    end the pooled model classifies films of a fourth hospital, and OUT/report.html shows it all.
    """
    require_flower()
    from aggregator.trial.run import run_trial
    from aggregator.trial.terminal import bar_on_terminal
    from gdshare.report.page import PAGE, write_page
    from gdshare.report.trial_file import read_trial
    from gdshare.report.trial_page import trial_page

    with bar_on_terminal() as show:
        plan, now = _plan(out, seed, show), datetime.now(UTC)
        run_trial(plan, out, now, show)
    new = _new_films(out, seed)
    page = write_page(out / PAGE, trial_page(out, "gdshare demo", (NOTE,), new))
    trial = read_trial(out)
    if as_json:
        print_json(_as_data(out, page, trial))
    else:
        for line in (
            *_summary(trial, new),
            f"Look at {page}; the figures are in {out / 'table.md'}",
        ):
            print_line(line)
    if keep:
        _keep(plan, out)


def _summary(trial: "TrialFile", new: "NewFilms") -> tuple[str, ...]:
    """What came of it, in four lines."""
    from gdshare.report.trial_page import new_records, verdict

    pairs = zip(new_records(new), new.films, strict=True)
    right = sum(
        not own.seen.votes.indeterminate and own.seen.votes.positive_at(own.threshold) is positive
        for own, (_, positive) in pairs
    )
    films = (NEGATIVES + POSITIVES) * len(trial.hospitals)
    left = sum(facts.bundle_bytes for facts in trial.hospitals.values())
    return (
        f"SYNTHETIC films: {films} of {len(trial.hospitals)} hospitals. This shows that it works; "
        "for how well, see docs/results.md.",
        f"What left the hospitals: {trial.lines[0].images} images each, {left:,} bytes in all. No "
        "film did.",
        verdict(trial),
        f"{right} of {len(new.films)} films of a fourth hospital called right; their votes: "
        f"{new.maps}",
    )


def _as_data(out: Path, page: Path, trial: "TrialFile") -> dict[str, object]:
    return {
        "report": str(page),
        "table": str(out / "table.md"),
        "model": str(out / "round" / "model"),
        "what_left": str(out / "sites" / NAMES[0] / "outbox"),
        "preview": str(out / "sites" / NAMES[0] / "run" / "preview.png"),
        "harmonic_mean": {own.trained_from: own.all_sites.harmonic_mean for own in trial.lines},
    }


def _plan(out: Path, seed: int, show: "Show") -> "Trial":
    """Draw the phantom hospitals that do not exist yet, and plan the trial."""
    from aggregator.trial.plan import Hospital, Trial
    from gdshare.training import TrainingPlan

    hospitals = []
    for site, name in enumerate(NAMES):
        folder = out / "sites" / name / "films"
        _draw(folder, site, NEGATIVES, POSITIVES, seed, show)
        hospitals.append(Hospital(name, folder / "labels.csv"))
    _draw(out / "new-films", NEW_SITE, NEW_NEGATIVES, NEW_POSITIVES, seed, show)
    return Trial(
        hospitals=hospitals,
        protocol=PROTOCOL,
        settings=SETTINGS.model_copy(update={"seed": seed}),
        baseline=TrainingPlan(network=BASELINE, per_class=300, seed=seed),
        split=(0.5, 0.25, 0.25),
        minimum_films=5,
    )


def _draw(folder: Path, site: int, negatives: int, positives: int, seed: int, show: "Show") -> None:
    """Draw a hospital's films, unless they are there."""
    from gdshare.films.phantom import write_phantom_cohort

    if folder.exists():
        return
    name = folder.parent.name if site < len(NAMES) else "a fourth hospital"
    log.info("%s: drawing %d SYNTHETIC films", name, negatives + positives)
    write_phantom_cohort(
        folder,
        site=site,
        negatives=negatives,
        positives=positives,
        size=SIZE,
        seed=seed,
        progress=lambda done, total: show(f"{name}: films", done, total),
    )


def _new_films(out: Path, seed: int) -> "NewFilms":
    """Classify the fourth hospital's films with the round's model, as a hospital would."""
    from gdshare.cohort import read_table
    from gdshare.model import load_model
    from gdshare.report.trial_page import NewFilms
    from gdshare.report.vote_files import begin, write_table
    from gdshare.report.vote_job import VoteJob, classify_films

    model, record = load_model(out / "round" / "model")
    rows = read_table(out / "new-films" / "labels.csv")
    maps = out / "maps"
    begin(maps)
    epsilon = SOURCE_THRESHOLD if record.threshold is None else record.threshold
    job = VoteJob(model.network, model.to_bytes(), model.protocol, epsilon, out=maps)
    outcomes = classify_films(job, {row.image.name: row.image for row in rows}, 1)
    write_table(maps, [outcome for _, outcome in outcomes if not isinstance(outcome, Exception)])
    films = [(row.image, row.positive) for row in rows]
    return NewFilms("New films of a fourth hospital", films, maps)


def _keep(plan: "Trial", out: Path) -> None:
    """Run the SuperLink and the nodes again until Ctrl-C."""
    from aggregator.flower.local_federation import local_federation
    from aggregator.trial.run import site_nodes

    nodes = site_nodes([hospital.name for hospital in plan.hospitals], out, plan)
    with local_federation(nodes, out / "federation") as superlink, _until_interrupted() as stopped:
        print_line(f"The federation runs at {superlink.address} until Ctrl-C. Elsewhere, try:")
        print_line(
            f"gdshare aggregate --superlink {superlink.address} --insecure --trust {out / 'trust'} "
            f"--sites {len(nodes)} --out another-round"
        )
        stopped.wait()


@contextmanager
def _until_interrupted() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets."""
    stopped = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in numbers}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def register(app: typer.Typer) -> None:
    """Add ``demo`` to ``gdshare``."""
    app.command()(demo)
