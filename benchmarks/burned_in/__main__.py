"""``python -m benchmarks.burned_in``: burned-in text found and made up, as tables and as JSON.

Quarter of an hour of one core; ``--quick``, on few films of up to 1024 px, takes a minute.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from benchmarks.burned_in.films import CHOSEN_ON, REPORTED_ON
from benchmarks.burned_in.tables import as_data, text
from benchmarks.burned_in.trial import FULL, QUICK, Plan, Seen, look
from benchmarks.versions import versions
from gdshare.errors import GdshareError
from gdshare.films.burned_in import find_text
from gdshare.storage import write_json

FILMS = {"chosen": CHOSEN_ON, "reported": REPORTED_ON}


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.burned_in",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="few films, none above 1024 px")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data"),
        help="the folder that holds tb_cxr/ (default ../shared/data); without it phantoms only",
    )
    parser.add_argument(
        "--on",
        choices=FILMS,
        default="reported",
        help="the films the detector was chosen on, or others (default reported)",
    )
    return parser


def figures(
    seen: Seen, plan: Plan, on: str, real: bool, command: Sequence[str]
) -> dict[str, JsonValue]:
    """All figures as data, with what they depend on."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(command),
        "versions": dict(versions()),
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
    try:
        seen = look(
            find_text,
            plan,
            FILMS[chosen.on],
            chosen.data,
            lambda line: print(line, file=sys.stderr, flush=True),
        )
        print(text(seen))
        if chosen.json:
            command = ["python", "-m", "benchmarks.burned_in", *sys.argv[1:]]
            write_json(chosen.json, figures(seen, plan, chosen.on, real, command))
    except GdshareError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
