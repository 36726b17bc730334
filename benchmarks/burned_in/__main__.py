"""``python -m benchmarks.burned_in``: burned-in text found and made up, as tables and as JSON.

Quarter of an hour of one core; ``--quick``, on few films of up to 1024 px, takes a minute.
"""

import argparse
from pathlib import Path

from pydantic import JsonValue

from benchmarks.burned_in.films import CHOSEN_ON, REPORTED_ON
from benchmarks.burned_in.tables import as_data, text
from benchmarks.burned_in.trial import FULL, QUICK, Plan, Seen, look
from benchmarks.command import faults_told, parser, say, write_figures
from gdshare.films.burned_in import find_text

FILMS = {"chosen": CHOSEN_ON, "reported": REPORTED_ON}


NAME = "benchmarks.burned_in"


def options() -> argparse.ArgumentParser:
    """The command line."""
    made = parser(NAME, __doc__, "few films, none above 1024 px")
    made.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data"),
        help="the folder that holds tb_cxr/ (default ../shared/data); without it phantoms only",
    )
    made.add_argument(
        "--on",
        choices=FILMS,
        default="reported",
        help="the films the detector was chosen on, or others (default reported)",
    )
    return made


def figures(seen: Seen, plan: Plan, on: str, real: bool) -> dict[str, JsonValue]:
    """All figures as data."""
    return {
        "plan": {"films": plan.films, "lines": plan.lines, "sides": list(plan.sides)},
        "on": on,
        "real_films": real,
        **as_data(seen),
    }


def main() -> None:
    """Read the options and measure."""
    chosen = options().parse_args()
    plan = QUICK if chosen.quick else FULL
    real = (chosen.data / "tb_cxr").is_dir()
    if not real:
        print(f"no real films: there is no {chosen.data / 'tb_cxr'}; phantoms only\n")
    with faults_told():
        seen = look(find_text, plan, FILMS[chosen.on], chosen.data, say)
        print(text(seen))
        write_figures(chosen.json, NAME, figures(seen, plan, chosen.on, real))


if __name__ == "__main__":
    main()
