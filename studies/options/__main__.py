"""``python -m studies.options``: what each option of ``gdshare distill`` does to the images.

Does every trial that is not done yet, then prints the table. Start it twice with the same command
to share them between two processes; after a kill, the same command goes on. A seed takes about an
hour of one thread; ``--quick`` under a minute, on synthetic films.
"""

import argparse
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.command import add_archive, faults_told, parser, say, write_figures
from benchmarks.engine import tasks
from benchmarks.engine.tasks import HOSPITAL
from benchmarks.pieces.archive import do_kept, open_plans
from benchmarks.pieces.claims import Facts, Piece, Watch, facts
from gdshare.allocator import keep_freed_memory
from gdshare.cohort import label_cohort
from gdshare.errors import UsageError
from gdshare.protocol import Protocol
from studies.options.table import Row, as_data, rows_of, text
from studies.options.trial import try_variant
from studies.options.variants import FULL, QUICK, Plan, Variant
from studies.quality.hospitals import FILMS, TABLE, draw_films
from studies.quality.plan import Phantoms

NAME = "studies.options"
COHORT = "cohort"
QUICK_PROTOCOL = Protocol(patch=40, stride=20, side=16)


def options() -> argparse.ArgumentParser:
    """The command line."""
    made = parser(NAME, __doc__, "a tiny plan on synthetic films")
    made.add_argument("--seeds", type=int, default=1, help="trials of each variant (default 1)")
    made.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data"),
        help=f"folder that holds tb_cxr/{HOSPITAL} (default ../shared/data)",
    )
    made.add_argument(
        "--out",
        type=Path,
        help="folder for the trials; those in it are not done again (default options-runs, with "
        "--quick a new one each time, removed at the end)",
    )
    add_archive(made)
    return made


def run(plan: Plan, data: Path, out: Path, seeds: int, archive: Path | None = None) -> list[Row]:
    """Do what is not done yet, and work out the table.

    Args:
        plan: what is tried.
        data: folder of the real films; not looked at when the plan has synthetic ones.
        out: folder for the trials.
        seeds: how many of each; more may be asked for later.
        archive: where figures of finished trials are, and are kept.

    Raises:
        GdshareError: a trial cannot be done; what is finished stays.
    """
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: there must be one or more")
    tables = {} if plan.synthetic else {HOSPITAL: tasks.data_digest(data / tasks.FILMS)}
    open_plans(out, archive, plan.as_data(), tables)
    cut = Piece(COHORT, "cohort", partial(_cut, plan, data, out))
    tries = {
        (variant, seed): Piece(
            f"{_folder(variant)}-{seed}",
            "trial",
            partial(try_variant, plan, out / COHORT / COHORT, variant, seed),
            (COHORT,),
        )
        for seed in range(seeds)
        for variant in plan.variants
    }
    do_kept(out, archive, [cut, *tries.values()], say)
    return rows_of(
        {
            variant: [facts(out, tries[variant, seed].name) for seed in range(seeds)]
            for variant in plan.variants
        }
    )


def _folder(variant: Variant) -> str:
    return variant.name.replace("--", "").replace(" ", "-")


def _cut(plan: Plan, data: Path, out: Path, folder: Path, watch: Watch) -> Facts:
    """The piece that cuts the hospital's patches."""
    if plan.synthetic is None:
        tasks.cut_films(data, folder / COHORT)
    elif not (folder / COHORT).exists():
        draw_films(Phantoms(per_diagnosis=plan.synthetic), 0, folder, watch)
        label_cohort(folder / FILMS / TABLE, folder / COHORT, QUICK_PROTOCOL)
    return {}


def main() -> None:
    """Read the options and measure."""
    chosen = options().parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    plan = QUICK if chosen.quick else FULL
    with faults_told(goes_on=not chosen.quick), TemporaryDirectory() as aside:
        # A quick run that found old trials would try nothing.
        out = chosen.out or Path(aside if chosen.quick else "options-runs")
        rows = run(plan, chosen.data, out, chosen.seeds, chosen.archive)
        print(text(rows))
        write_figures(chosen.json, NAME, {"plan": plan.as_data(), "variants": as_data(rows)})


if __name__ == "__main__":
    main()
