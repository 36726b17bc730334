"""``python -m benchmarks.burned_in``: burned-in text found and made up, as tables and as JSON.

Quarter of an hour of one core; ``--quick``, on few films of up to 1024 px, takes a minute.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from benchmarks.burned_in.films import CHOSEN_ON, REPORTED_ON
from benchmarks.burned_in.recall import NOTES, tables
from benchmarks.burned_in.trial import FULL, QUICK, detect
from benchmarks.command import one_line_errors, parser, say, write_figures
from gdshare.films.burned_in import find_text

NAME = "benchmarks.burned_in"
HOSPITALS = {"chosen": CHOSEN_ON, "reported": REPORTED_ON}


def options() -> argparse.ArgumentParser:
    """The command line."""
    command = parser(NAME, __doc__, "few films, none above 1024 px")
    command.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data"),
        help="the folder that holds tb_cxr/ (default ../shared/data); without it phantoms only",
    )
    command.add_argument(
        "--on",
        choices=HOSPITALS,
        default="reported",
        help="the films the detector was chosen on, or others (default reported)",
    )
    return command


def main() -> None:
    """Read the options and measure."""
    chosen = options().parse_args()
    plan = QUICK if chosen.quick else FULL
    real = (chosen.data / "tb_cxr").is_dir()
    if not real:
        print(f"no real films: there is no {chosen.data / 'tb_cxr'}; phantoms only\n")
    with one_line_errors():
        findings = detect(find_text, plan, HOSPITALS[chosen.on], chosen.data, say)
        shown = tables(findings)
        print("\n\n".join([*NOTES, *map(str, shown)]))
        head = {"plan": asdict(plan), "on": chosen.on, "real_films": real}
        figures = {"lines": len(findings.written), "tables": [table.as_data() for table in shown]}
        write_figures(chosen.json, NAME, head | figures)


if __name__ == "__main__":
    main()
